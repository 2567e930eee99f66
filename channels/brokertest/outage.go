package brokertest

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// brokenConnections cuts all connections again and again while events are sent.
func brokenConnections(s *suite) {
	s.needsCut()
	a, b := s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	s.reach(a, b)
	p := a.publisher("1")
	for range 3 {
		before := b.gapCount()
		taken := 0
		first := p.sent["g"] + 1
		publish := func() {
			ctx, cancel := context.WithTimeout(s.Context(), s.patience())
			defer cancel()
			if err := p.toGroup(ctx, "g", nil); err == nil {
				taken++
			}
		}
		for range 50 {
			publish()
		}
		s.setup.Cut(s)
		for range 50 {
			publish()
		}
		last := p.sent["g"]
		s.flows(p, b, "g")
		s.await("the gap is told", func() bool { return b.gapCount() > before })
		if !b.gapTold("g") {
			s.Error("a gap was told, but not of the group followed")
		}
		got := slices.DeleteFunc(b.numbersOf(p, "g"), func(n int) bool { return n < first || n > last })
		s.Logf("sent %d, %d without an error, %d arrived", last-first+1, taken, len(got))
	}
	s.await("channels are reached again", func() bool {
		_ = p.toChannel(s.Context(), b.channel("x"))
		time.Sleep(time.Millisecond)
		return b.lastOf(p, b.channel("x")) > 0
	})
}

// followingThroughCuts changes what is followed while connections break: in the
// end it is exactly what was asked for last.
func followingThroughCuts(s *suite) {
	s.needsCut()
	a, b := s.node(), s.node()
	p := a.publisher("1")
	for round := range 6 {
		keep, leave := fmt.Sprint("keep", round), fmt.Sprint("leave", round)
		s.must(b.broker.Follow(s.Context(), []string{leave}))
		s.setup.Cut(s)
		s.must(b.broker.Follow(s.Context(), []string{keep}))
		s.must(b.broker.Unfollow(s.Context(), []string{leave}))
	}
	s.setup.Cut(s)
	for round := range 6 {
		s.flows(p, b, fmt.Sprint("keep", round))
	}
	for round := range 6 {
		s.must(p.toGroup(s.Context(), fmt.Sprint("leave", round), nil))
	}
	s.flows(p, b, "keep0")
	for round := range 6 {
		s.complete(b, p, fmt.Sprint("leave", round), 0)
	}
}

func (s *suite) needsCut() {
	s.Helper()
	if s.setup.Cut == nil {
		s.Skip("no way to cut a connection is given")
	}
}

func (n *node) gapCount() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.gaps)
}
