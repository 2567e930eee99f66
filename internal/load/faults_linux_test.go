package load

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

// hub is a server of the plain protocol for one room that does one thing wrong.
type hub struct {
	fault func(n int, frame string) []string // what the second member gets for the nth message

	mu      sync.Mutex
	members []*websocket.Conn // guarded by mu
	seq     int               // guarded by mu
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	h.mu.Lock()
	h.members = append(h.members, conn)
	h.mu.Unlock()
	for {
		_, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		text, err := wire.DecodePlain(data)
		if err != nil {
			return
		}
		h.publish(text)
	}
}

func (h *hub) publish(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	frame := fmt.Sprintf(`{"message":"%s"}`, text)
	for i, m := range h.members {
		frames := []string{frame}
		if i == 1 {
			frames = h.fault(h.seq, frame)
		}
		for _, f := range frames {
			_ = m.Write(context.Background(), websocket.MessageText, []byte(f)) // members may leave
		}
	}
}

func TestEveryFaultOfAServerMakesTheResultInvalid(t *testing.T) {
	held := ""
	for name, c := range map[string]struct {
		fault func(n int, frame string) []string
		want  string // "" is valid
	}{
		"none": {func(_ int, f string) []string { return []string{f} }, ""},
		"a lost message": {func(n int, f string) []string {
			if n == 20 {
				return nil
			}
			return []string{f}
		}, "deliveries never came"},
		"a double": {func(n int, f string) []string {
			if n == 20 {
				return []string{f, f}
			}
			return []string{f}
		}, "that nobody posted"},
		"one for another": {func(n int, f string) []string {
			switch n {
			case 20:
				held = f
				return []string{f}
			case 21:
				return []string{held}
			}
			return []string{f}
		}, "another sequence"},
		"two swapped": {func(n int, f string) []string {
			switch n {
			case 20:
				held = f
				return nil
			case 21:
				return []string{f, held}
			}
			return []string{f}
		}, "another sequence"},
		"a changed letter": {func(n int, f string) []string {
			if n == 20 {
				f = strings.Replace(f, "x", "y", 1)
			}
			return []string{f}
		}, "a text that was not posted like this"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(&hub{fault: c.fault})
			defer server.Close()
			p := small(Fanout, netip.MustParseAddrPort(server.Listener.Addr().String()))
			p.Protocol, p.Rooms, p.Members, p.Posters, p.Slack = Plain{}, 1, 3, 1, time.Second
			r, err := Run(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			why := lost(r)
			if c.want == "" && why != "" || c.want != "" && (r.Valid || !strings.Contains(r.Why(), c.want)) {
				t.Errorf("got %q, want %q", r.Why(), c.want)
			}
		})
	}
}

func TestAServerThatEndsTheConnectionsIsTold(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := websocket.Accept(w, r, nil); err == nil {
			_ = conn.Close(wire.CloseOverloaded, "too many")
		}
	}))
	defer server.Close()
	p := small(Fanout, netip.MustParseAddrPort(server.Listener.Addr().String()))
	p.Rooms = 1
	_, err := Run(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "5 times: closed with 1013") {
		t.Errorf("got %v", err)
	}
}
