package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

func channelsOfProcesses(s *suite) {
	a, b, c := s.node(), s.node(), s.node()
	p := a.publisher("1")
	for _, n := range []*node{b, c} {
		s.reach(a, n)
	}
	// Programs choose the prefix and the local part.
	names := []string{b.channel("x"), b.channel("y"), "specific." + b.process + "!", b.channel("g.1"), b.channel("with-any_legal.part")}
	for range 3 {
		for _, name := range names {
			s.must(p.toChannel(s.Context(), name))
		}
	}
	s.must(p.toChannel(s.Context(), c.channel("x")))
	for _, name := range names {
		s.await(name+" arrived", func() bool { return b.lastOf(p, name) == 3 })
		s.complete(b, p, name, 3)
	}
	s.await("the other process's arrived", func() bool { return c.lastOf(p, c.channel("x")) == 1 })
	if got := c.deliveries(); len(got) != 1 {
		s.Errorf("got %d events, one was sent", len(got))
	}
	if d := b.deliveries()[0]; d.Group != "" || !slices.Equal(d.Channels, names[:1]) {
		s.Errorf("an event of a channel came to %q %q", d.Group, d.Channels)
	}
}

// slowDeliver holds a process up until much has gathered: of what Publish took,
// nothing is lost without a drop counted or a gap told, and the order holds.
func slowDeliver(s *suite) {
	const events = 20000
	a, b := s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	p := a.publisher("1")
	b.hold()
	taken := 0
	for range events {
		ctx, cancel := context.WithTimeout(s.Context(), s.patience())
		err := p.toGroup(ctx, "g", nil)
		cancel()
		switch {
		case err == nil:
			taken++
		case errors.Is(err, context.DeadlineExceeded):
			s.Fatal("Publish waits for a process that takes nothing")
		}
	}
	b.free()
	s.flows(p, b, "g")
	lost := taken - len(b.numbersOf(p, "g"))
	s.Logf("%d events taken, %d lost; gap told: %v; dropped: %d and %d", taken, lost, b.gapTold("g"), a.drops(), b.drops())
	if lost > 0 && !b.gapTold("g") && a.drops()+b.drops() == 0 {
		s.Errorf("%d of %d events are lost, and nobody was told", lost, taken)
	}
}

// flows publishes until an event arrives at n that was sent from now on.
func (s *suite) flows(p *publisher, n *node, group string) {
	s.Helper()
	from := p.sent[group] + 1
	s.await("events arrive again", func() bool {
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		defer cancel()
		_ = p.toGroup(ctx, group, nil) // what fails is tried again
		for range 20 {
			if n.lastOf(p, group) >= from {
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	})
	last := p.sent[group]
	s.await("the last arrives", func() bool {
		if n.lastOf(p, group) >= last {
			return true
		}
		_ = p.toGroup(s.Context(), group, nil)
		return false
	})
}

func slowDeliverOfAnother(s *suite) {
	a, b, c := s.node(), s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	s.must(c.broker.Follow(s.Context(), []string{"g"}))
	p := a.publisher("1")
	b.hold()
	for n := range 300 {
		_ = p.toGroup(s.Context(), "g", nil) // b may have no room
		s.await("the quick process gets it", func() bool { return c.lastOf(p, "g") == n+1 })
	}
	s.complete(c, p, "g", 300)
}

// fullChannels sends to a process that takes nothing. Some may wait on the way,
// but no broker takes any number.
func fullChannels(s *suite) {
	if s.setup.Unbounded {
		s.Skip("this broker's channels have no capacity")
	}
	a, b := s.node(), s.node()
	s.reach(a, b)
	p := a.publisher("1")
	b.hold()
	var err error
	for range 100000 {
		if err = p.toChannel(s.Context(), b.channel("x")); err != nil {
			break
		}
	}
	if !errors.Is(err, channels.ErrChannelFull) {
		s.Fatalf("100,000 events to a channel nobody receives from: %v, want ErrChannelFull", err)
	}
	b.free()
	s.await("there is room again", func() bool { return p.toChannel(s.Context(), b.channel("x")) == nil })
	last := p.sent[b.channel("x")]
	s.await("the last arrived", func() bool { return b.lastOf(p, b.channel("x")) == last })
}

func closing(s *suite) {
	a, b, c := s.node(), s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	s.must(c.broker.Follow(s.Context(), []string{"g"}))
	p := a.publisher("1")
	ctx, stop := context.WithCancel(s.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for ctx.Err() == nil {
			if err := p.toGroup(s.Context(), "g", nil); err != nil && !errors.Is(err, channels.ErrChannelFull) {
				s.Error(err)
				return
			}
		}
	})
	s.await("events come", func() bool { return b.lastOf(p, "g") > 10 })
	b.close(s)
	b.mu.Lock()
	b.over = b.closed // from now on each delivery is wrong
	b.mu.Unlock()
	stop()
	publishing.Wait()
	if !b.closed {
		s.Skip("this broker is no io.Closer")
	}
	for what, err := range map[string]error{
		"Publish":  b.publisher("1").toGroup(s.Context(), "g", nil),
		"Follow":   b.broker.Follow(s.Context(), []string{"h"}),
		"Unfollow": b.broker.Unfollow(s.Context(), []string{"g"}),
	} {
		if err == nil && what != "Unfollow" {
			s.Errorf("%s after Close: no error", what)
		}
	}
	s.flows(p, c, "g") // others do not mind
	b.closed = false
	b.close(s) // once more is harmless
}

// eventOf is a plain event with a number.
func eventOf(n int) channels.Event {
	return channels.Event{Type: "test.event", Payload: map[string]any{"n": n}}
}

// numberIn is the number of such an event.
func numberIn(e channels.Event) string {
	m, ok := e.Payload.(map[string]any)
	if !ok {
		return fmt.Sprintf("a payload of %T", e.Payload)
	}
	return plainNumber(m["n"])
}
