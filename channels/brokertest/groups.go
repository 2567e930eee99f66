package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

func followersGetWhatOthersPublish(s *suite) {
	a, b, c := s.node(), s.node(), s.node()
	s.must(a.broker.Follow(s.Context(), []string{"g"}))
	s.must(b.broker.Follow(s.Context(), []string{"g", "h"}))
	pa, pc := a.publisher("1"), c.publisher("1")
	for range 5 {
		s.must(pa.toGroup(s.Context(), "g", nil))
		s.must(pc.toGroup(s.Context(), "g", nil))
	}
	s.must(pa.toGroup(s.Context(), "h", nil))
	s.await("both groups arrived", func() bool {
		return b.lastOf(pa, "g") == 5 && b.lastOf(pc, "g") == 5 && b.lastOf(pa, "h") == 1 && a.lastOf(pc, "g") == 5
	})
	s.complete(b, pa, "g", 5)
	s.complete(b, pc, "g", 5)
	s.complete(a, pc, "g", 5)
	if got := c.deliveries(); len(got) > 0 {
		s.Errorf("who follows nothing got %+v", got)
	}
}

// complete checks that 1 to last came, each once and in order.
func (s *suite) complete(n *node, p *publisher, target string, last int) {
	s.Helper()
	got := n.numbersOf(p, target)
	if len(got) != last || last > 0 && (got[0] != 1 || got[last-1] != last) {
		s.Errorf("got %d events to %.100q, want 1 to %d: %v", len(got), target, last, clip(got))
	}
}

func clip(numbers []int) string {
	if len(numbers) > 40 {
		return fmt.Sprint(numbers[:20], "...", numbers[len(numbers)-20:])
	}
	return fmt.Sprint(numbers)
}

func unfollowedGroupsAreSilent(s *suite) {
	a, b := s.node(), s.node()
	p := a.publisher("1")
	s.must(b.broker.Follow(s.Context(), []string{"g", "h"}))
	s.must(p.toGroup(s.Context(), "g", nil))
	s.await("the first arrived", func() bool { return b.lastOf(p, "g") == 1 })
	s.must(b.broker.Unfollow(s.Context(), []string{"g"}))
	s.must(p.toGroup(s.Context(), "g", nil))
	s.must(p.toGroup(s.Context(), "h", nil))
	s.await("the other group arrived", func() bool { return b.lastOf(p, "h") == 1 })
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	s.must(p.toGroup(s.Context(), "g", nil))
	s.await("the group arrives again", func() bool { return b.lastOf(p, "g") == 3 })
	if got := b.numbersOf(p, "g"); !slices.Equal(got, []int{1, 3}) {
		s.Errorf("got %v, want the first and the third", got)
	}
}

// followingThroughAStorm joins and leaves while events come: from the first one
// sent after Follow returned, none is missing.
func followingThroughAStorm(s *suite) {
	a, b := s.node(), s.node()
	p := a.publisher("1")
	var mu sync.Mutex
	sent := 0
	ctx, stop := context.WithCancel(s.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for ctx.Err() == nil {
			mu.Lock()
			sent++
			mu.Unlock()
			if err := p.toGroup(s.Context(), "g", nil); err != nil && ctx.Err() == nil {
				s.Error(err)
			}
			time.Sleep(50 * time.Microsecond) // leaves the processor to others
		}
	})
	defer publishing.Wait()
	defer stop()
	for round := range 40 {
		s.must(b.broker.Follow(s.Context(), []string{"g", fmt.Sprint("h", round)}))
		mu.Lock()
		from := sent + 1
		mu.Unlock()
		s.await("events come after Follow", func() bool { return b.lastOf(p, "g") >= from+3 })
		got := b.numbersOf(p, "g")
		if i := slices.Index(got, from); i < 0 || got[len(got)-1]-from != len(got)-1-i {
			s.Fatalf("round %d: something between %d and %d is missing in %s", round, from, got[len(got)-1], clip(got[max(0, len(got)-40):]))
		}
		s.must(b.broker.Unfollow(s.Context(), []string{"g", fmt.Sprint("h", round)}))
	}
}

func manyGroups(s *suite) {
	const groups = 2000
	a, b := s.node(), s.node()
	names := make([]string, groups)
	for i := range names {
		names[i] = fmt.Sprint("room-", i)
	}
	s.must(b.broker.Follow(s.Context(), names))
	p := a.publisher("1")
	for _, name := range names {
		s.must(p.toGroup(s.Context(), name, nil))
		// One at a time: how many may wait is not what this is about.
		s.await(name+" arrived", func() bool { return b.lastOf(p, name) == 1 })
	}
	s.must(b.broker.Unfollow(s.Context(), names[1:]))
	for _, name := range names[1:20] {
		s.must(p.toGroup(s.Context(), name, nil))
	}
	s.must(p.toGroup(s.Context(), names[0], nil))
	s.await("the one group left arrives", func() bool { return b.lastOf(p, names[0]) == 2 })
	for _, name := range names[1:20] {
		s.complete(b, p, name, 1)
	}
}

