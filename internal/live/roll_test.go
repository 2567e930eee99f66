package live

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/brokertest"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// town is nodes with one log.
type town struct {
	hub   brokertest.Hub
	store *memstore.Store
}

// link is the broker of one of them, which may lose what goes through it.
type link struct {
	channels.Broker

	// guarded by mu
	mu   sync.Mutex
	lose func() bool    // an event that goes out or comes in; nil loses nothing
	sent map[string]int // events by type
}

func (l *link) lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lose != nil && l.lose()
}

// losing sets what is lost.
func (l *link) losing(lose func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose = lose
}

func everything() bool { return true }

func (l *link) Start(n channels.Node) {
	deliver := n.Deliver
	n.Deliver = func(ctx context.Context, d channels.Delivery) error {
		if l.lost() {
			return nil
		}
		return deliver(ctx, d)
	}
	l.Broker.Start(n)
}

func (l *link) Publish(ctx context.Context, d channels.Delivery) error {
	l.mu.Lock()
	l.sent[d.Event.Type]++
	l.mu.Unlock()
	if l.lost() {
		return nil
	}
	return l.Broker.Publish(ctx, d)
}

// take counts the events of a type since the last take of it.
func (l *link) take(typ string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.sent[typ]
	delete(l.sent, typ)
	return n
}

// node is one of the town, with somebody who sits in room a.
type node struct {
	*house
	*link
	ear *talker
}

func newTown(t *testing.T) *town {
	w := &town{store: memstore.New()}
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// open opens a node without anybody.
func (w *town) open(t *testing.T) *node {
	t.Helper()
	return openOver(t, w.store, w.hub.Broker())
}

// openOver opens a node on a broker, which it closes.
func openOver(t *testing.T, store *memstore.Store, b channels.Broker) *node {
	t.Helper()
	l := &link{Broker: b, sent: map[string]int{}}
	relay := NewRelay(RelayOptions{Broker: l, Shared: true, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		relay.Close(context.WithoutCancel(t.Context()))
		if err := b.(io.Closer).Close(); err != nil {
			t.Error(err)
		}
	})
	return &node{house: openOn(t, store, relay, noLimits{}), link: l}
}

// node opens a node on which person n sits in room a.
func (w *town) node(t *testing.T, n int) *node {
	t.Helper()
	d := w.open(t)
	d.ear = d.enter(t, n, "a")
	return d
}

// come has people come into room a, by sockets that nobody looks at.
func (d *node) come(from, to int) {
	for n := from; n <= to; n++ {
		d.presence.join("a", someone(n))
	}
}

func (d *node) gone(from, to int) {
	for n := from; n <= to; n++ {
		d.presence.leave("a", someone(n).ID)
	}
}

// saw is the frames since the last saw.
func (k *talker) saw() (frames []wire.Frame) {
	k.t.Helper()
	k.say(wire.Ping{})
	for {
		f, err := wire.DecodeServer([]byte(k.ReceiveText()))
		if err != nil {
			k.t.Fatal(err)
		}
		if _, end := f.(wire.Pong); end {
			return frames
		}
		frames = append(frames, f)
	}
}

// who is everybody in room a as a client is told, by page, and the count.
func (k *talker) who() (people []wire.Person, count int) {
	k.t.Helper()
	k.saw()
	for after := ""; ; {
		k.say(wire.Who{Room: "a", After: after})
		here := next[wire.Here](k)
		for here.Ref == "" { // live
			here = next[wire.Here](k)
		}
		people, count, after = append(people, here.People...), here.Count, here.Next
		if after == "" {
			return people, count
		}
	}
}

// sees fails unless exactly these people are in room a.
func (d *node) sees(t *testing.T, people ...wire.Person) {
	t.Helper()
	got, count := d.ear.who()
	if diff := cmp.Diff(people, got); diff != "" || count != len(people) {
		t.Errorf("counted %d (-want +got)\n%s", count, diff)
	}
}

// heres is those of the frames that tell who is here.
func heres(frames []wire.Frame) (texts []string) {
	for _, f := range frames {
		switch f.(type) {
		case wire.Here, wire.Renamed:
			texts = append(texts, string(wire.Encode(f)))
		}
	}
	return texts
}

func TestPeopleOnSeveralNodesAreOneRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		pass(700 * time.Millisecond)
		for _, d := range []*node{one, two} {
			d.sees(t, sorted(1, 2)...)
		}
		three := w.node(t, 3)
		pass(700 * time.Millisecond)
		for _, d := range []*node{one, two, three} {
			d.sees(t, sorted(1, 2, 3)...)
		}
		pass(10 * time.Second)
		one.ear.saw()
		two.come(4, 5)
		pass(2 * time.Second)
		two.gone(4, 4)
		pass(3 * time.Second)
		want(t, inRoomA(one.ear.saw()),
			wire.Here{Room: "a", Count: 5, Joined: sorted(4, 5)},
			wire.Here{Room: "a", Count: 4, Left: []string{someone(4).ID.String()}},
		)
		if got := one.Stats(); got.Rooms != 1 || got.Rolls.Nodes != 2 || got.Rolls.Listed != 3 {
			t.Errorf("%+v", got)
		}
	})
}

