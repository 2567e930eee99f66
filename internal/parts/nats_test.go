package parts

import (
	"net"
	"strings"
	"testing"
)

func TestNATSHasOneAddressInAllRuns(t *testing.T) {
	s := NATS(t, NATSOptions{Config: "max_payload: 4096"})
	if !s.greets() {
		t.Error("it does not greet")
	}
	s.Restart()
	s.Crash()
	s.Kill()
	if c, err := net.Dial("tcp", s.Address); err == nil {
		_ = c.Close()
		t.Error("it listens after Kill")
	}
	s.Restart()
	if want := "nats://127.0.0.1:"; !strings.HasPrefix(s.URL(), want) {
		t.Errorf("the URL is %s", s.URL())
	}
}
