package live

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

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
	for name, reload := range map[string]func(one, two *node){
		"on the same node": func(one, _ *node) {
			one.gone(7, 7)
			pass(400 * time.Millisecond)
			one.come(7, 7)
		},
		"through another node": func(one, two *node) {
			one.gone(7, 7)
			pass(400 * time.Millisecond)
			two.come(7, 7)
		},
		"of the only one there on the node": func(_, two *node) {
			two.ear.say(wire.Leave{Room: "a"})
			pass(400 * time.Millisecond)
			two.ear.say(wire.Join{Room: "a"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				one, two, three := w.node(t, 1), w.node(t, 2), w.node(t, 3)
				one.come(7, 7)
				pass(5 * time.Second)
				three.ear.saw()
				reload(one, two)
				pass(5 * time.Second)
				if got := heres(three.ear.saw()); len(got) > 0 {
					t.Errorf("told %q", got)
				}
				three.sees(t, sorted(1, 2, 3, 7)...)
			})
		})
	}
}

func TestWhoComesBeforeTheOthersHaveAnsweredIsToldToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		two := w.node(t, 2)
		pass(150 * time.Millisecond)
		one := w.node(t, 1)
		pass(150 * time.Millisecond)
		one.come(7, 7) // node two has just called its roll, and answers when a second is over
		pass(2500 * time.Millisecond)
		two.sees(t, sorted(1, 2, 7)...)
	})
}

func TestAQuestionIsAnsweredOnceThoughTwoProtocolsHearIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTown(t).node(t, 1)
		pass(10 * time.Second)
		d.take(eventRoll)
		for ask := range int64(2) {
			if err := d.meets(beat{Node: stranger(2)}); err != nil {
				t.Fatal(err)
			}
			r := roll{Node: stranger(2), Sent: time.Now().UnixMicro(), Room: "a", Version: 1, Ask: ask + 1, Count: 1, People: crowdOf(1)}
			for range 2 { // each renders it when it comes to that
				if _, err := d.presence.hearRoll(tells(d.presence.crowd.seal, eventRoll, r)); err != nil {
					t.Fatal(err)
				}
				pass(time.Millisecond)
			}
			pass(5 * time.Second)
			if n := d.take(eventRoll); n != 1 {
				t.Errorf("%d answers", n) // asked again, it answers again
			}
		}
	})
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

func TestANodeWhoseLastPersonLeavesTheRoomSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		pass(5 * time.Second)
		one.ear.saw()
		two.ear.say(wire.Leave{Room: "a"})
		pass(1500 * time.Millisecond)
		want(t, inRoomA(one.ear.saw()), wire.Here{Room: "a", Count: 1, Left: []string{someone(2).ID.String()}})
		if got := two.Stats().Rolls; got.Listed != 0 {
			t.Errorf("of a room that nobody is in: %+v", got)
		}
		pass(time.Minute)
		one.sees(t, sorted(1)...)
		if got := one.Stats().Rolls; got.Nodes != 1 || got.Listed != 0 || got.Forgotten != 0 {
			t.Errorf("%+v", got)
		}
		two.ear.say(wire.Join{Room: "a"})
		pass(1500 * time.Millisecond)
		one.sees(t, sorted(1, 2)...)
		two.sees(t, sorted(1, 2)...)
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
		for _, q := range p.crowd.peers {
			q.came, q.shown = ago(q.came), ago(q.shown)
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
		if rolls, beats, typing := one.take(eventRoll), one.take(eventBeat), one.take(eventTypists); rolls != 1 || beats > 62 || typing != 0 {
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
		if n := len(heres(two.ear.saw())); n > 13 {
			t.Errorf("%d frames of who is here in 10 s", n)
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