// inRoomA is heres as want has them.
func inRoomA(frames []wire.Frame) (texts []string) {
	for _, text := range heres(frames) {
		texts = append(texts, "a "+text)
	}
	return texts
}

func TestAPersonOnTwoNodesIsOnePerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two, three := w.node(t, 1), w.node(t, 2), w.node(t, 3)
		one.come(7, 7)
		pass(5 * time.Second)
		three.ear.saw()
		two.come(7, 7)
		pass(5 * time.Second)
		one.gone(7, 7)
		pass(5 * time.Second)
		if got := heres(three.ear.saw()); len(got) > 0 {
			t.Errorf("who was there all the time is told: %q", got)
		}
		for _, d := range []*node{one, two, three} {
			d.sees(t, sorted(1, 2, 3, 7)...)
		}
		two.gone(7, 7)
		pass(5 * time.Second)
		for _, d := range []*node{one, two, three} {
			d.sees(t, sorted(1, 2, 3)...)
		}
	})
}

func TestAReloadIsNoChangeElsewhere(t *testing.T) {
	for name, back := range map[string]int{"on the same node": 0, "through another": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				nodes := []*node{w.open(t), w.node(t, 2), w.node(t, 3)}
				nodes[0].come(1, 1) // the only one there: the node leaves the room and comes back
				_ = nodes[0].enter(t, 1, "b")
				pass(5 * time.Second)
				nodes[1].come(7, 7)
				pass(5 * time.Second)
				nodes[2].ear.saw()
				nodes[1].gone(7, 7)
				pass(400 * time.Millisecond)
				nodes[1+back].come(7, 7)
				pass(5 * time.Second)
				if got := heres(nodes[2].ear.saw()); len(got) > 0 {
					t.Errorf("told %q", got)
				}
			})
		})
	}
}

func TestASilentNodeIsForgottenWithin15Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two, three := w.node(t, 1), w.node(t, 2), w.node(t, 3)
		for i := range 7 { // it may die at any time
			three.losing(nil)
			pass(20*time.Second + time.Duration(i)*451*time.Millisecond)
			one.sees(t, sorted(1, 2, 3)...)
			three.losing(everything)
			pass(9 * time.Second) // two beats that are lost are not death
			one.sees(t, sorted(1, 2, 3)...)
			two.ear.saw()
			pass(6 * time.Second)
			one.sees(t, sorted(1, 2)...)
			want(t, inRoomA(two.ear.saw()), wire.Here{Room: "a", Count: 2, Left: []string{someone(3).ID.String()}})
			three.sees(t, sorted(3)...)
			if got := one.Stats().Rolls; got.Nodes != 1 || got.Forgotten != uint64(i)+1 {
				t.Errorf("%+v", got)
			}
		}
		three.losing(nil)
		pass(5 * time.Second) // whoever is back is counted soon
		for _, d := range []*node{one, two, three} {
			d.sees(t, sorted(1, 2, 3)...)
		}
	})
}

func TestANodeThatStopsSaysGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		two.come(3, 50) // whose sockets are never closed
		pass(5 * time.Second)
		if err := two.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		pass(1500 * time.Millisecond)
		one.sees(t, sorted(1)...)
		if got := one.Stats().Rolls; got.Nodes != 0 || got.Listed != 0 || got.Forgotten != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestANodeThatStoodStillDoesNotForgetTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, _ := w.node(t, 1), w.node(t, 2)
		pass(5 * time.Second)
		one.ear.saw()
		p := one.presence
		ago := func(at time.Time) time.Time { return at.Add(-time.Hour) }
		p.mu.Lock()
		p.crowd.ticked = ago(p.crowd.ticked)
		for node, at := range p.crowd.alive {
			p.crowd.alive[node] = ago(at)
		}
		for node, h := range p.byRoom["a"].rolls {
			h.at = ago(h.at)
			p.byRoom["a"].rolls[node] = h
		}
		p.mu.Unlock()
		one.take(eventBeat)
		pass(tickEvery)
		if one.take(eventBeat) != 1 {
			t.Error("it does not say at once that it is back")
		}
		one.sees(t, sorted(1, 2)...)
		pass(time.Minute)
		if got := heres(one.ear.saw()); len(got) > 0 {
			t.Errorf("told %q", got)
		}
	})
}

func TestWhatIsQuietOrNobodyElsesCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one := w.node(t, 1)
		pass(time.Minute)
		one.come(2, 9)
		one.ear.say(wire.Typing{Room: "a"})
		pass(time.Minute)
		one.gone(2, 9)
		pass(time.Minute)
		if rolls, beats, typing := one.take(eventRoll), one.take(eventBeat), one.take(eventTyping); rolls != 1 || beats > 61 || typing != 0 {
			t.Errorf("alone for 3 minutes: %d rolls, %d beats, %d times typing", rolls, beats, typing)
		}
		two := w.node(t, 10)
		pass(5 * time.Second)
		one.take(eventRoll)
		two.take(eventRoll)
		pass(time.Minute)
		if n := one.take(eventRoll) + two.take(eventRoll); n > 0 {
			t.Errorf("%d rolls in a quiet minute", n)
		}
		for i := range 100 {
			one.come(20+i, 20+i)
			pass(100 * time.Millisecond)
		}
		if n := one.take(eventRoll); n > 11 || n < 9 {
			t.Errorf("%d rolls in 10 s of a busy room", n)
		}
		if n := two.take(eventRoll); n > 0 {
			t.Errorf("%d rolls of a node where nothing happens", n)
		}
		frames := slices.DeleteFunc(heres(two.ear.saw()), func(s string) bool { return false })
		if len(frames) > 13 {
			t.Errorf("%d frames of who is here in 10 s", len(frames))
		}
	})
}

func TestALogThatNobodySharesHasNoRolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		a := h.enter(t, 1, "a")
		pass(time.Minute)
		if got := h.Stats(); got.Rolls != (RollStats{}) || h.presence.crowd != nil || h.layer.Stats().Groups != 1 {
			t.Errorf("%+v", got)
		}
		a.saw()
	})
}

func TestTypingElsewhereIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		pass(5 * time.Second)
		two.ear.saw()
		one.ear.say(wire.Typing{Room: "a"})
		pass(time.Second)
		if got := two.ear.saw(); len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(wire.TypingFrame{Room: "a", People: sorted(1)}) {
			t.Errorf("got %+v", got)
		}
		two.come(10, 10+typingShed-3) // together with those who sit there, the most that are told
		pass(5 * time.Second)
		one.ear.saw()
		two.ear.say(wire.Typing{Room: "a"})
		pass(2 * time.Second)
		if got := one.ear.saw(); len(got) != 1 {
			t.Errorf("in a room of %d: %+v", typingShed, got)
		}
		one.come(5, 5)
		pass(5 * time.Second)
		one.ear.saw()
		two.ear.say(wire.Typing{Room: "a"})
		one.ear.say(wire.Typing{Room: "a"})
		pass(2 * time.Second)
		if got := one.ear.saw(); len(got) != 0 {
			t.Errorf("in a room of %d: %+v", typingShed+1, got)
		}
	})
}
