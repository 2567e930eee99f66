package peer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// patience bounds the start and the end of a server.
const patience = 20 * time.Second

// Server is a peer that runs.
type Server struct {
	Address netip.AddrPort
	Admin   string // host:port of its metrics and profiler; empty when it has none
	PID     int

	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	failed  error         // how; read it after ended
	folders []string
	log     *os.File
	rings   bool // as in Peer
}

// Start starts the peer, which must have been built, on one processor, and waits
// until it takes connections. cpu -1 is any processor.
func (p Peer) Start(ctx context.Context, w *Workshop, cpu int) (s *Server, err error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(w.Dir, p.Name+"-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", p.Name, err)
	}
	s = &Server{Address: address, ended: make(chan struct{}), folders: []string{folder}, rings: p.rings}
	if s.log, err = os.Create(filepath.Join(folder, "log")); err != nil {
		return nil, errors.Join(fmt.Errorf("make a log for %s: %w", p.Name, err), os.RemoveAll(folder))
	}
	if p.inRAM {
		if folder, err = os.MkdirTemp(ram, "teahouse-peers-"); err != nil {
			return nil, errors.Join(fmt.Errorf("make a folder for %s: %w", p.Name, err), s.clean())
		}
		s.folders = append(s.folders, folder)
	}
	args := p.command(w, strconv.Itoa(int(address.Port())), filepath.Join(folder, "data"))
	if p.admin {
		admin, err := freeAddress()
		if err != nil {
			return nil, errors.Join(err, s.clean())
		}
		s.Admin = admin.String()
		args = append(args, "--admin", s.Admin)
	}
	s.command = exec.Command(args[0], args[1:]...)
	s.command.Dir = filepath.Join(w.Module, p.dir)
	s.command.Env = append(os.Environ(), p.env...)
	s.command.Stdout, s.command.Stderr = s.log, s.log
	// A signal from the terminal is for the runner, which then stops the server.
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	start := s.command.Start
	if cpu >= 0 {
		start = func() error { return load.StartPinned([]int{cpu}, s.command.Start) }
	}
	if err := start(); err != nil {
		close(s.ended)
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.Name, err), s.clean())
	}
	s.PID = s.command.Process.Pid
	go func() {
		s.failed = s.command.Wait()
		close(s.ended)
	}()
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.Name, err), s.Stop())
	}
	return s, nil
}

// freeAddress is one that nobody listened on a moment ago.
func freeAddress() (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	address := l.Addr().(*net.TCPAddr).AddrPort()
	return address, l.Close()
}

// ready waits until a connection is taken.
func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var dialer net.Dialer
	for {
		c, err := dialer.DialContext(ctx, "tcp", s.Address.String())
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.ended:
			return fmt.Errorf("it ended at once: %s", s.Words())
		case <-ctx.Done():
			return fmt.Errorf("it takes no connections: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Words is the end of what the server has written, in one line.
func (s *Server) Words() string {
	text, err := os.ReadFile(s.log.Name())
	if err != nil || len(text) == 0 {
		return "it said nothing"
	}
	return strings.Join(strings.Fields(string(text[max(0, len(text)-300):])), " ")
}

// Gone says whether the process has ended by itself.
func (s *Server) Gone() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// Writes is how many writes the server has made so far: to sockets by its own
// count when it has one, else the kernel's count of write system calls, to
// sockets and files.
func (s *Server) Writes() (int64, error) {
	if s.Admin != "" {
		return s.counted("teahouse_writes_total")
	}
	if s.rings {
		return 0, errors.New("the writes of this server are not counted")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", s.PID))
	if err != nil {
		return 0, fmt.Errorf("look at the server: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(line, "syscw: "); ok {
			return strconv.ParseInt(strings.TrimSpace(count), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/io has no syscw", s.PID)
}

// counted is a counter of the server's metrics.
func (s *Server) counted(name string) (int64, error) {
	r, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		return 0, fmt.Errorf("look at the server: %w", err)
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		if count, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(count, 64)
			return int64(n), err
		}
	}
	return 0, fmt.Errorf("http://%s/metrics has no %s", s.Admin, name)
}

// Stop ends the server, by force after a while, and removes its folder. How the
// process ended is no error: what it was asked has been measured.
func (s *Server) Stop() error {
	err := s.command.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	select {
	case <-s.ended:
	case <-time.After(patience):
		err = errors.Join(err, s.command.Process.Kill())
		<-s.ended
	}
	return errors.Join(err, s.clean())
}

func (s *Server) clean() error {
	err := s.log.Close()
	for _, f := range s.folders {
		err = errors.Join(err, os.RemoveAll(f))
	}
	return err
}
