package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// benchServer is a server of bench's own: this program again, in another
// process, with a temporary folder.
type benchServer struct {
	command *exec.Cmd
	folder  string
	address netip.AddrPort
	log     *os.File // in the folder

	over chan struct{}  // closed by stop
	held sync.WaitGroup // of hold
}

func (s *benchServer) pid() int { return s.command.Process.Pid }

// itself is this program, also when the file it came from was replaced.
const itself = "/proc/self/exe"

// startServer starts a server on a processor, or on any with -1, and waits until
// it says where it is.
func startServer(ctx context.Context, env []string, cpu int) (s *benchServer, err error) {
	s = &benchServer{over: make(chan struct{})}
	if s.folder, err = os.MkdirTemp("", "teahouse-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for the server: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.log, err = os.Create(filepath.Join(s.folder, "log")); err != nil {
		return s, fmt.Errorf("make a log for the server: %w", err)
	}
	s.command = exec.Command(itself, "serve", "--listen", "127.0.0.1:0", "--limits", "off",
		"--data", filepath.Join(s.folder, "data"), "--log-level", "warn")
	s.command.Args[0] = os.Args[0]
	for _, e := range env {
		if !strings.HasPrefix(e, "TEAHOUSE_") {
			s.command.Env = append(s.command.Env, e)
		}
	}
	s.command.Stderr = s.log
	s.command.SysProcAttr = childAttributes()
	out, err := s.command.StdoutPipe()
	if err != nil {
		return s, fmt.Errorf("listen to the server: %w", err)
	}
	start := s.command.Start
	if cpu >= 0 {
		start = func() error { return load.StartPinned([]int{cpu}, s.command.Start) }
	}
	if err := s.hold(start); err != nil {
		return s, fmt.Errorf("start the server: %w", err)
	}
	return s, s.find(ctx, out)
}

// hold starts the server from a thread that lives until stop, because the kernel
// ends the server with the thread that started it.
func (s *benchServer) hold(start func() error) error {
	started := make(chan error)
	s.held.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- start()
		<-s.over
	})
	return <-started
}

// greeting is where the server says it is.
var greeting = regexp.MustCompile(`http://localhost:(\d+)/`)

// find reads the address from what the server says first.
func (s *benchServer) find(ctx context.Context, out io.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, serverPatience)
	defer cancel()
	unheard := context.AfterFunc(ctx, func() { _ = s.command.Process.Kill() }) // ends the reading below
	defer unheard()
	line, _ := bufio.NewReader(out).ReadString('\n') // without a line there is no match
	found := greeting.FindStringSubmatch(line)
	if found == nil {
		return fmt.Errorf("the server did not start: %s", s.lastWords())
	}
	var err error
	if s.address, err = netip.ParseAddrPort("127.0.0.1:" + found[1]); err != nil {
		return fmt.Errorf("the server says it is at %s: %w", line, err)
	}
	return nil
}

// lastWords is the end of the server's log.
func (s *benchServer) lastWords() string {
	text, err := os.ReadFile(s.log.Name())
	if err != nil || len(text) == 0 {
		return "it said nothing"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// stop ends the server in order, or at once after a while, and removes its
// folder.
func (s *benchServer) stop() error {
	var errs []error
	if s.command != nil && s.command.Process != nil {
		late := time.AfterFunc(serverPatience, func() { _ = s.command.Process.Kill() })
		if err := s.command.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
		if err := s.command.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("the server ended badly: %w: %s", err, s.lastWords()))
		}
		late.Stop()
	}
	close(s.over)
	s.held.Wait()
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.folder))...)
}
