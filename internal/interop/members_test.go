package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestAGroupSendOfDjangoReachesAThousandSocketsByOneEntry(t *testing.T) {
	const sockets, sends = 1000, 20
	p := at(t, "core", 1, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	ears := make([]*ear, sockets)
	for i := range ears {
		ears[i] = member(t, l, "chat_lobby")
	}
	redis := p.servers[0]
	members := strings.Split(redis.Must("ZRANGE", "asgi:group:chat_lobby", "0", "-1"), "\n")
	if len(members) != 1 || len(members[0]) > 99 {
		t.Fatalf("%d members stand for one process, the first %q", len(members), members[0])
	}
	before := redis.Calls()
	d.do("burst", map[string]any{"name": "py", "start": 1, "count": sends, "group": "chat_lobby"}, nil)
	for i, e := range ears {
		e.await(sends)
		complete(t, fmt.Sprint("socket ", i), e.numbers("py"), 1, sends)
	}
	if n := redis.Calls()["zadd"] - before["zadd"]; n < sends || n > sends+10 {
		t.Errorf("%d events on the wire for %d group_sends to %d sockets", n, sends, sockets)
	}
	for _, e := range ears {
		must(t, l.GroupDiscard(t.Context(), "chat_lobby", e.name))
	}
	parts.Eventually(t, "the last to leave takes the process out", func() bool {
		return redis.Must("EXISTS", "asgi:group:chat_lobby") == "0"
	})
	d.calm()
}

func TestASocketReachedByItsNameAndItsProcessGetsTheEventOnce(t *testing.T) {
	p := at(t, "core", 1, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	one, two := member(t, l, "room"), member(t, l, "room")
	alone := listen(t, l)
	for _, e := range []*ear{one, alone} {
		d.do("group_add", map[string]any{"group": "room", "channel": e.name}, nil)
	}
	d.do("burst", map[string]any{"name": "py", "start": 1, "count": 20, "group": "room"}, nil)
	d.do("group_discard", map[string]any{"group": "room", "channel": alone.name}, nil)
	d.do("burst", map[string]any{"name": "py", "start": 21, "count": 5, "group": "room"}, nil)
	two.await(25)
	one.await(25)
	complete(t, "a member whom Django added too", one.numbers("py"), 1, 25)
	complete(t, "a member", two.numbers("py"), 1, 25)
	alone.await(20)
	complete(t, "whom Django added and discarded", alone.numbers("py"), 1, 20)
}

func TestADirectSendArrivesOnAnyOfFourShards(t *testing.T) {
	const sockets = 200
	p := at(t, "core", 4, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	ears := make([]*ear, sockets)
	names := make([]string, sockets)
	for i := range ears {
		ears[i] = listen(t, l)
		names[i] = ears[i].name
	}
	d.do("sends", map[string]any{"channels": names}, nil)
	for _, e := range ears {
		e.await(1)
	}
	// And the reverse, where Python listens.
	for range 20 {
		c := d.channel()
		must(t, l.Send(t.Context(), c, event("go", 1)))
		d.await(c, 1)
	}
	d.calm()
}

func TestGroupNamesThatDjangoCannotHaveAreMapped(t *testing.T) {
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 3, nil)
			l := p.layer(channels.LayerOptions{})
			d := p.python()
			for _, name := range []string{"lobby", "chat_lobby.2-x", "茶馆", "чат", "a room", "é!", strings.Repeat("n", 200)} {
				legal := channels.SafeName(name)
				if name == "lobby" && legal != name {
					t.Errorf("%q is legal, and became %q", name, legal)
				}
				toGo := member(t, l, name)
				toPython := d.member(legal)
				d.do("group_send", map[string]any{"group": legal, "message": map[string]any{"type": "test.event", "sender": "py", "n": 1}}, nil)
				toGo.await(1)
				must(t, l.GroupSend(t.Context(), name, event("go", 1)))
				d.await(toPython, 2)
			}
			d.calm()
		})
	}
}

func TestAGroupSendOfDjangoNeverRaisesWhateverGoMade(t *testing.T) {
	p := at(t, "core", 2, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	for _, group := range []string{"room", "r\xff\xfe", "茶馆"} {
		member(t, l, group)
		for _, channel := range []string{
			"work", "caf\xe9", "café", "a b", "a!b!c", strings.Repeat("n", 120), l.NewChannel("p\xffq"), l.NewChannel("茶"),
			l.NewChannel(strings.Repeat("p", 200)), "specific.0123456789abcdef0123456789abcdef!\xff", "line\nbreak", "!", "x!",
		} {
			_ = l.GroupAdd(t.Context(), group, channel) // an error, or something harmless
		}
		legal := channels.SafeName(group)
		mine := d.member(legal)
		d.do("burst", map[string]any{"name": "py", "start": 1, "count": 5, "group": legal}, nil)
		var failed []any
		d.do("burst", map[string]any{"name": "py", "start": 6, "count": 5, "group": legal}, &failed)
		if len(failed) > 0 {
			t.Errorf("%q: group_send raised %v", group, failed)
		}
		d.await(mine, 10)
		must(t, l.GroupSend(t.Context(), group, event("go", 1)))
		d.await(mine, 11)
	}
	if h := d.heard(); len(h.Failures) > 0 {
		t.Errorf("Python raised %q", h.Failures)
	}
}

func TestWhatComesAndGoesLeavesNothingInRedis(t *testing.T) {
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			b := p.broker()
			l := channels.NewLayer(&channels.LayerOptions{Broker: b})
			for i := range 2000 {
				name := l.NewChannel("")
				group := fmt.Sprint("g", i%50)
				must(t, l.GroupAdd(t.Context(), group, name))
				must(t, l.GroupSend(t.Context(), group, event("go", i)))
				must(t, l.GroupDiscard(t.Context(), group, name))
			}
			must(t, l.Close())
			must(t, b.Close())
			redis := p.servers[0]
			parts.Eventually(t, "no connection is left but one's own", func() bool {
				return strings.Count(redis.Must("CLIENT", "LIST"), "id=") == 1
			})
			if left := redis.Must("PUBSUB", "CHANNELS"); left != "" {
				t.Errorf("subscriptions are left: %s", left)
			}
			keys := strings.Fields(redis.Must("KEYS", "*"))
			if n := slices.IndexFunc(keys, func(k string) bool { return strings.HasPrefix(k, "asgi") }); n >= 0 {
				t.Errorf("keys are left: %q", keys)
			}
		})
	}
}
