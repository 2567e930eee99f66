package live

import (
	"context"
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
	d.link.mu.Lock()
	deliver := d.deliver
	d.link.mu.Unlock()
	_ = deliver(context.Background(), channels.Delivery{Group: d.groups.of(room), Event: e})
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
		said := foreign(two.presence.crowd.seal.carry(eventTypists, typists{Room: "a", People: crowdOf(2)}))
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