// oddNames are texts that some broker's own rules would not allow, or confuse.
var oddNames = []string{
	" ", "g ", " g", "g", "G", "g!", "!g", "g!h", "g.h", "g_h", "g*", "g?", "[g]", `g\`, "g\n", "g\x00", "g:h", "g/h", "g>", "*", ">",
	"茶馆", "чат", "café", "cafe\u0301", "👩‍👩‍👧", "\u202eg", "\xff\xfe", "asgi:group:g", "asgi__group__g", "__seq__", "specific.x!y",
	strings.Repeat("g", 99), strings.Repeat("g", 100), strings.Repeat("g", 101), strings.Repeat("g", 512),
	strings.Repeat("茶", 170), strings.Repeat("g", 511) + "h",
}

func anyTextIsAName(s *suite) {
	a, b := s.node(), s.node()
	p := a.publisher("1")
	s.must(b.broker.Follow(s.Context(), slices.Clone(oddNames)))
	for i, name := range oddNames {
		e := channels.Event{Type: "test.event", Payload: map[string]any{"name": i}}
		s.must(a.broker.Publish(s.Context(), channels.Delivery{Group: name, Event: e}))
		s.await(fmt.Sprintf("the event of %.60q arrived", name), func() bool { return len(b.deliveries()) > i })
	}
	s.must(p.toGroup(s.Context(), "g", nil))
	s.await("a last event arrived", func() bool { return b.lastOf(p, "g") == 1 })
	got := b.deliveries()
	for i, name := range oddNames {
		if n := plainNumber(got[i].Event.Payload.(map[string]any)["name"]); got[i].Group != name || n != fmt.Sprint(i) {
			s.Errorf("what was sent to %q came for %q (%s)", name, got[i].Group, n)
		}
	}
	if len(got) != len(oddNames)+1 {
		s.Errorf("%d events came, %d were sent", len(got), len(oddNames)+1)
	}
}

func theOrderOfEachSenderHolds(s *suite) {
	const senders, each = 4, 60
	a, b, c := s.nodeWith(limits{100000}), s.nodeWith(limits{100000}), s.nodeWith(limits{100000})
	s.must(a.broker.Follow(s.Context(), []string{"g"}))
	s.must(c.broker.Follow(s.Context(), []string{"g", "h"}))
	var all []*publisher
	var sending sync.WaitGroup
	for _, n := range []*node{a, b} {
		for i := range senders {
			p := n.publisher(fmt.Sprint(i))
			all = append(all, p)
			sending.Go(func() {
				for range each {
					if err := errors.Join(p.toGroup(s.Context(), "g", nil), p.toGroup(s.Context(), "h", nil)); err != nil {
						s.Error(err)
						return
					}
				}
			})
		}
	}
	sending.Wait()
	for _, p := range all {
		for _, group := range []string{"g", "h"} {
			s.await("all of a sender arrived", func() bool { return c.lastOf(p, group) == each })
			s.complete(c, p, group, each)
		}
		if p.node == b {
			s.await("all of b arrived at a", func() bool { return a.lastOf(p, "g") == each })
			s.complete(a, p, "g", each)
		}
	}
}

func nobodyFollows(s *suite) {
	a, b := s.node(), s.node()
	p := a.publisher("1")
	for range 200 {
		s.must(p.toGroup(s.Context(), "nobody", nil))
	}
	s.must(b.broker.Follow(s.Context(), []string{"nobody"}))
	s.must(p.toGroup(s.Context(), "nobody", nil))
	s.await("the first after Follow arrived", func() bool { return b.lastOf(p, "nobody") == 201 })
	s.must(b.broker.Unfollow(s.Context(), []string{"nobody"}))
	if got := b.numbersOf(p, "nobody"); len(got) != 1 && !s.setup.Early {
		s.Errorf("got %s, want what was sent after Follow alone", clip(got))
	}
}

func endedContexts(s *suite) {
	a, b := s.node(), s.node()
	ended, cancel := context.WithCancel(s.Context())
	cancel()
	p := a.publisher("1")
	// Each may have done its work or not, but it returns.
	_ = p.toGroup(ended, "g", nil)
	_ = p.toChannel(ended, b.channel("x"))
	if err := b.broker.Follow(ended, []string{"g"}); err == nil {
		s.must(b.broker.Unfollow(s.Context(), []string{"g"}))
	}
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	s.must(p.toGroup(s.Context(), "g", nil))
	s.await("it works afterwards", func() bool { return b.lastOf(p, "g") == 2 })
}
