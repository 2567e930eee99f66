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
	fault      func(n int, frame string) []string // what the second member gets for the nth message
	everybody  bool                               // so do all the others
	unnumbered bool                               // messages have no seq

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
	frame := fmt.Sprintf(`{"message":"%s","seq":%d}`, text, h.seq)
	if h.unnumbered {
		frame = fmt.Sprintf(`{"message":"%s"}`, text)
	}
	wrong := h.fault(h.seq, frame)
	for i, m := range h.members {
		frames := []string{frame}
		if i == 1 || h.everybody {
			frames = wrong
		}
		for _, f := range frames {
			_ = m.Write(context.Background(), websocket.MessageText, []byte(f)) // members may leave
		}
	}
}

func TestEveryFaultOfAServerMakesTheResultInvalid(t *testing.T) {
	held := ""
	swap := func(n int, f string) []string {
		switch n {
		case 20:
			held = f
			return nil
		case 21:
			return []string{f, held}
		}
		return []string{f}
	}
	for name, c := range map[string]struct {
		fault     func(n int, frame string) []string
		everybody bool
		want      string // "" is valid
	}{
		"none": {func(_ int, f string) []string { return []string{f} }, false, ""},
		"a lost message": {func(n int, f string) []string {
			if n == 20 {
				return nil
			}
			return []string{f}
		}, false, "deliveries never came"},
		"a double": {func(n int, f string) []string {
			if n == 20 {
				return []string{f, f}
			}
			return []string{f}
		}, false, "that nobody posted"},
		"one for another": {func(n int, f string) []string {
			switch n {
			case 20:
				held = f
				return []string{f}
			case 21:
				return []string{held}
			}
			return []string{f}
		}, false, "another sequence"},
		"two swapped":               {swap, false, "another sequence"},
		"two swapped for everybody": {swap, true, "a poster's own posts in another order"},
		"a number left out": {func(n int, f string) []string {
			if n >= 20 {
				f = strings.Replace(f, fmt.Sprintf(`"seq":%d}`, n), fmt.Sprintf(`"seq":%d}`, n+1), 1)
			}
			return []string{f}
		}, false, "a seq that does not follow"},
		"a changed letter": {func(n int, f string) []string {
			if n == 20 {
				f = strings.Replace(f, "x", "y", 1)
			}
			return []string{f}
		}, false, "a text that was not posted like this"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(&hub{fault: c.fault, everybody: c.everybody, unnumbered: !strings.Contains(c.want, "seq that")})
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
