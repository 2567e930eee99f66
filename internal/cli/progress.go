package cli

import (
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// progressLine shows how far something is: one line that changes on a terminal,
// else a line for each new thing that is done.
type progressLine struct {
	w        io.Writer
	terminal bool
	doing    string
	width    int
}

func newProgressLine(w io.Writer) *progressLine {
	return &progressLine{w: w, terminal: isTerminal(w)}
}

// say shows a text about what is done now.
func (l *progressLine) say(doing, text string) {
	switch {
	case l.terminal:
		l.width = max(l.width, utf8.RuneCountInString(text))
		fmt.Fprintf(l.w, "\r%-*s", l.width, text)
	case doing != l.doing:
		fmt.Fprintln(l.w, text)
	}
	l.doing = doing
}

// end leaves the line empty.
func (l *progressLine) end() {
	if l.terminal && l.width > 0 {
		fmt.Fprintf(l.w, "\r%*s\r", l.width, "")
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	s, err := f.Stat()
	return err == nil && s.Mode()&os.ModeCharDevice != 0
}
