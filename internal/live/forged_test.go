package live

import (
	"testing"
	"testing/synctest"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestAForgedPositionDoesNotEndAJoinEarly(t *testing.T) {
	for _, typ := range []string{"chat_message", eventTyping, "brew"} {
		synctest.Test(t, func(t *testing.T) {
			p := openPair(t)
			p.one.post(t, "lobby", 2)
			p.b.want(1, 2)
			_ = p.street.ends[1].node.Deliver(t.Context(), channels.Delivery{
				Group: p.two.groups.of("lobby"),
				Event: channels.Event{Type: typ, Seq: 1 << 60, Payload: map[string]any{keyFrame: "x"}},
			})
			p.fate(lost)
			p.one.post(t, "lobby", 3)
			c := p.two.enter(t, 3)
			c.say(wire.Join{Room: "lobby", Limit: 10})
			next[wire.Joined](c)
			if replay := next[wire.Messages](c).Messages; len(replay) != 5 {
				t.Fatalf("a replay of %d", len(replay))
			}
			p.b.want(3, 5) // healed, when the member who joined has them
			c.silent()
			p.fate(nil)
			p.one.post(t, "lobby", 1)
			c.want(6, 6)
		})
	}
}
