package parts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// PythonPeer is a Python process that answers calls. It reads one JSON object
// for each line of its standard input,
//
//	{"id": 1, "call": "name", "args": …}
//
// and writes one for each to its standard output, in any order:
// {"id": 1, "result": …} or {"id": 1, "error": "text"}. Its standard error is
// its log. It ends when its standard input does.
type PythonPeer struct {
	*Process

	// guarded by mu
	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	over    bool // it has ended; nobody will answer

	// guarded by asking, which may be held while the process is slow
	asking sync.Mutex
	stdin  io.WriteCloser
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  string          `json:"error"`
}

// ErrEnded is the error of calls that a peer did not answer, for it ended.
var ErrEnded = errors.New("the process has ended")

// Python runs a script, given as text, by the system's Python if that has all the
// modules named; else by the first python3 of PATH that has.
func Python(tb testing.TB, script string, modules ...string) *PythonPeer {
	tb.Helper()
	interpreter := findPython(tb, modules)
	path := filepath.Join(folder(tb), "peer.py")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		tb.Fatal(err)
	}
	p := &PythonPeer{waiting: make(map[int]chan answer)}
	p.Process = NewProcess(tb, []string{interpreter, "-u", path}, []string{"PYTHONDONTWRITEBYTECODE=1"})
	p.Restart()
	return p
}

// Restart kills the process, if it runs, and starts the script from its beginning.
func (p *PythonPeer) Restart() {
	p.tb.Helper()
	p.Kill()
	command := p.command()
	stdin, err := command.StdinPipe()
	if err != nil {
		p.tb.Fatalf("start Python: %v", err)
	}
	command.Stdout = &answers{peer: p}
	p.asking.Lock()
	p.stdin = stdin
	p.asking.Unlock()
	p.mu.Lock()
	p.over = false
	p.mu.Unlock()
	if err := p.start(command, p.end); err != nil {
		p.tb.Fatal(err)
	}
}

// Call asks the process and waits for its answer, which is decoded into result
// unless that is nil. Calls on their way when the process ends get ErrEnded. Any
// goroutine may call it.
func (p *PythonPeer) Call(name string, args, result any) error {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		return fmt.Errorf("%s: %w", name, ErrEnded)
	}
	p.last++
	id := p.last
	done := make(chan answer, 1)
	p.waiting[id] = done
	p.mu.Unlock()
	if err := p.ask(id, name, args); err != nil {
		return fmt.Errorf("%s: ask the process: %w", name, err)
	}
	a, ok := <-done
	switch {
	case !ok:
		return fmt.Errorf("%s: %w", name, ErrEnded)
	case a.Error != "":
		return fmt.Errorf("%s: %s", name, a.Error)
	case result == nil:
		return nil
	}
	if err := json.Unmarshal(a.Result, result); err != nil {
		return fmt.Errorf("%s: read the result: %w", name, err)
	}
	return nil
}

// ask writes a question. A process that has just ended is no error: end tells.
func (p *PythonPeer) ask(id int, name string, args any) error {
	line, err := json.Marshal(map[string]any{"id": id, "call": name, "args": args})
	if err != nil {
		return err
	}
	p.asking.Lock()
	defer p.asking.Unlock()
	if _, err = p.stdin.Write(append(line, '\n')); errors.Is(err, os.ErrClosed) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// answers reads what one run of a peer writes to its standard output.
type answers struct {
	peer    *PythonPeer
	partial []byte
}

func (a *answers) Write(b []byte) (int, error) {
	a.partial = append(a.partial, b...)
	for {
		line, rest, whole := bytes.Cut(a.partial, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		a.peer.take(line)
		a.partial = rest
	}
}

// take hands an answer to who waits for it. What is none goes to the log.
func (p *PythonPeer) take(line []byte) {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		fmt.Fprintf(&p.log, "no answer: %s\n", line)
		return
	}
	p.mu.Lock()
	done := p.waiting[a.ID]
	delete(p.waiting, a.ID)
	p.mu.Unlock()
	if done != nil {
		done <- a
	}
}

// end tells all who wait that no answer will come.
func (p *PythonPeer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for id, done := range p.waiting {
		delete(p.waiting, id)
		close(done)
	}
}

// findPython is a Python that can import the modules.
func findPython(tb testing.TB, modules []string) string {
	tb.Helper()
	source := "pass"
	if len(modules) > 0 {
		source = "import " + strings.Join(modules, ", ")
	}
	var tried bytes.Buffer
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.Command(path, "-c", source).CombinedOutput()
		if err == nil {
			return path
		}
		fmt.Fprintf(&tried, "; %s: %s", path, lastLine(out))
	}
	Lacking(tb, fmt.Sprintf("no Python 3 with the modules %v is installed%s", modules, tried.String()))
	return ""
}

func lastLine(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
