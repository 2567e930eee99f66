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

// queuer is n's broker as one, or the test is skipped.
func (s *suite) queuer(n *node) channels.Queuer {
	s.Helper()
	q, ok := n.broker.(channels.Queuer)
	if !ok {
		s.Skip("this broker carries no channels of no process")
	}
	return q
}

// work sends an event to a channel of no process.
func (s *suite) work(n *node, channel string, number int) error {
	return n.broker.Publish(s.Context(), channels.Delivery{Channels: []string{channel}, Event: eventOf(number)})
}

func queues(s *suite) {
	const events = 60
	a, b, c := s.node(), s.node(), s.node()
	qb, qc := s.queuer(b), s.queuer(c)
	ctx, stop := context.WithCancel(s.Context())
	defer stop()
	var mu sync.Mutex
	got := map[channels.Queuer][]string{}
	listens := map[channels.Queuer]bool{}
	var receiving sync.WaitGroup
	for _, q := range []channels.Queuer{qb, qc} {
		receiving.Go(func() {
			for {
				e, err := q.Receive(ctx, "thumbnails-generate")
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						s.Errorf("Receive: %v", err)
					}
					return
				}
				mu.Lock()
				if number := numberIn(e); number != "0" { // 0 is to find out whether they listen
					got[q] = append(got[q], number)
				}
				listens[q] = true
				mu.Unlock()
			}
		})
	}
	if s.setup.Copies || s.setup.Fleeting {
		s.await("all listen", func() bool { // nothing is kept for who does not yet
			s.must(s.work(a, "thumbnails-generate", 0))
			mu.Lock()
			defer mu.Unlock()
			return len(listens) == 2
		})
	}
	var want []string
	for i := 1; i <= events; i++ {
		s.must(s.work(a, "thumbnails-generate", i))
		want = append(want, fmt.Sprint(i))
	}
	copies := 1
	if s.setup.Copies {
		copies = 2
	}
	s.await("all were received", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(got[qb])+len(got[qc]) >= events*copies
	})
	stop()
	receiving.Wait()
	union := map[string]int{}
	for _, numbers := range got {
		for _, n := range numbers {
			union[n]++
		}
		if !slices.IsSortedFunc(numbers, func(x, y string) int { return slices.Index(want, x) - slices.Index(want, y) }) {
			s.Errorf("out of order: %v", numbers)
		}
	}
	for _, n := range want {
		if union[n] != copies {
			s.Errorf("number %s was received %d times", n, union[n])
		}
	}
}

func queuesAndGivingUp(s *suite) {
	a, b := s.node(), s.node()
	q := s.queuer(b)
	if s.setup.Copies || s.setup.Fleeting {
		s.Skip("nothing is kept for who does not listen yet")
	}
	for i := range 30 {
		ctx, cancel := context.WithTimeout(s.Context(), time.Duration(i)*time.Millisecond)
		if e, err := q.Receive(ctx, "work"); err == nil || ctx.Err() == nil {
			s.Errorf("Receive: %v, %v", e, err)
		}
		cancel()
	}
	for i := range 20 {
		s.must(s.work(a, "work", i))
	}
	for i := range 20 {
		ctx, cancel := context.WithTimeout(s.Context(), s.patience())
		e, err := q.Receive(ctx, "work")
		cancel()
		if err != nil || numberIn(e) != fmt.Sprint(i) {
			s.Fatalf("number %d: got %s, %v", i, numberIn(e), err)
		}
	}
}

func queueCapacity(s *suite) {
	if s.setup.Unbounded {
		s.Skip("this broker's channels have no capacity")
	}
	a, b := s.nodeWith(limits{capacity: 3}), s.node()
	q := s.queuer(b)
	for i := range 3 {
		s.must(s.work(a, "work", i))
	}
	if err := s.work(a, "work", 3); !errors.Is(err, channels.ErrChannelFull) {
		s.Errorf("the fourth of three: %v, want ErrChannelFull", err)
	}
	s.must(s.work(a, "other", 0))
	for i := range 3 {
		e, err := q.Receive(s.Context(), "work")
		if err != nil || numberIn(e) != fmt.Sprint(i) {
			s.Fatalf("number %d: got %s, %v", i, numberIn(e), err)
		}
	}
	s.must(s.work(a, "work", 4))
}

