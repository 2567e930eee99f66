package channels

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// joiner is a consumer that joins a group and tells how it ended.
type joiner struct {
	Base
	codes chan int
}

func (j *joiner) Connect(ctx context.Context, c *Conn) error { return c.GroupAdd(ctx, "g") }

func (j *joiner) Disconnect(_ context.Context, _ *Conn, code int) {
	if j.codes != nil {
		j.codes <- code
	}
}

// dial opens a WebSocket to a server of a test; what follows is read from r.
func dial(t testing.TB, url string) (c net.Conn, r *bufio.Reader) {
	t.Helper()
	host := strings.TrimPrefix(url, "http://")
	c, err := net.Dial("tcp", host)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGVhaG91c2UgdGVzdGluZw==\r\n\r\n", host)
	must(t, err)
	r = bufio.NewReaderSize(c, 1<<10)
	resp, err := http.ReadResponse(r, nil)
	must(t, err)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %s", resp.Status)
	}
	return c, r
}

func TestASlowMemberIsCutAndTheOthersGetEverything(t *testing.T) {
	l := newTestLayer(t, nil)
	codes := make(chan int, 2)
	e := Handler(func() Consumer { return &joiner{codes: codes} }, &Options{
		Layer: l, Backlog: 256 << 10, Logger: quiet(),
		Render: map[string]func(Event) (Frame, error){"say": say},
	})
	srv := httptest.NewServer(e)
	defer srv.Close()
	stuck, _ := dial(t, srv.URL)
	must(t, stuck.(*net.TCPConn).SetReadBuffer(4<<10))
	goodConn, good := dial(t, srv.URL)

	text := strings.Repeat("x", 16<<10)
	frame := string(websocket.AppendFrame(nil, websocket.OpText, []byte(text)))
	got := make([]byte, len(frame))
	// Each event is read before the next is sent, so the good member never lags.
	for n, cut := 0, false; !cut; n++ {
		must(t, l.GroupSend(t.Context(), "g", Event{Type: "say", Payload: text}))
		if _, err := io.ReadFull(good, got); err != nil || string(got) != frame {
			t.Fatalf("the good member's frame %d: %v", n, err)
		}
		select {
		case code := <-codes:
			if code != CloseTooSlow {
				t.Errorf("the stuck member ended with %d, want %d", code, CloseTooSlow)
			}
			cut = true
		default:
		}
	}
	_ = goodConn.Close() // or Shutdown would wait for its answer
	if st := l.Stats(); st.Slow != 1 {
		t.Errorf("stats %+v, want 1 slow", st)
	}
	must(t, e.Shutdown(t.Context(), 1001, nil))
}

// shown is a consumer that hands its connection over.
type shown struct {
	joiner
	conns chan *Conn
}

func (s *shown) Connect(_ context.Context, c *Conn) error {
	s.conns <- c
	return nil
}

func TestTheEndpointsOfALayerShareTheBoundOfAllThatWaits(t *testing.T) {
	const bound = 1 << 20
	l := newTestLayer(t, &LayerOptions{Backlog: bound})
	codes, conns := make(chan int, 2), make(chan *Conn, 2)
	endpoints := make([]*Endpoint, 2)
	for i := range endpoints {
		endpoints[i] = Handler(func() Consumer { return &shown{joiner{codes: codes}, conns} },
			&Options{Layer: l, Backlog: 64 << 20, Logger: quiet()})
		srv := httptest.NewServer(endpoints[i])
		defer srv.Close()
		stuck, _ := dial(t, srv.URL)
		must(t, stuck.(*net.TCPConn).SetReadBuffer(4<<10))
	}
	members := []*Conn{<-conns, <-conns}
	frame := Frame{Data: make([]byte, 16<<10)}
	for n := 0; l.Stats().Shed == 0; n++ {
		must(t, members[n%2].Send(frame))
		if waits := l.Stats().Backlog; waits > bound {
			t.Fatalf("%d bytes wait", waits)
		}
	}
	if code := <-codes; code != CloseTooSlow {
		t.Errorf("closed with %d, want %d", code, CloseTooSlow)
	}
	for i, e := range endpoints {
		members[i].sock.Cut()
		must(t, e.Shutdown(t.Context(), 1001, nil))
	}
	if st := l.Stats(); st.Slow != 1 || st.Shed != 1 || st.Backlog != 0 {
		t.Errorf("stats %+v, want 1 slow and shed, and nothing waiting", st)
	}
}

