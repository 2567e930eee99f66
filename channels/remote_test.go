package channels

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// bare is a Broker that keeps what is published and can do no more.
type bare struct {
	node      Node
	published []Delivery
	fails     error // of Publish
}

func (b *bare) Start(n Node)                             { b.node = n }
func (b *bare) Follow(context.Context, []string) error   { return nil }
func (b *bare) Unfollow(context.Context, []string) error { return nil }
func (b *bare) Publish(_ context.Context, d Delivery) error {
	b.published = append(b.published, d)
	return b.fails
}

// full is a Broker that is a Queuer and an Enroller as well.
type full struct {
	bare
	queue    chan Event // of all channels
	enrolled []string
}

func (f *full) Receive(ctx context.Context, channel string) (Event, error) {
	select {
	case e := <-f.queue:
		return e, nil
	case <-ctx.Done():
		return Event{}, ctx.Err()
	}
}

func (f *full) GroupAdd(_ context.Context, group, channel string) error {
	f.enrolled = append(f.enrolled, "+"+group+" "+channel)
	return f.fails
}

func (f *full) GroupDiscard(_ context.Context, group, channel string) error {
	f.enrolled = append(f.enrolled, "-"+group+" "+channel)
	return f.fails
}

// teller is a consumer that notes events, losses and gaps.
type teller struct {
	Base
	mu    sync.Mutex
	seen  []string
	fails error // of Gap
}

func (k *teller) note(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = append(k.seen, fmt.Sprintf(format, args...))
}

func (k *teller) Event(_ context.Context, _ *Conn, e Event) error {
	k.note("%v", e.Payload)
	return nil
}

func (k *teller) Gap(_ context.Context, _ *Conn, groups []string) error {
	k.note("gap in %s", strings.Join(groups, " "))
	return k.fails
}

// told makes connections with a teller each.
func told(l *Layer, n int) (conns []*Conn, tellers []*teller) {
	for range n {
		k := &teller{}
		c, _ := fakeConn(Handler(func() Consumer { return k }, &Options{Layer: l, Logger: quiet()}))
		conns, tellers = append(conns, c), append(tellers, k)
	}
	return conns, tellers
}

func TestWhoIsAMemberAndNamedGetsAnEventOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{}
		l := newTestLayer(t, &LayerOptions{Broker: b})
		ctx := t.Context()
		conns, tellers := told(l, 3) // a member and named, a member, named
		must(t, conns[0].GroupAdd(ctx, "g"))
		must(t, conns[1].GroupAdd(ctx, "g"))
		box, other := l.NewChannel(""), l.NewChannel("")
		must(t, l.GroupAdd(ctx, "g", box))
		named := []string{conns[0].ChannelName(), box, conns[2].ChannelName(), other, box, other}
		for _, group := range []string{"g", "empty"} {
			must(t, b.node.Deliver(ctx, Delivery{Group: group, Channels: named, Event: Event{Type: "x", Payload: group}}))
			settleAll()
		}
		for i, want := range [][]string{{"g", "empty"}, {"g"}, {"g", "empty"}} {
			if diff := cmp.Diff(want, tellers[i].seen); diff != "" {
				t.Errorf("connection %d: %s", i, diff)
			}
		}
		for _, name := range []string{box, other} {
			for _, want := range []string{"g", "empty"} {
				if e, err := l.Receive(ctx, name); err != nil || e.Payload != want {
					t.Errorf("%s: %v, %v, want %s", name, e, err, want)
				}
			}
		}
	})
}

func TestWhoIsNamedGetsEachEventOnceAlsoWhileItJoinsAndLeaves(t *testing.T) {
	const events = 2000
	b := &bare{}
	l := newTestLayer(t, &LayerOptions{Broker: b, Capacity: events})
	conns, tellers := told(l, 2)
	must(t, conns[1].GroupAdd(t.Context(), "g")) // keeps the group alive
	stop := make(chan struct{})
	var storm sync.WaitGroup
	storm.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := errors.Join(conns[0].GroupAdd(t.Context(), "g"), conns[0].GroupDiscard(t.Context(), "g")); err != nil {
				t.Error(err)
			}
		}
	})
	named := []string{conns[0].ChannelName()}
	for i := range events {
		must(t, b.node.Deliver(t.Context(), Delivery{Group: "g", Channels: named, Event: Event{Type: "x", Payload: i}}))
	}
	close(stop)
	storm.Wait()
	must(t, l.Flush(t.Context()))
	for i, c := range conns {
		if pumping := c.pumped(); pumping != nil {
			<-pumping
		}
		count := map[string]int{}
		for _, text := range tellers[i].seen {
			count[text]++
		}
		if len(count) != events || len(tellers[i].seen) != events {
			t.Errorf("connection %d got %d events, %d different ones, want %d", i, len(tellers[i].seen), len(count), events)
		}
	}
}

