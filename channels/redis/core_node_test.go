package redis

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// limited is a Core whose layer has other limits.
type limited struct {
	*Core
	change func(*channels.Node)
}

func (l limited) Start(n channels.Node) {
	l.change(&n)
	l.Core.Start(n)
}

// coreProcess starts a Core on servers, which ends with the test.
func coreProcess(tb testing.TB, hosts []string, change func(*channels.Node)) (*process, *Core) {
	tb.Helper()
	c, err := NewCore(Options{Hosts: hosts})
	if err != nil {
		tb.Fatal(err)
	}
	c.timing.tick, c.timing.lease = 100*time.Millisecond, 2*time.Second
	if change == nil {
		change = func(*channels.Node) {}
	}
	p := startProcess(tb, limited{c, change}, time.Minute)
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return p, c
}

// key is the sorted set of a process.
func (p *process) key() string { return "asgi" + p.channel("") }

// A process of Django's, and a channel of it.
const (
	djangoKey     = "asgispecific.0123456789abcdef0123456789abcdef!"
	djangoChannel = "specific.0123456789abcdef0123456789abcdef!fedcba9876543210fedcba9876543210"
)

// monitor begins to note the commands that clients send; the result ends that
// and returns them, without those inside scripts.
func monitor(tb testing.TB, server *parts.RedisServer) (end func() []string) {
	tb.Helper()
	c, err := net.Dial("unix", server.Socket)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(parts.Patience)); err != nil {
		tb.Fatal(err)
	}
	if _, err := c.Write([]byte("MONITOR\r\n")); err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewReader(c)
	if line, err := lines.ReadString('\n'); err != nil || line != "+OK\r\n" {
		tb.Fatalf("MONITOR: %q, %v", line, err)
	}
	return func() []string {
		server.Must("ECHO", "the end")
		var seen []string
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				tb.Fatal(err)
			}
			if strings.Contains(line, `"ECHO" "the end"`) {
				return seen
			}
			if _, command, ok := strings.Cut(line, "] "); ok && !strings.Contains(line, " lua]") {
				seen = append(seen, strings.TrimSpace(command))
			}
		}
	}
}
