package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience bounds waits for what happens at once unless there is a bug.
const Patience = 20 * time.Second

// Options of StartWith. All may be empty.
type Options struct {
	Flags []string // of serve, beside --listen and --data
	Data  string   // data folder; empty is a fresh one
	Wrap  []string // command that runs the binary given behind it, which must become this process
	Env   []string // "KEY=value"
}

// Server is a running server, or one between two runs.
type Server struct {
	// fixed
	Address string // host:port
	URL     string // http://host:port, without a slash at the end
	Data    string // data folder
	tb      testing.TB
	options Options

	run *run // the newest process
	log Log
}

// run is one process.
type run struct {
	command *exec.Cmd
	ended   chan struct{} // closed when err is set
	err     error
}

// Start runs a server with more flags and waits until it is ready. The test's
// end kills it.
func Start(tb testing.TB, flags ...string) *Server {
	tb.Helper()
	return StartWith(tb, Options{Flags: flags})
}

// StartWith is Start with everything that can be chosen.
func StartWith(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := New(tb, o)
	s.Restart()
	return s
}

// New is a server that does not run yet.
func New(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := &Server{tb: tb, options: o, Address: freeAddress(tb), Data: o.Data}
	if s.Data == "" {
		s.Data = filepath.Join(tb.TempDir(), "data")
	}
	s.URL = "http://" + s.Address
	tb.Cleanup(func() {
		s.Kill()
		if strings.Contains(s.Log(), "WARNING: DATA RACE") || strings.Contains(s.Log(), "panic: ") {
			tb.Error("the server raced or panicked, see its log")
		}
		if tb.Failed() {
			tb.Logf("log of the server:\n%s", s.log.tail())
		}
	})
	return s
}

// freeAddress is an address that was free a moment ago.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Restart starts the next process on the same data and port, and waits until it
// is ready. It returns how long that took.
func (s *Server) Restart() time.Duration {
	s.tb.Helper()
	start := time.Now()
	if err := s.Launch(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.AwaitReady(); err != nil {
		s.tb.Fatalf("%v\n%s", err, s.log.tail())
	}
	return time.Since(start)
}

// Launch starts the next process and does not wait for it.
func (s *Server) Launch() error {
	if s.Alive() {
		return errors.New("the server runs already")
	}
	argv := append(append([]string{}, s.options.Wrap...), Binary(s.tb), "serve", "--listen", s.Address, "--data", s.Data)
	argv = append(argv, s.options.Flags...)
	r := &run{command: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	r.command.Stdout, r.command.Stderr = &s.log, &s.log
	r.command.Env = append(environment(), s.options.Env...)
	if err := r.command.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.run = r
	go func() { // ends with the process; Kill waits for it
		r.err = r.command.Wait()
		close(r.ended)
	}()
	return nil
}

// environment is this process's without settings of the server.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "TEAHOUSE_") {
			env = append(env, e)
		}
	}
	return env
}

// AwaitReady waits until /readyz answers 200, or the process ends.
func (s *Server) AwaitReady() error {
	client := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for end := time.Now().Add(Patience); time.Now().Before(end); {
		res, err := client.Get(s.URL + "/readyz")
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.run.ended:
			return fmt.Errorf("the server ended before it was ready: %w", s.run.err)
		case <-time.After(2 * time.Millisecond):
		}
	}
	return errors.New("the server did not get ready")
}

// Kill ends the process with SIGKILL, if one runs, and waits for its end.
func (s *Server) Kill() {
	if s.run == nil {
		return
	}
	_ = s.run.command.Process.Kill() // it may have ended already
	<-s.run.ended
}

// stopWithin is how long an orderly stop may take.
const stopWithin = 10 * time.Second

// Stop ends the process with SIGTERM. The test fails unless it ends with exit
// code 0 within 10 s.
func (s *Server) Stop() {
	s.tb.Helper()
	s.Terminate()
	if code, err := s.Wait(stopWithin); err != nil || code != 0 {
		s.tb.Fatalf("after SIGTERM: exit code %d, %v\n%s", code, err, s.log.tail())
	}
}

// Terminate sends SIGTERM and does not wait.
func (s *Server) Terminate() {
	s.tb.Helper()
	if err := s.run.command.Process.Signal(syscall.SIGTERM); err != nil {
		s.tb.Fatalf("terminate the server: %v", err)
	}
}

// Wait waits for the process to end and returns its exit code, -1 after a signal.
func (s *Server) Wait(within time.Duration) (code int, err error) {
	select {
	case <-s.run.ended:
		return s.run.command.ProcessState.ExitCode(), nil
	case <-time.After(within):
		return -1, fmt.Errorf("the server still runs after %v", within)
	}
}

// Alive says that the process runs.
func (s *Server) Alive() bool {
	if s.run == nil {
		return false
	}
	select {
	case <-s.run.ended:
		return false
	default:
		return true
	}
}

// Log is what all processes of this server have written so far.
func (s *Server) Log() string { return s.log.String() }
