package channels

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// client is what one member of the property test should have seen.
type client struct {
	conn *Conn
	sock *fakeSocket
	hold *Hold
	in   bool
	held []Event
	want []string
	last int64 // highest position seen
	from int64 // positions up to here came from the log
}

func (c *client) sees(e Event) {
	if e.Seq > 0 && e.Seq <= c.from {
		return
	}
	c.want = append(c.want, e.Payload.(string))
	c.last = max(c.last, e.Seq)
}

func TestMembersSeeEachPositionOnceAscendingThroughJoinsLeavesAndHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := NewLayer(&LayerOptions{Logger: quiet()})
		endpoints := []*Endpoint{plain(l), plain(l)}
		clients := make([]*client, 5)
		for i := range clients {
			c, s := fakeConn(endpoints[i%2])
			clients[i] = &client{conn: c, sock: s}
		}
		var log []Event
		sent := 0 // of the log
		ctx := t.Context()
		pick := rapid.SampledFrom(clients)
		check := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"store": func(*rapid.T) {
				seq := int64(len(log) + 1)
				log = append(log, Event{Type: "say", Seq: seq, Payload: fmt.Sprint(seq)})
			},
			"send": func(t *rapid.T) {
				e := Event{Type: "say", Payload: "without position"}
				if sent < len(log) && rapid.Bool().Draw(t, "stored") {
					e = log[sent]
					sent++
				}
				check(l.GroupSend(ctx, "g", e))
				for _, c := range clients {
					switch {
					case c.in && c.hold != nil:
						c.held = append(c.held, e)
					case c.in:
						c.sees(e)
					}
				}
			},
			"join": func(t *rapid.T) {
				c := pick.Draw(t, "client")
				check(c.conn.GroupAdd(ctx, "g"))
				c.in = true
			},
			"hold": func(t *rapid.T) {
				c := pick.Draw(t, "client")
				if c.in {
					t.Skip()
				}
				h, err := c.conn.GroupJoin(ctx, "g")
				check(err)
				c.in, c.hold = true, h
			},
			"replay and release": func(t *rapid.T) {
				c := pick.Draw(t, "client")
				if c.hold == nil {
					t.Skip()
				}
				for _, e := range log[c.last:] { // positions are dense
					check(c.conn.SendWait(ctx, TextFrame([]byte(e.Payload.(string)))))
					c.sees(e)
				}
				c.hold.Release(c.last)
				c.hold.Release(0) // counts for nothing
				c.from = c.last
				for _, e := range c.held {
					c.sees(e)
				}
				c.hold, c.held = nil, nil
			},
			"leave": func(t *rapid.T) {
				c := pick.Draw(t, "client")
				check(c.conn.GroupDiscard(ctx, "g"))
				c.in, c.hold, c.held, c.from = false, nil, nil, 0
			},
		})
		check(l.Close())
		for i, c := range clients {
			if diff := cmp.Diff(c.want, c.sock.got(t), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("client %d: %s", i, diff)
			}
		}
		if st := l.Stats(); st.Groups != 0 || st.Members != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestALogIsFollowedWithoutAHoleOrADoubleWhileMembersComeAndGo(t *testing.T) {
	const last, members = 2000, 8
	l := newTestLayer(t, nil)
	e := plain(l)
	ctx := t.Context()
	var mu sync.Mutex
	var log []string // an entry is stored before it is sent
	read := func(after int64) []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(log[after:])
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	socks := make([]*fakeSocket, members)
	for i := range members {
		c, s := fakeConn(e)
		socks[i] = s
		wg.Go(func() {
			for over := false; !over; {
				select {
				case <-stop:
					over = true // one more join, to have the end as well
				default:
				}
				h, err := c.GroupJoin(ctx, "g")
				if err != nil {
					t.Error(err)
					return
				}
				seen := int64(len(s.got(t)))
				for _, text := range read(seen) {
					_ = c.SendWait(ctx, TextFrame([]byte(text)))
					seen++
				}
				h.Release(seen)
				if n := rand.N(3); n > 0 && !over {
					sendAll(t, l, "other", 1, n)
				}
				if err := c.GroupDiscard(ctx, "g"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := 1; i <= last; i++ {
		mu.Lock()
		log = append(log, fmt.Sprint(i))
		mu.Unlock()
		sendAll(t, l, "g", i, i)
	}
	close(stop)
	wg.Wait()
	for i, s := range socks {
		if diff := cmp.Diff(numbers(1, last), strings.Join(s.got(t), " ")); diff != "" {
			t.Errorf("member %d: %s", i, diff)
		}
	}
}

func TestAHoldThatIsNeverReleasedIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		e := Handler(func() Consumer { return Base{} }, &Options{
			Layer: l, Backlog: 10_000, Render: map[string]func(Event) (Frame, error){"say": say},
		})
		held, heldSock := fakeConn(e)
		other, otherSock := fakeConn(e)
		must(t, other.GroupAdd(t.Context(), "g"))
		h, err := held.GroupJoin(t.Context(), "g")
		must(t, err)
		sendAll(t, l, "g", 1, 200)
		settleAll()
		if heldSock.code != CloseTooSlow {
			t.Errorf("closed with %d, want %d", heldSock.code, CloseTooSlow)
		}
		h.Release(0)
		sendAll(t, l, "g", 201, 202)
		settleAll()
		if n := len(otherSock.got(t)); n != 202 {
			t.Errorf("the other member has %d events, want 202", n)
		}
	})
}

func TestHeldEventsOfBothWaysKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		c, s := fakeConn(Handler(func() Consumer { return repeat{} }, &Options{
			Layer: l, Render: map[string]func(Event) (Frame, error){"say": say},
		}))
		h, err := c.GroupJoin(t.Context(), "g")
		must(t, err)
		for i := 1; i <= 6; i++ {
			typ := "say"
			if i%2 == 0 {
				typ = "repeat"
			}
			must(t, l.GroupSend(t.Context(), "g", Event{Type: typ, Seq: int64(i), Payload: fmt.Sprint(i)}))
		}
		settleAll()
		if got := s.got(t); len(got) != 0 {
			t.Errorf("before the release: %q", got)
		}
		h.Release(3)
		settleAll()
		got := s.got(t)
		slices.Sort(got)
		if diff := cmp.Diff([]string{"4", "5", "6"}, got); diff != "" {
			t.Error(diff)
		}
	})
}
