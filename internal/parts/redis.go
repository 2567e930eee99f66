package parts

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisOptions are what can be chosen of a RedisServer. All may be empty.
type RedisOptions struct {
	Args []string // of redis-server, behind those that this package sets: "--maxmemory", "1mb"
	Save bool     // keep an append-only file, so that Restart brings everything back
}

// RedisServer is a redis-server, or one between two runs. It listens on both a
// port of 127.0.0.1 and a socket, the same in all runs.
type RedisServer struct {
	*Process

	// fixed
	Address string // host:port
	Socket  string // path of the Unix socket
	cli     string // redis-cli
}

// Redis starts a Redis server that is empty, and waits until it answers.
func Redis(tb testing.TB, o RedisOptions) *RedisServer {
	tb.Helper()
	server, cli := Program(tb, "redis-server"), Program(tb, "redis-cli")
	dir := folder(tb)
	keep := "no"
	if o.Save {
		keep = "yes"
	}
	for attempt := 1; ; attempt++ {
		s := &RedisServer{Address: freeAddress(tb), Socket: filepath.Join(dir, "redis.sock"), cli: cli}
		_, port, _ := net.SplitHostPort(s.Address)
		argv := []string{server, "--bind", "127.0.0.1", "--port", port, "--unixsocket", s.Socket,
			"--dir", dir, "--save", "", "--appendonly", keep, "--appendfsync", "always", "--daemonize", "no"}
		s.Process = NewProcess(tb, append(argv, o.Args...), nil)
		err := s.Start()
		if err == nil {
			err = s.answers()
		}
		if err == nil {
			return s
		}
		if attempt == 3 { // somebody may have taken the port
			tb.Fatalf("start Redis: %v\n%s", err, s.log.tail())
		}
	}
}

// URL is the address as Redis clients and Django settings write it.
func (s *RedisServer) URL() string { return "redis://" + s.Address + "/0" }

// Restart ends the server by SIGTERM, if it runs, and starts it anew.
func (s *RedisServer) Restart() {
	s.tb.Helper()
	if s.Alive() {
		s.Stop()
	}
	if err := s.Start(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.answers(); err != nil {
		s.tb.Fatalf("restart Redis: %v\n%s", err, s.log.tail())
	}
}

// Do runs one command by redis-cli and returns its answer, one line for each
// element, without the last newline. Any goroutine may call it.
func (s *RedisServer) Do(args ...string) (string, error) {
	out, err := exec.Command(s.cli, append([]string{"-s", s.Socket, "--raw", "-e"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("redis-cli %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// Must is Do for what cannot fail; the test does.
func (s *RedisServer) Must(args ...string) string {
	s.tb.Helper()
	out, err := s.Do(args...)
	if err != nil {
		s.tb.Fatal(err)
	}
	return out
}

// Calls is how often commands were run, by their lower-case name, since the
// server started; those inside scripts count too.
func (s *RedisServer) Calls() map[string]int {
	s.tb.Helper()
	calls := make(map[string]int)
	for line := range strings.Lines(s.Must("INFO", "commandstats")) {
		name, figures, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		first, _, _ := strings.Cut(figures, ",")
		n, err := strconv.Atoi(first)
		if err != nil {
			s.tb.Fatalf("read the command statistics in %q: %v", line, err)
		}
		calls[name] = n
	}
	return calls
}

// answers waits until the server answers PING.
func (s *RedisServer) answers() error {
	for end := time.Now().Add(Patience); s.Alive() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.ping() {
			return nil
		}
	}
	return fmt.Errorf("redis-server at %s did not answer", s.Address)
}

func (s *RedisServer) ping() bool {
	c, err := net.Dial("unix", s.Socket)
	if err != nil {
		return false
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "+PONG")
}

// folder is a fresh folder with a short path, since that of a socket may have
// 107 bytes and tests have long names.
func folder(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "parts-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	return dir
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
