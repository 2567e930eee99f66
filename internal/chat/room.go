package chat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// MaxRoom is the length of a room name in code points, after RoomSlug.
	MaxRoom = 64

	maxRoomBytes = 1024 // of the spelling given; bounds the work
	maxRoomMarks = 8    // combining marks in a row
)

// RoomSlug returns the canonical spelling of a room name: spellings that look
// the same are one room. It is NFC, without surrounding white space, with inner
// white space as single spaces and without invisible characters (see UAX #44,
// Default_Ignorable_Code_Point), except joiners that change what is seen: in
// emoji sequences, after a virama, between joining Arabic letters. Letter case
// and anything else that shows is kept. RoomSlug of its result is its result.
//
// Refused with ErrBadRoom: nothing visible, more than MaxRoom code points,
// invalid UTF-8, controls, "/", the names "." and "..", noncharacters, private
// use characters (they look different on every machine), more than eight
// combining marks in a row. Code points that Unicode has not yet assigned are
// allowed, or new emoji would be refused for years.
func RoomSlug(s string) (string, error) {
	switch {
	case len(s) > maxRoomBytes:
		return "", badRoom("use at most %d characters", MaxRoom)
	case !utf8.ValidString(s):
		return "", badRoom("write it in UTF-8")
	}
	if !plainRoom(s) {
		var err error
		if s, err = visibleRoom(norm.NFC.String(s)); err != nil {
			return "", err
		}
		s = norm.NFC.String(s) // what was removed may have stood between a letter and its mark
	}
	switch {
	case s == "":
		return "", badRoom("use at least one visible character")
	case s == "." || s == "..":
		return "", badRoom("%q has a meaning of its own in addresses", s)
	case utf8.RuneCountInString(s) > MaxRoom:
		return "", badRoom("use at most %d characters", MaxRoom)
	case strings.Contains(s, "/"):
		return "", badRoom(`leave out "/"`)
	}
	return s, nil
}

func badRoom(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBadRoom}, args...)...)
}

// plainRoom tells, without building anything, that s needs no change: nearly
// every name is canonical already.
func plainRoom(s string) bool {
	return printableASCII(s) && !strings.HasPrefix(s, " ") && !strings.HasSuffix(s, " ") && !strings.Contains(s, "  ")
}

// visibleRoom removes what does not show and collapses white space.
func visibleRoom(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	var prev rune // last character written that is not a joiner
	space, marks := false, 0
	for i, r := range s {
		switch {
		case unicode.IsControl(r):
			return "", badRoom("leave out control characters")
		case noncharacter(r) || unicode.Is(unicode.Co, r):
			return "", badRoom("leave out U+%04X, which looks different everywhere", r)
		case unicode.IsSpace(r):
			space = true
			continue
		case r == zwj || r == zwnj:
			if !space && joins(r, prev, nextVisible(s[i+utf8.RuneLen(r):])) && !endsInJoiner(b.String()) {
				b.WriteRune(r)
			}
			continue
		case invisible(r):
			continue
		}
		if marks++; !unicode.IsMark(r) {
			marks = 0
		}
		if marks > maxRoomMarks {
			return "", badRoom("use at most %d combining marks on one letter", maxRoomMarks)
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space, prev = false, r
		b.WriteRune(r)
	}
	return b.String(), nil
}

// nextVisible is the first character of s that is not invisible, 0 for none.
func nextVisible(s string) rune {
	for _, r := range s {
		if !invisible(r) {
			return r
		}
	}
	return 0
}

func endsInJoiner(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return r == zwj || r == zwnj
}
