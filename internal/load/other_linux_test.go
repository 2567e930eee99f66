package load_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// steps is a protocol in the manner of others: the server speaks first, joining
// takes an answer, and heartbeats are text frames.
type steps struct{}

func (steps) Name() string        { return "steps" }
func (steps) JoinsSilently() bool { return false }
func (steps) Handshake(m *load.Member) (string, []string) {
	return "/sockets?room=" + m.Room, []string{"X-Member: yes"}
}
func (steps) Open(*load.Member) [][]byte { return nil }
func (steps) AppendPost(dst []byte, _ *load.Member, _ uint32, text []byte) []byte {
	return append(append(append(dst, `["say","`...), text...), `"]`...)
}
func (steps) Read(_ *load.Member, frame []byte, s *load.Seen) {
	switch {
	case bytes.Equal(frame, []byte("who?")):
		s.Reply = []byte("me")
	case bytes.Equal(frame, []byte("in")):
		s.Joined = true
	case bytes.Equal(frame, []byte("2")):
		s.Reply = []byte("3")
	default: // several messages may share a frame
		for text, rest, ok := load.NextText(frame); ok; text, rest, ok = load.NextText(rest) {
			s.Deliveries = append(s.Deliveries, load.Delivery{Text: text})
		}
	}
}

// house is a server of it with one room.
type house struct {
	mu      sync.Mutex
	members []*websocket.Conn // guarded by mu
	beats   int               // guarded by mu
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil || r.Header.Get("X-Member") != "yes" {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	send := func(c *websocket.Conn, text string) {
		_ = c.Write(context.Background(), websocket.MessageText, []byte(text)) // members may leave
	}
	send(conn, "who?")
	for {
		_, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		h.mu.Lock()
		switch string(data) {
		case "me":
			h.members = append(h.members, conn)
			send(conn, "2")
			send(conn, "in")
		case "3":
			h.beats++
		default:
			for _, m := range h.members {
				send(m, "["+string(data)+"]")
			}
		}
		h.mu.Unlock()
	}
}

func TestAnotherServersProtocolNeedsOnlyADriver(t *testing.T) {
	h := &house{}
	server := httptest.NewServer(h)
	defer server.Close()
	p := load.Default(load.Fanout)
	p.Protocol, p.Address = steps{}, netip.MustParseAddrPort(server.Listener.Addr().String())
	p.Rooms, p.Members, p.Posters, p.Window = 1, 4, 2, 3
	p.Warm, p.For = 20*time.Millisecond, 200*time.Millisecond
	r, err := load.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.Deliveries == 0 || h.beats != 4 || r.ServerRSS != 0 {
		t.Errorf("%d deliveries, %d heartbeats, %+v", r.Deliveries, h.beats, r)
	}
}

func ExampleNextText() {
	frame := []byte(`42["say","~0000100000002000000000003ab"]`)
	for text, rest, ok := load.NextText(frame); ok; text, rest, ok = load.NextText(rest) {
		fmt.Printf("%s\n", text)
	}
	// Output:
	// ~0000100000002000000000003ab
}