// enroller is n's broker as one, or the test is skipped.
func (s *suite) enroller(n *node) channels.Enroller {
	s.Helper()
	e, ok := n.broker.(channels.Enroller)
	if !ok {
		s.Skip("this broker keeps no members that are not its process's")
	}
	return e
}

func enrolledMembers(s *suite) {
	a, b, c := s.node(), s.node(), s.node()
	e := s.enroller(a)
	s.reach(a, b)
	member := b.channel("x")
	s.must(e.GroupAdd(s.Context(), "g", member))
	s.must(e.GroupAdd(s.Context(), "g", member)) // renews
	q, queuer := a.broker.(channels.Queuer)
	if queuer {
		s.must(e.GroupAdd(s.Context(), "g", "work"))
	}
	pa, pc := a.publisher("1"), c.publisher("1")
	for n, p := range []*publisher{pa, pc} {
		s.must(p.toGroup(s.Context(), "g", map[string]any{"n": n}))
		s.await("the member got it", func() bool { return b.lastOf(p, "g") == 1 })
		if queuer {
			got, err := q.Receive(s.Context(), "work")
			if err != nil || numberIn(got) != fmt.Sprint(n) {
				s.Errorf("the channel of no process: got %s, %v", numberIn(got), err)
			}
		}
	}
	for _, d := range b.deliveries() {
		if d.Group != "" || !slices.Equal(d.Channels, []string{member}) {
			s.Errorf("a member's event came to %q %q", d.Group, d.Channels)
		}
	}
	s.must(e.GroupDiscard(s.Context(), "g", member))
	s.must(e.GroupDiscard(s.Context(), "g", member)) // harmless
	s.must(pc.toGroup(s.Context(), "g", nil))
	s.must(pc.toChannel(s.Context(), member))
	s.await("a later event arrived", func() bool { return b.lastOf(pc, member) == 1 })
	s.complete(b, pc, "g", 1)
}

func enrolledFollowers(s *suite) {
	a, b := s.node(), s.node()
	e := s.enroller(a)
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	s.must(e.GroupAdd(s.Context(), "g", b.channel("x")))
	s.must(e.GroupAdd(s.Context(), "g", b.channel("y")))
	p := a.publisher("1")
	for range 5 {
		s.must(p.toGroup(s.Context(), "g", nil))
	}
	s.await("the last arrived", func() bool { return b.lastOf(p, "g") == 5 })
	got := b.deliveries()
	if len(got) != 5 {
		s.Errorf("%d deliveries of 5 events: one process gets one, for the group and its channels", len(got))
	}
	for _, d := range got {
		slices.Sort(d.Channels)
		if d.Group != "g" || !slices.Equal(d.Channels, []string{b.channel("x"), b.channel("y")}) {
			s.Errorf("came to %q %q", d.Group, d.Channels)
		}
	}
}

func pipelined(s *suite) {
	const events = 40 // to each group; together within the capacity
	a, b := s.node(), s.node()
	l, ok := a.broker.(channels.Pipeliner)
	if !ok {
		s.Skip("this broker does not begin to publish")
	}
	groups := []string{"g", "h"}
	s.must(b.broker.Follow(s.Context(), groups))
	p := a.publisher("1")
	var ends []func() error
	for range events {
		for _, group := range groups {
			ends = append(ends, l.Begin(s.Context(), p.next(channels.Delivery{Group: group}, group, nil)))
		}
	}
	impossible := l.Begin(s.Context(), channels.Delivery{Group: "g", Event: channels.Event{Type: "x", Payload: make(chan int)}})
	over, cancel := context.WithCancel(s.Context())
	cancel()
	ended := l.Begin(over, channels.Delivery{Group: "nobody follows", Event: eventOf(0)})
	for _, end := range ends {
		s.must(end())
	}
	if impossible() == nil {
		s.Error("an impossible payload is no error")
	}
	_ = ended() // which may have been sent, and returns
	for _, group := range groups {
		s.await("the last arrived", func() bool { return b.lastOf(p, group) == events })
		s.complete(b, p, group, events)
	}
}
