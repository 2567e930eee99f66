package live

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"testing"
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
	mu      sync.Mutex
	deliver func(context.Context, channels.Delivery) error
	lose    func() bool          // an event that goes out or comes in; nil loses nothing
	tape    *[]channels.Delivery // what goes out is kept here, if it is not lost; nil keeps nothing
	sent    map[string]int       // events by type
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
	l.mu.Lock()
	l.deliver = deliver
	l.mu.Unlock()
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
	l.mu.Lock()
	if l.tape != nil {
		*l.tape = append(*l.tape, d)
	}
	l.mu.Unlock()
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
		d.presence.join("a", someone(n), time.Time{})
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
