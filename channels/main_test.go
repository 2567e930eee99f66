package channels

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSocket keeps what a connection was given. It can be told to be closed.
type fakeSocket struct {
	mu     sync.Mutex
	bytes  []byte
	writes int
	code   int
	cut    bool
}

func (s *fakeSocket) Write(run []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes = append(s.bytes, run...)
	s.writes++
	return nil
}

func (s *fakeSocket) WriteWait(_ context.Context, run []byte) error { return s.Write(run) }

func (s *fakeSocket) Close(code int, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.code == 0 {
		s.code = code
	}
}

func (s *fakeSocket) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
}

func (s *fakeSocket) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// got returns the payloads of all frames so far.
func (s *fakeSocket) got(t interface {
	Helper()
	Fatalf(string, ...any)
}) []string {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for b := s.bytes; len(b) > 0; {
		n, head := int(b[1]), 2
		switch n {
		case 126:
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		case 127:
			n, head = int(binary.BigEndian.Uint64(b[2:])), 10
		}
		if len(b) < head+n {
			t.Fatalf("a frame of %d bytes is cut at %d", head+n, len(b))
		}
		out = append(out, string(b[head:head+n]))
		b = b[head+n:]
	}
	return out
}

func (s *fakeSocket) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// fakeConn is a connection of e as it is after Connect, on a fake socket.
func fakeConn(e *Endpoint) (*Conn, *fakeSocket) {
	s := &fakeSocket{}
	e.enter()
	c := e.newConn(s, nil)
	c.connected = true
	e.add(c)
	return c, s
}

// plain renders events of type "say", whose payload is text.
func plain(l *Layer) *Endpoint {
	return Handler(func() Consumer { return Base{} }, &Options{
		Layer:  l,
		Logger: quiet(),
		Render: map[string]func(Event) (Frame, error){"say": say},
	})
}

func say(e Event) (Frame, error) { return TextFrame([]byte(e.Payload.(string))), nil }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func newTestLayer(t testing.TB, o *LayerOptions) *Layer {
	t.Helper()
	if o == nil {
		o = &LayerOptions{}
	}
	if o.Logger == nil {
		o.Logger = quiet()
	}
	l := NewLayer(o)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the layer: %v", err)
		}
	})
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sendAll(t testing.TB, l *Layer, group string, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		must(t, l.GroupSend(t.Context(), group, Event{Type: "say", Seq: int64(i), Payload: fmt.Sprint(i)}))
	}
}

func numbers(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "%d ", i)
	}
	return strings.TrimSpace(b.String())
}