func TestControlBytesInHeadersOfTheHandshakeAreRefused(t *testing.T) {
	srv := httptest.NewServer(Handler(func() Consumer { return Base{} }, &Options{Logger: quiet()}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, smuggled := range []string{"\x00", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x7f"} {
		c, err := net.Dial("tcp", host)
		must(t, err)
		_, err = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Tea: a%sX-More: b\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGVhaG91c2UgdGVzdGluZw==\r\n\r\n", host, smuggled)
		must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
		if resp.StatusCode != http.StatusBadRequest {
			t.Errorf("a header with the byte %q: %s, want 400", smuggled, resp.Status)
		}
		must(t, c.Close())
	}
}

func TestNothingIsLeftAfterManyConnections(t *testing.T) {
	l := newTestLayer(t, nil)
	e := Handler(func() Consumer { return &joiner{} }, &Options{Layer: l, Logger: quiet()})
	srv := httptest.NewServer(e)
	defer srv.Close()
	for range 20 {
		var conns []net.Conn
		for range 50 {
			c, _ := dial(t, srv.URL)
			conns = append(conns, c)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	}
	must(t, e.Shutdown(t.Context(), 1001, nil))
	if st := l.Stats(); st.Groups+st.Members+st.Channels+e.Len() != 0 {
		t.Errorf("left: %+v, %d connections", st, e.Len())
	}
}

// BenchmarkGroupSend measures one delivery to a group of 1,000: ns/op and
// allocs/op are for each member. "fake" is this package alone.
func BenchmarkGroupSend(b *testing.B) {
	const members = 1000
	text := strings.Repeat("x", 64)
	b.Run("fake", func(b *testing.B) {
		l := newTestLayer(b, nil)
		e := plain(l)
		for range members {
			c, s := fakeConn(e)
			c.sock = nullSocket{s}
			must(b, c.GroupAdd(b.Context(), "g"))
		}
		deliver(b, l, text, members)
	})
	b.Run("sockets", func(b *testing.B) {
		l := newTestLayer(b, nil)
		e := Handler(func() Consumer { return &joiner{} }, &Options{
			Layer: l, Backlog: 64 << 20, Logger: quiet(), Render: map[string]func(Event) (Frame, error){"say": say},
		})
		srv := httptest.NewServer(e)
		defer srv.Close()
		var readers sync.WaitGroup
		var bytes atomic.Int64
		var clients []net.Conn
		for range members {
			c, r := dial(b, srv.URL)
			clients = append(clients, c)
			readers.Go(func() { _, _ = io.Copy(counter{&bytes}, r) })
		}
		events := deliver(b, l, text, members)
		for want := int64(events * members * (len(text) + 2)); bytes.Load() < want; {
			time.Sleep(time.Millisecond)
		}
		for _, c := range clients {
			_ = c.Close()
		}
		readers.Wait()
		must(b, e.Shutdown(b.Context(), 1001, nil))
	})
}

// deliver sends until every member has had b.N/members events and returns how
// many events that was.
func deliver(b *testing.B, l *Layer, text string, members int) (events int) {
	events = b.N/members + 1
	before := l.Stats()
	b.ReportAllocs()
	b.ResetTimer()
	for range events {
		must(b, l.GroupSend(b.Context(), "g", Event{Type: "say", Payload: text}))
	}
	must(b, l.Flush(b.Context())) // waits for the rounds
	b.StopTimer()
	after := l.Stats()
	if n := after.Delivered - before.Delivered; n != uint64(events*members) {
		b.Errorf("%d delivered, want %d", n, events*members)
	}
	b.ReportMetric(float64(after.Delivered-before.Delivered)/float64(after.Writes-before.Writes), "deliveries/write")
	return events
}

// counter is an io.Writer that counts.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// nullSocket takes everything and keeps nothing.
type nullSocket struct{ *fakeSocket }

func (nullSocket) Write([]byte) error { return nil }
