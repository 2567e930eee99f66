package parts

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NATSOptions are what can be chosen of a NATSServer. All may be empty.
type NATSOptions struct {
	Config string   // text of a configuration file: "max_payload: 2MB"
	Args   []string // of nats-server, behind those that this package sets
}

// NATSServer is a nats-server, or one between two runs. It listens on a port of
// 127.0.0.1, the same in all runs.
type NATSServer struct {
	*Process

	// fixed
	Address string // host:port
}

// NATS starts a NATS server, and waits until it answers.
func NATS(tb testing.TB, o NATSOptions) *NATSServer {
	tb.Helper()
	server := Program(tb, "nats-server")
	config := filepath.Join(folder(tb), "nats.conf")
	if err := os.WriteFile(config, []byte(o.Config), 0o600); err != nil {
		tb.Fatal(err)
	}
	for attempt := 1; ; attempt++ {
		s := &NATSServer{Address: freeAddress(tb)}
		_, port, _ := net.SplitHostPort(s.Address)
		s.Process = NewProcess(tb, append([]string{server, "--config", config, "--addr", "127.0.0.1", "--port", port}, o.Args...), nil)
		err := s.Start()
		if err == nil {
			err = s.answers()
		}
		if err == nil {
			return s
		}
		if attempt == 3 { // somebody may have taken the port
			tb.Fatalf("start NATS: %v\n%s", err, s.log.tail())
		}
	}
}

// URL is the address as NATS clients write it.
func (s *NATSServer) URL() string { return "nats://" + s.Address }

// Restart ends the server by SIGTERM, if it runs, and starts it anew.
func (s *NATSServer) Restart() {
	s.tb.Helper()
	if s.Alive() {
		s.Stop()
	}
	s.begin()
}

// Crash ends the server by SIGKILL, if it runs, and starts it anew.
func (s *NATSServer) Crash() {
	s.tb.Helper()
	s.Kill()
	s.begin()
}

func (s *NATSServer) begin() {
	s.tb.Helper()
	if err := s.Start(); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.answers(); err != nil {
		s.tb.Fatalf("start NATS anew: %v\n%s", err, s.log.tail())
	}
}

// answers waits until the server greets.
func (s *NATSServer) answers() error {
	for end := time.Now().Add(Patience); s.Alive() && time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.greets() {
			return nil
		}
	}
	return fmt.Errorf("nats-server at %s did not answer", s.Address)
}

func (s *NATSServer) greets() bool {
	c, err := net.Dial("tcp", s.Address)
	if err != nil {
		return false
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && strings.HasPrefix(line, "INFO ")
}
