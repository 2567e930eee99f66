package parts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is one program that may run several times, one run after the other.
type Process struct {
	// fixed
	tb   testing.TB
	argv []string
	env  []string
	dir  string // where it runs; "" is here

	account *account // who it runs as; nil is who we are

	log log
	run *run // the newest; nil before the first
}

// account is one of the system's, by its numbers.
type account struct{ uid, gid int }

type run struct {
	command *exec.Cmd
	ended   chan struct{} // closed when err is set
	err     error
}

// NewProcess is a program with its arguments that does not run yet. Variables
// ("KEY=value") are added to this process's environment.
func NewProcess(tb testing.TB, argv, variables []string) *Process {
	tb.Helper()
	p := &Process{tb: tb, argv: argv, env: append(os.Environ(), variables...)}
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", argv[0], p.log.tail())
		}
	})
	return p
}

// Start runs the program; what it writes goes to Log.
func (p *Process) Start() error {
	command := p.command()
	command.Stdout = &p.log
	return p.start(command, func() {})
}

func (p *Process) command() *exec.Cmd {
	command := exec.Command(p.argv[0], p.argv[1:]...)
	command.Env = p.env
	command.Dir = p.dir
	noOrphan(command)
	runAs(command, p.account)
	command.Stderr = &p.log
	return command
}

// start runs a command; end is called when it has ended, before Wait returns.
func (p *Process) start(command *exec.Cmd, end func()) error {
	if p.Alive() {
		return fmt.Errorf("%s runs already", p.argv[0])
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.argv[0], err)
	}
	r := &run{command: command, ended: make(chan struct{})}
	p.run = r
	go func() { // ends with the program; Kill and Wait wait for it
		r.err = command.Wait()
		end()
		close(r.ended)
	}()
	return nil
}

// Alive says that the program runs.
func (p *Process) Alive() bool {
	if p.run == nil {
		return false
	}
	select {
	case <-p.run.ended:
		return false
	default:
		return true
	}
}

// Kill ends the program by SIGKILL, if it runs, and waits for its end.
func (p *Process) Kill() {
	if p.run == nil {
		return
	}
	_ = p.run.command.Process.Kill() // it may have ended already
	<-p.run.ended
}

// Signal sends a signal and does not wait.
func (p *Process) Signal(s os.Signal) {
	p.tb.Helper()
	if err := p.run.command.Process.Signal(s); err != nil {
		p.tb.Fatalf("signal %s: %v", p.argv[0], err)
	}
}

// Stop ends the program by SIGTERM and waits for its end, whatever its exit code.
func (p *Process) Stop() {
	p.tb.Helper()
	p.Signal(syscall.SIGTERM)
	if err := p.Wait(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			p.tb.Fatal(err)
		}
	}
}

// Wait waits until the program has ended by itself. The error is that of
// exec.Cmd.Wait, nil after exit code 0.
func (p *Process) Wait() error {
	select {
	case <-p.run.ended:
		return p.run.err
	case <-time.After(Patience):
		return fmt.Errorf("%s still runs after %v", p.argv[0], Patience)
	}
}

// PID is the process id of the newest run.
func (p *Process) PID() int { return p.run.command.Process.Pid }

// CPU is what the program has used of processors, user and system time.
func (p *Process) CPU() time.Duration {
	p.tb.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
	if err != nil {
		p.tb.Fatalf("read the processor time of %s: %v", p.argv[0], err)
	}
	_, after, _ := strings.Cut(string(stat), ") ") // the name may hold anything
	var user, system int64
	const skipped = "%1s %d %d %d %d %d %d %d %d %d %d "
	var state string
	var n [10]int64
	if _, err := fmt.Sscanf(after, skipped+"%d %d", &state, &n[0], &n[1], &n[2], &n[3], &n[4], &n[5],
		&n[6], &n[7], &n[8], &n[9], &user, &system); err != nil {
		p.tb.Fatalf("read the processor time of %s in %q: %v", p.argv[0], stat, err)
	}
	return time.Duration(user+system) * (time.Second / 100) // Linux counts hundredths
}

// Log is what all runs have written so far. Any goroutine may call it.
func (p *Process) Log() string { return p.log.String() }

// log collects what programs write. It may be used by many goroutines.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// tail is the end of a log, as much as a person reads.
func (l *log) tail() string {
	const most = 8 << 10
	text := l.String()
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}
