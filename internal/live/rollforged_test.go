package live

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/wire"
)

// intrude gives a node an event as if it came from the broker, in the group of a room.
func (d *node) intrude(room string, e channels.Event) {
	d.replay(channels.Delivery{Group: d.groups.of(room), Event: e})
}

// replay gives a node what was sent once, past what it loses.
func (d *node) replay(tape ...channels.Delivery) {
	d.link.mu.Lock()
	deliver := d.deliver
	d.link.mu.Unlock()
	for _, x := range tape {
		_ = deliver(context.Background(), x)
	}
}

// record keeps what a node sends from now on.
func (d *node) record() func() []channels.Delivery {
	var tape []channels.Delivery
	d.link.mu.Lock()
	defer d.link.mu.Unlock()
	d.tape = &tape
	return func() []channels.Delivery {
		d.link.mu.Lock()
		defer d.link.mu.Unlock()
		d.tape = nil
		for i := range tape {
			tape[i].Event = foreign(tape[i].Event)
		}
		return tape
	}
}

// foreign is an event as it comes from the broker.
func foreign(e channels.Event) channels.Event {
	m, err := e.Map()
	if err == nil {
		e, err = channels.EventFromMap(m)
	}
	if err != nil {
		panic(err)
	}
	return e
}

func TestNothingThatAStrangerSaysOfTypingReachesAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		pass(5 * time.Second)
		one.ear.saw()
		real := two.presence.crowd.seal
		typing := `{"type":"typing","room":"a","people":[{"id":"` + someone(2).ID.String() + `","name":"P2"}]}`
		long := typists{Room: "a", People: []attender{{someone(2).ID.String(), strings.Repeat("x", 900_000)}}}
		for name, e := range map[string]channels.Event{
			"typing without a seal":  {Type: eventTyping, Payload: map[string]any{keyFrame: typing}},
			"typists without a seal": {Type: eventTypists, Payload: map[string]any{keyFrame: `{"room":"a"}`}},
			"a message in the coat of typing": {Type: eventTyping, Payload: map[string]any{
				keyFrame: `{"type":"message","room":"a","seq":1,"text":"I never said this","nonce":"n","Type":"typing"}`}},
			"an error in the coat of typing": {Type: eventTyping, Payload: map[string]any{
				keyFrame: `{"type":"error","code":"removed","room":"a","message":"x","Type":"typing"}`}},
			"typing with a seal that does not fit": {Type: eventTyping, Payload: carried{typing, real.of(typing)}.Map()},
			"a seal of another chat":               foreign(noKey.carry(eventTypists, typists{Room: "a", People: crowdOf(2)})),
			"too many people":                      foreign(real.carry(eventTypists, typists{Room: "a", People: crowdOf(typingNames + 1)})),
			"too much text":                        foreign(real.carry(eventTypists, long)),
			"the seal of a roll":                   {Type: eventTypists, Payload: foreign(real.carry(eventRoll, typists{Room: "a", People: crowdOf(2)})).Payload},
		} {
			before := one.layer.Stats()
			one.intrude("a", e)
			pass(2 * time.Second)
			if got := one.ear.saw(); len(got) > 0 {
				t.Errorf("%s: a client got %+v", name, got)
			}
			after := one.layer.Stats()
			if after.Unrendered+after.Unhandled == before.Unrendered+before.Unhandled {
				t.Errorf("%s is not counted", name)
			}
		}
	})
}

func TestTypingIsToldInTheRoomThatWasSealedAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		b := one.enter(t, 3, "b")
		pass(5 * time.Second)
		one.ear.saw()
		b.saw()
		c := two.presence.crowd
		said := foreign(c.seal.carry(eventTypists, typists{Node: c.self, Sent: time.Since(c.started).Microseconds(), Room: "a", People: crowdOf(2)}))
		one.intrude("b", said)
		pass(2 * time.Second)
		if got := b.saw(); len(got) > 0 {
			t.Errorf("in another room a client got %+v", got)
		}
		people := []wire.Person{person(someone(1)), person(someone(2))}
		for i := range people {
			people[i].Name = "P" // as crowdOf says
		}
		if diff := cmp.Diff([]wire.Frame{wire.TypingFrame{Room: "a", People: people}}, one.ear.saw()); diff != "" {
			t.Errorf("in its own (-want +got)\n%s", diff)
		}
	})
}

func TestWhatWasRecordedKeepsNobodyInARoom(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, d *node){
		"the node dies":              func(_ *testing.T, d *node) { d.losing(everything) },
		"its last person leaves":     func(_ *testing.T, d *node) { d.ear.say(wire.Leave{Room: "a"}); d.gone(8, 8) },
		"it says goodbye":            func(t *testing.T, d *node) { _ = d.Shutdown(t.Context()); pass(4 * time.Second) },
		"it is gone for a long time": func(_ *testing.T, d *node) { d.losing(everything); pass(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				one, two := w.node(t, 1), w.open(t)
				tape := two.record()
				two.ear = two.enter(t, 2, "a")
				two.come(7, 7)
				pass(4 * time.Second)
				two.gone(7, 7)
				two.ear.say(wire.Typing{Room: "a"})
				pass(30 * time.Second)
				two.come(8, 8)
				pass(3 * time.Second)
				one.sees(t, sorted(1, 2, 8)...)
				all := tape()
				if len(all) < 12 {
					t.Fatalf("%d events are recorded", len(all))
				}
				start := time.Now()
				end(t, two)
				later := w.node(t, 3) // it has never heard the node that ends
				pass(time.Second)
				for n := range 4 * len(all) { // from the first on, and each time one more
					for _, d := range []*node{one, later} {
						d.replay(all[:n%len(all)]...)
						d.replay(all[len(all)-n%len(all):]...)
						people, _ := d.ear.who()
						switch ended := time.Since(start) > 15*time.Second; {
						case ended && cmp.Diff(sorted(1, 3), people) != "":
							t.Fatalf("%v later there are %+v", time.Since(start), people)
						case slices.Contains(people, person(someone(7))):
							t.Fatal("who left half a minute ago is back")
						}
					}
					pass(700 * time.Millisecond)
				}
			})
		})
	}
}

func TestAnOlderRollDoesNotReplaceANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		pass(5 * time.Second)
		tape := two.record()
		two.come(7, 7)
		pass(2 * time.Second)
		all := tape()
		two.gone(7, 7)
		pass(2 * time.Second)
		one.ear.saw()
		for range 20 {
			one.replay(all...)
			pass(time.Second)
		}
		if got := heres(one.ear.saw()); len(got) > 0 {
			t.Errorf("told %q", got)
		}
	})
}

func TestANameThatWasGivenOnceIsNotGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		two.come(7, 7)
		pass(5 * time.Second)
		tape := two.record()
		u := someone(7)
		u.Name = "Nova"
		two.Renamed(u)
		synctest.Wait()
		all := tape()
		u.Name = "Vera"
		two.Renamed(u)
		synctest.Wait()
		one.come(7, 7)
		one.replay(all...)
		synctest.Wait()
		one.sees(t, append(sorted(1, 2), person(u))...)
		if refused := one.Stats().Rolls.Refused; refused != 1 {
			t.Errorf("%d are refused", refused)
		}
	})
}

func TestANodeThatStartsAnewIsHeardAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		for range 5 {
			pass(20 * time.Second)
			two.losing(everything) // killed
			two = w.open(t)
			two.ear = two.enter(t, 2, "a")
			two.come(3, 4)
			pass(300 * time.Millisecond)
			one.sees(t, sorted(1, 2, 3, 4)...)
			two.sees(t, sorted(1, 2, 3, 4)...)
		}
	})
}
