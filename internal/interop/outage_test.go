package interop

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// flows has Python send to the group until one arrives that was sent from now on.
func flows(t *testing.T, d *django, e *ear, group string, from int) int {
	t.Helper()
	n := from
	parts.Eventually(t, "Django's messages arrive again", func() bool {
		// Python may have lost its connection, and say so once.
		_ = d.ask("burst", map[string]any{"name": "py", "start": n, "count": 1, "group": group}, nil)
		n++
		time.Sleep(10 * time.Millisecond)
		got := e.numbers("py")
		return len(got) > 0 && got[len(got)-1] >= from
	})
	return n
}

// rising checks that numbers are in order, each once.
func rising(t *testing.T, got []int) {
	t.Helper()
	for i := range got {
		if i > 0 && got[i] <= got[i-1] {
			t.Fatalf("number %d after %d", got[i], got[i-1])
		}
	}
}

func TestMembershipsHealAfterWhateverHappensToRedis(t *testing.T) {
	type misfortune struct {
		what string
		do   func(*place, *django)
	}
	all := []misfortune{
		{"FLUSHALL", func(p *place, _ *django) { p.servers[0].Must("FLUSHALL") }},
		{"Django's flush", func(_ *place, d *django) { d.do("flush", nil, nil) }},
		{"CLIENT KILL", func(p *place, _ *django) {
			_, _ = p.servers[0].Do("CLIENT", "KILL", "TYPE", "pubsub")
			p.servers[0].Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}},
		{"a restart", func(p *place, _ *django) { p.servers[0].Restart() }},
		{"a kill", func(p *place, _ *django) { p.servers[0].Kill(); p.servers[0].Restart() }},
	}
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // it is waiting, most of the time
			p := at(t, kind, 1, nil)
			l := p.layer(roomy)
			d := p.python()
			e := member(t, l, "room")
			next := flows(t, d, e, "room", 1)
			for _, m := range all {
				m.do(p, d)
				next = flows(t, d, e, "room", next)
				rising(t, e.numbers("py"))
				t.Log("healed after", m.what)
			}
		})
	}
}

func TestADeadGoProcessLeavesItsGroups(t *testing.T) {
	t.Parallel() // it is waiting, most of the time
	p := at(t, "core", 1, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	member(t, l, "room")
	dying := parts.NewProcess(t, []string{os.Args[0], "-test.run", "^TestAProcessThatWillBeKilled$"},
		[]string{hostVariable + "=" + p.servers[0].URL()})
	must(t, dying.Start())
	group := func() []string {
		return strings.Fields(p.servers[0].Must("ZRANGE", "asgi:group:room", "0", "-1"))
	}
	parts.Eventually(t, "the other process joins", func() bool { return len(group()) == 2 })
	dying.Kill()
	// Nothing fails meanwhile, however much waits for the dead one.
	var failed []any
	d.do("burst", map[string]any{"name": "py", "start": 1, "count": 300, "group": "room"}, &failed)
	if len(failed) > 0 {
		t.Errorf("group_send raised %v", failed)
	}
	for end := time.Now().Add(2 * time.Minute); len(group()) != 1; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("members: %q", group())
		}
	}
}

// hostVariable makes the test binary the process that TestADeadGoProcess kills.
const hostVariable = "TEAHOUSE_INTEROP_HOST"

func TestAProcessThatWillBeKilled(t *testing.T) {
	host := os.Getenv(hostVariable)
	if host == "" {
		return // run by TestADeadGoProcessLeavesItsGroups
	}
	b, err := redis.NewCore(redis.Options{Hosts: []string{host}})
	must(t, err)
	l := channels.NewLayer(&channels.LayerOptions{Broker: b, Logger: slog.New(slog.DiscardHandler)})
	must(t, l.GroupAdd(t.Context(), "room", l.NewChannel("")))
	select {}
}

func TestADeadDjangoProcessDisturbsNobody(t *testing.T) {
	p := at(t, "core", 1, nil)
	one, two := p.layer(roomy), p.layer(roomy)
	d := p.python()
	d.member("room")
	e := member(t, two, "room")
	d.Kill()
	for n := range 300 {
		if err := one.GroupSend(t.Context(), "room", event("go", n+1)); err != nil {
			t.Fatalf("event %d: %v", n, err)
		}
	}
	e.await(300)
	complete(t, "what the living got", e.numbers("go"), 1, 300)
	d.Restart()
	d.do("open", map[string]any{"kind": p.kind, "options": p.django}, nil)
	again := d.member("room")
	must(t, one.GroupSend(t.Context(), "room", event("go", 301)))
	d.await(again, 1)
	d.calm()
}

func TestAnOutageIsAnErrorOfSendsAndNoMore(t *testing.T) {
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			l := p.layer(channels.LayerOptions{})
			one, two := member(t, l, "room"), listen(t, l)
			p.servers[0].Kill()
			parts.Eventually(t, "a send is an error", func() bool {
				return l.GroupSend(t.Context(), "room", event("go", 1)) != nil
			})
			// Within the process everything goes on, joining too.
			must(t, l.GroupAdd(t.Context(), "room", two.name))
			before := one.count()
			_ = l.GroupSend(t.Context(), "room", event("go", 2))
			one.await(before + 1)
			two.await(1)
			p.servers[0].Restart()
			d := p.python()
			flows(t, d, two, "room", 1)
			parts.Eventually(t, "sends are no errors again", func() bool {
				return l.GroupSend(t.Context(), "room", event("go", 3)) == nil
			})
		})
	}
}