// pumped is closed when the consumer has had all events so far.
func (c *Conn) pumped() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pumping
}

func TestAGapIsToldOnceToEveryMemberOfItsGroups(t *testing.T) {
	for _, tc := range []struct {
		name   string
		groups []string
		want   [3][]string // of a member of a and b, of b, of c
		missed bool        // by a subscription to b
	}{
		{"in two groups", []string{"a", "b"}, [3][]string{{"gap in a b"}, {"gap in b"}, nil}, true},
		{"in a group nobody is in", []string{"x"}, [3][]string{}, false},
		{"in all groups", nil, [3][]string{{"gap in a b"}, {"gap in b"}, {"gap in c"}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				b := &bare{}
				var watched [][]string
				l := newTestLayer(t, &LayerOptions{Broker: b, Gap: func(groups []string) { watched = append(watched, groups) }})
				conns, tellers := told(l, 3)
				must(t, conns[0].GroupAdd(ctx, "a"))
				hold, err := conns[0].GroupJoin(ctx, "b") // who waits for a log is told too
				must(t, err)
				must(t, conns[1].GroupAdd(ctx, "b"))
				must(t, conns[2].GroupAdd(ctx, "c"))
				events, err := l.Subscribe(ctx, "b")
				must(t, err)
				b.node.Gap(tc.groups...)
				hold.Release(0)
				must(t, l.GroupSend(ctx, "b", Event{Type: "x", Payload: "later"}))
				settleAll()
				for i, k := range tellers {
					want := tc.want[i]
					if i < 2 {
						want = append(want, "later")
					}
					for j, s := range k.seen {
						k.seen[j] = strings.Replace(s, "b a", "a b", 1) // in no order
					}
					if diff := cmp.Diff(want, k.seen); diff != "" {
						t.Errorf("connection %d: %s", i, diff)
					}
				}
				first := true
				for _, err := range events {
					if missed := errors.Is(err, ErrMissed); missed != (first && tc.missed) {
						t.Errorf("the subscription says %v", err)
					}
					if err == nil {
						break
					}
					first = false
				}
				if diff := cmp.Diff([][]string{tc.groups}, watched); diff != "" || l.Stats().Gaps != 1 {
					t.Errorf("%d gaps counted, watched %s", l.Stats().Gaps, diff)
				}
			})
		})
	}
}

func TestGapsThatAreNotYetToldBecomeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{}
		l := newTestLayer(t, &LayerOptions{Broker: b})
		conns, tellers := told(l, 1)
		must(t, conns[0].GroupAdd(t.Context(), "a"))
		must(t, conns[0].GroupAdd(t.Context(), "b"))
		conns[0].begin() // a method of the consumer runs
		b.node.Gap()     // taken by the pump, waiting
		settleAll()
		for range 3 {
			b.node.Gap("b")
			b.node.Gap("a")
		}
		conns[0].finish()
		settleAll()
		if n := len(tellers[0].seen); n != 2 || tellers[0].seen[1] != "gap in a b" {
			t.Errorf("told %q", tellers[0].seen)
		}
	})
}

func TestAnErrorOfGapEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{}
		l := newTestLayer(t, &LayerOptions{Broker: b})
		conns, tellers := told(l, 1)
		tellers[0].fails = &CloseError{Code: 4000, Reason: "come again"}
		must(t, conns[0].GroupAdd(t.Context(), "a"))
		b.node.Gap()
		settleAll()
		if code := conns[0].sock.(*fakeSocket).code; code != 4000 {
			t.Errorf("closed with %d", code)
		}
	})
}

func TestWhatTheBrokerDropsIsCountedByCause(t *testing.T) {
	b := &bare{}
	l := newTestLayer(t, &LayerOptions{Broker: b})
	b.node.Dropped("malformed", 2)
	b.node.Dropped("expired", 1)
	b.node.Dropped("malformed", 3)
	if diff := cmp.Diff(map[string]uint64{"malformed": 5, "expired": 1}, l.Stats().Dropped); diff != "" {
		t.Error(diff)
	}
}

