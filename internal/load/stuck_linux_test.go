package load_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// archive is a server of one room that keeps everything: who comes says who they
// are and after which message to begin. The test says whom it cuts.
type archive struct {
	mu      sync.Mutex
	log     []string                // guarded by mu
	members map[int]*websocket.Conn // guarded by mu
}

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.FormValue("id"))
	after, _ := strconv.Atoi(r.FormValue("after"))
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	a.mu.Lock()
	say(conn, "in")
	for _, frame := range a.log[after:] {
		say(conn, frame)
	}
	a.members[id] = conn
	a.mu.Unlock()
	for {
		_, text, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		a.mu.Lock()
		frame := fmt.Sprintf(`%d "%s"`, len(a.log)+1, text)
		a.log = append(a.log, frame)
		for _, m := range a.members {
			say(m, frame)
		}
		a.mu.Unlock()
	}
}

func say(c *websocket.Conn, text string) {
	_ = c.Write(context.Background(), websocket.MessageText, []byte(text)) // members may be gone
}

func (a *archive) cut(id int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.members[id]; c != nil {
		_ = c.CloseNow()
		delete(a.members, id)
	}
}

// positions is the protocol of archive.
type positions struct {
	resumes bool // members know what they have when they come back
}

func (positions) Name() string               { return "positions" }
func (positions) JoinsSilently() bool        { return false }
func (positions) Open(*load.Member) [][]byte { return nil }
func (positions) Handshake(m *load.Member) (string, []string) {
	return fmt.Sprintf("/?id=%d&after=%d", m.ID, m.After), nil
}
func (positions) AppendPost(dst []byte, _ *load.Member, _ uint32, text []byte) []byte {
	return append(dst, text...)
}
func (p positions) Read(_ *load.Member, frame []byte, s *load.Seen) {
	if string(frame) == "in" {
		s.Joined = true
		if p.resumes {
			s.Epoch = "the only one"
		}
		return
	}
	number, _, _ := bytes.Cut(frame, []byte(" "))
	seq, _ := strconv.ParseInt(string(number), 10, 64)
	if text, _, ok := load.NextText(frame); ok {
		s.Deliveries = append(s.Deliveries, load.Delivery{Seq: seq, Text: text})
	}
}

// TestMembersThatStopReadingComeBackAndMissNothing has two of five stop reading,
// twice, and the server cut the last of them each time.
func TestMembersThatStopReadingComeBackAndMissNothing(t *testing.T) {
	const members, stuck = 5, 2
	for _, c := range []struct {
		name        string
		resumes     bool
		stalls, cut int
	}{
		{"with positions", true, 4, 2},
		{"without them, who was cut stays away", false, 3, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &archive{members: make(map[int]*websocket.Conn)}
			server := httptest.NewServer(a)
			defer server.Close()
			p := load.Default(load.Rate)
			p.Protocol, p.Address = positions{c.resumes}, netip.MustParseAddrPort(server.Listener.Addr().String())
			p.Rooms, p.Members, p.Posters, p.Rate, p.Stuck = 1, members, 1, 100, stuck
			p.Warm, p.For = 20*time.Millisecond, 800*time.Millisecond // two turns of each kind
			p.Progress = func(now load.Progress) {
				if now.Doing == "some do not read" {
					a.cut(members)
				}
			}
			r, err := load.Run(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if why := faults(r); why != nil {
				t.Errorf("invalid: %q", why)
			}
			if r.Stalls != c.stalls || r.Cut != c.cut {
				t.Errorf("%d stalls, %d cut; want %d and %d", r.Stalls, r.Cut, c.stalls, c.cut)
			}
			if r.Latency == nil || r.LatencyStuck == nil || r.StuckP99 == 0 {
				t.Errorf("nothing was measured: %+v", r)
			}
		})
	}
}

// faults are what a server did wrong. That the generator was late is no fault:
// tests share the machine.
func faults(r load.Result) (why []string) {
	for _, p := range r.Problems {
		if !strings.Contains(p, "generator") {
			why = append(why, p)
		}
	}
	return why
}
