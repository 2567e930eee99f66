package interop

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// roomy is a layer whose channels hold what a test has no time to take.
var roomy = channels.LayerOptions{Capacity: 50000}

func TestTenThousandFlatOutFromDjangoAllArrive(t *testing.T) {
	const count = 10000
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			l := p.layer(roomy)
			d := p.python()
			e := member(t, l, "room")
			var failed []any
			d.do("burst", map[string]any{"name": "py", "start": 1, "count": count, "group": "room"}, &failed)
			if len(failed) > 0 {
				t.Errorf("%d group_sends raised: %v", len(failed), failed[0])
			}
			e.await(count)
			complete(t, "what arrived", e.numbers("py"), 1, count)
			d.calm()
		})
	}
}

func TestAMemberMissesNothingWhileOthersComeAndGo(t *testing.T) {
	const count = 1500
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 2, nil)
			one, two := p.layer(roomy), p.layer(roomy)
			d := p.python()
			stays, across := member(t, one, "room"), member(t, two, "room")
			done := make(chan struct{})
			var storm sync.WaitGroup
			for range 4 {
				storm.Go(func() {
					for {
						select {
						case <-done:
							return
						default:
						}
						name := one.NewChannel("")
						for _, group := range []string{"room", "other"} {
							if err := one.GroupAdd(t.Context(), group, name); err != nil {
								t.Error(err)
							}
						}
						for _, group := range []string{"room", "other"} {
							if err := one.GroupDiscard(t.Context(), group, name); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
			d.do("burst", map[string]any{"name": "py", "start": 1, "count": count, "group": "room"}, nil)
			close(done)
			storm.Wait()
			for what, e := range map[string]*ear{"beside the storm": stays, "in another process": across} {
				e.await(count)
				complete(t, what, e.numbers("py"), 1, count)
			}
		})
	}
}

func TestTheOrderOfEachOfSeveralSendersHolds(t *testing.T) {
	const rounds, each = 6, 25 // together fewer than a channel of Django holds
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			one, two := p.layer(roomy), p.layer(roomy)
			d := p.python()
			toGo, toPython := member(t, one, "room"), d.member("room")
			for r := range rounds {
				var sending sync.WaitGroup
				for name, l := range map[string]*channels.Layer{"one": one, "two": two} {
					sending.Go(func() {
						for n := range each {
							if err := l.GroupSend(t.Context(), "room", event(name, r*each+n+1)); err != nil {
								t.Error(err)
							}
						}
					})
				}
				d.do("burst", map[string]any{"name": "py", "start": r*each + 1, "count": each, "group": "room"}, nil)
				sending.Wait()
				d.await(toPython, 3*each*(r+1))
			}
			toGo.await(3 * rounds * each)
			for _, sender := range []string{"one", "two", "py"} {
				complete(t, sender+" in Go", toGo.numbers(sender), 1, rounds*each)
				complete(t, sender+" in Python", d.numbersOf(toPython, sender), 1, rounds*each)
			}
			d.calm()
		})
	}
}

func TestWhoDoesNotReadHoldsUpNobody(t *testing.T) {
	const count = 1000
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			reads := p.layer(roomy)
			idle := p.layer(channels.LayerOptions{})
			d := p.python()
			e := member(t, reads, "room")
			name := idle.NewChannel("")
			must(t, idle.GroupAdd(t.Context(), "room", name))
			d.do("burst", map[string]any{"name": "py", "start": 1, "count": count, "group": "room"}, nil)
			e.await(count)
			complete(t, "who reads", e.numbers("py"), 1, count)
			parts.Eventually(t, "what the idle one lost is counted", func() bool { return idle.Stats().Full == count-100 })
			d.calm()
		})
	}
}

func TestASendToAFullDjangoChannelIsToldAndAGroupGoesOn(t *testing.T) {
	p := at(t, "core", 1, map[string]any{"capacity": 3})
	l := p.layer(channels.LayerOptions{Capacity: 3})
	d := p.python()
	var full string
	d.do("new_channel", nil, &full) // nobody receives from it
	d.do("group_add", map[string]any{"group": "room", "channel": full}, nil)
	e := member(t, l, "room")
	var sent []error
	for n := range 5 {
		sent = append(sent, l.Send(t.Context(), full, event("go", n)))
	}
	if i := slices.IndexFunc(sent, func(err error) bool { return err != nil }); i != 3 {
		t.Errorf("of sends to a channel for 3: %v", sent)
	}
	for n := range 3 {
		_ = l.GroupSend(t.Context(), "room", event("go", n+1)) // may tell that a member is full
		e.await(n + 1)
	}
	for n := range 3 {
		var m map[string]any
		d.do("receive", map[string]any{"channel": full, "timeout": 5}, &m)
		if fmt.Sprint(m["n"]) != fmt.Sprint(n) {
			t.Errorf("number %d: Python received %v", n, m)
		}
	}
}