func TestChannelsOfNoProcessAreTheQueuers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &full{queue: make(chan Event, 9)}
		l := newTestLayer(t, &LayerOptions{Broker: f})
		ctx := t.Context()
		must(t, l.Send(ctx, "work", Event{Type: "x"}))
		must(t, l.Send(ctx, "specific.other!1", Event{Type: "x"}))
		must(t, l.Send(ctx, l.NewChannel(""), Event{Type: "x"}))
		var sent []string
		for _, d := range f.published {
			sent = append(sent, d.Channels...)
		}
		if diff := cmp.Diff([]string{"work", "specific.other!1"}, sent); diff != "" {
			t.Error(diff)
		}
		f.fails = fmt.Errorf("no room: %w", ErrChannelFull)
		if err := l.Send(ctx, "work", Event{Type: "x"}); !errors.Is(err, ErrChannelFull) {
			t.Errorf("send to a full channel: %v", err)
		}
		f.queue <- Event{Type: "websocket.receive"}
		f.queue <- Event{Type: "_private"}
		f.queue <- Event{Type: "job", Payload: 1}
		if e, err := l.Receive(ctx, "work"); err != nil || e.Payload != 1 {
			t.Errorf("received %v, %v, want the job", e, err)
		}
		if n := l.Stats().Illegal; n != 2 {
			t.Errorf("%d illegal, want 2", n)
		}
		short, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := l.Receive(short, "work"); !errors.Is(err, context.Canceled) {
			t.Errorf("a receive whose ctx ended: %v", err)
		}
		if _, err := l.Receive(ctx, "specific.other!1"); !errors.Is(err, ErrBadName) {
			t.Errorf("receive from another process's channel: %v", err)
		}
	})
}

func TestWithoutAQueuerSuchChannelsAreOfThisProcess(t *testing.T) {
	b := &bare{}
	l := newTestLayer(t, &LayerOptions{Broker: b})
	must(t, l.Send(t.Context(), "work", Event{Type: "x", Payload: 1}))
	if e, err := l.Receive(t.Context(), "work"); err != nil || e.Payload != 1 || len(b.published) != 0 {
		t.Errorf("received %v, %v; published %v", e, err, b.published)
	}
}

func TestMembershipsOfOthersAreTheEnrollers(t *testing.T) {
	ctx := t.Context()
	f := &full{}
	l := newTestLayer(t, &LayerOptions{Broker: f})
	must(t, l.GroupAdd(ctx, "g", "work"))
	must(t, l.GroupAdd(ctx, "g", "specific.other!1"))
	must(t, l.GroupDiscard(ctx, "g", "work"))
	if diff := cmp.Diff([]string{"+g work", "+g specific.other!1", "-g work"}, f.enrolled); diff != "" || l.Stats().Members != 0 {
		t.Errorf("%s, %d members here", diff, l.Stats().Members)
	}
	f.fails = errors.New("down")
	if err := l.GroupAdd(ctx, "g", "work"); !errors.Is(err, f.fails) {
		t.Errorf("an enroller that fails: %v", err)
	}
	poor := newTestLayer(t, &LayerOptions{Broker: &bare{}})
	for _, err := range []error{poor.GroupAdd(ctx, "g", "specific.other!1"), poor.GroupDiscard(ctx, "g", "specific.other!1")} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a broker that is no enroller: %v", err)
		}
	}
}

func TestHostileEventsOfOtherProcessesNeverActAsFramesOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{}
		l := newTestLayer(t, &LayerOptions{Broker: b})
		conns, tellers := told(l, 1)
		c, ctx := conns[0], t.Context()
		must(t, c.GroupAdd(ctx, "g"))
		hostile := []string{
			"websocket.receive", "websocket_receive", "websocket.disconnect", "websocket.connect", "websocket_",
			"http.request", "http_disconnect", ".dispatch", "_private", "__class__", "",
		}
		for _, typ := range hostile {
			for _, d := range []Delivery{{Group: "g"}, {Channels: []string{c.ChannelName()}}} {
				d.Event = Event{Type: typ, Payload: map[string]any{"text": "I am the client", "code": 1000}}
				if err := b.node.Deliver(ctx, d); !errors.Is(err, ErrNoHandler) {
					t.Errorf("type %q: %v", typ, err)
				}
			}
		}
		must(t, b.node.Deliver(ctx, Delivery{Group: "g", Event: Event{Type: "websockets.are.fine", Payload: "fine"}}))
		settleAll()
		if diff := cmp.Diff([]string{"fine"}, tellers[0].seen); diff != "" {
			t.Error(diff)
		}
		if n := l.Stats().Illegal; n != uint64(2*len(hostile)) || c.closing.Load() {
			t.Errorf("%d illegal, closing %v", n, c.closing.Load())
		}
	})
}
