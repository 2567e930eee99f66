package websocket

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// newTLSServer is newServer over TLS; connect makes a client whose TLS runs over
// the connection that under makes of a socket.
func newTLSServer(t *testing.T) (connect func(under func(net.Conn) net.Conn) (*client, *peer)) {
	o := &Options{Backlog: 64 << 20}
	peers := make(chan *peer, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Begin(w, r, o)
		if err != nil {
			return
		}
		p := &peer{Conn: c, closed: make(chan ending, 2)}
		if err := c.Open("", nil); err != nil {
			t.Error(err)
			return
		}
		c.Start(p)
		peers <- p
	}))
	t.Cleanup(s.Close)
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	config.ServerName = "example.com"
	return func(under func(net.Conn) net.Conn) (*client, *peer) {
		nc, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return upgrade(t, tls.Client(under(nc), config), ""), <-peers
	}
}

func direct(nc net.Conn) net.Conn { return nc }

// holder keeps what is written while holding.
type holder struct {
	net.Conn
	holding bool
	held    bytes.Buffer
}

func (h *holder) Write(b []byte) (int, error) {
	if h.holding {
		return h.held.Write(b)
	}
	return h.Conn.Write(b)
}

// pass sends the next n bytes of those held, or all with -1.
func (h *holder) pass(t *testing.T, n int) {
	t.Helper()
	if n < 0 {
		n = h.held.Len()
	}
	if _, err := h.Conn.Write(h.held.Next(n)); err != nil {
		t.Fatal(err)
	}
}

// awaitParked waits until n readers wait for their socket and none in
// crypto/tls.
func awaitParked(t *testing.T, n int) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		text := string(stacks[:runtime.Stack(stacks, true)])
		parked, reading := 0, 0
		for g := range strings.SplitSeq(text, "\n\n") {
			switch {
			case !strings.Contains(g, "(*tlsSource).next"):
			case strings.Contains(g, "(*rawConn).Read"):
				parked++
			default:
				reading++
			}
		}
		if parked == n && reading == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d readers wait for their socket, and %d elsewhere:\n%s", parked, n, reading, text)
		}
	}
}

// TestASilentTLSClientsReaderWaitsForTheSocketAlone takes connections through
// the hand-over in every state that crypto/tls can be in, and on from there.
func TestASilentTLSClientsReaderWaitsForTheSocketAlone(t *testing.T) {
	connect := newTLSServer(t)
	long := strings.Repeat("long ", 1000) // more than the small buffer takes at once
	rows := []struct {
		name   string
		before func(c *client, h *holder) // while the reader is in crypto/tls
		after  func(c *client, h *holder, p *peer)
		code   int // of the end; 0 is that of the test's own hanging up
	}{
		{"and hears what comes next", func(c *client, _ *holder) {
			c.send(OpText, "one")
			c.expect(OpText, "one")
		}, func(c *client, _ *holder, _ *peer) {
			c.send(OpText, "two")
			c.expect(OpText, "two")
			c.send(OpText, long)
			c.expect(OpText, long)
		}, 0},
		{"before it has said anything", func(*client, *holder) {}, func(c *client, _ *holder, _ *peer) {
			c.send(OpText, "first")
			c.expect(OpText, "first")
		}, 0},
		{"with half a record read", func(c *client, h *holder) {
			h.holding = true
			c.send(OpText, "torn record")
			h.pass(t, 12)
		}, func(c *client, h *holder, _ *peer) {
			h.pass(t, -1)
			c.expect(OpText, "torn record")
		}, 0},
		{"with half a message read", func(c *client, _ *holder) {
			c.raw(clientFrame(byte(OpText), "half a "))
		}, func(c *client, _ *holder, _ *peer) {
			c.raw(clientFrame(bitFIN|byte(opContinuation), "message"))
			c.expect(OpText, "half a message")
		}, 0},
		{"with more waiting than one read takes", func(c *client, h *holder) {
			c.send(OpText, "x")
			c.expect(OpText, "x")
			h.holding = true
			for range 50 {
				c.send(OpText, "one record of many")
			}
		}, func(c *client, h *holder, _ *peer) {
			h.pass(t, -1)
			for range 50 {
				c.expect(OpText, "one record of many")
			}
		}, 0},
		{"until it is cut", func(*client, *holder) {}, func(_ *client, _ *holder, p *peer) { p.Cut() }, 1006},
		{"until it is closed", func(*client, *holder) {}, func(c *client, _ *holder, p *peer) {
			p.Close(1000, "")
			c.expectClose(1000)
			c.send(OpClose, closePayload(1000, ""))
		}, 1000},
		{"until the client hangs up", func(*client, *holder) {}, func(c *client, _ *holder, _ *peer) { c.Close() }, 1006},
	}
	type pair struct {
		c *client
		h *holder
		p *peer
	}
	pairs := make([]pair, len(rows))
	for i, r := range rows {
		h := &holder{}
		c, p := connect(func(nc net.Conn) net.Conn { h.Conn = nc; return h })
		pairs[i] = pair{c, h, p}
		r.before(c, h)
	}
	awaitParked(t, len(rows))
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			c, p := pairs[i].c, pairs[i].p
			c.t = t
			r.after(c, pairs[i].h, p)
			if r.code == 0 {
				p.Cut()
				p.ended(t)
				return
			}
			if e := p.ended(t); e.code != r.code {
				t.Errorf("Closed was told %v", e)
			}
		})
	}
}
