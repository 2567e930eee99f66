package redis

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

// churn enters and leaves rooms, and leaves one more, known to the host, twice.
func churn(p *process, known string) {
	p.tb.Helper()
	unfollow := func(group string) {
		p.tb.Helper()
		if err := p.broker.Unfollow(p.tb.Context(), []string{group}); err != nil {
			p.tb.Error(err)
		}
	}
	unfollow(known)
	p.follow(known)
	unfollow(known)
	for i := range 100 {
		room := fmt.Sprint("room-", i)
		p.follow(room)
		unfollow(room)
	}
}

func TestOfGroupsLeftWhileRedisIsAwayOnlyThoseItKnowsAreRemembered(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, c := coreProcess(t, at(server), nil)
	p.follow("kept", "left")
	server.Kill()
	parts.Eventually(t, "the outage shows", func() bool { return !c.States()[0].Connected })
	churn(p, "left")
	if err := c.Close(); err != nil { // and nobody else reads what follows
		t.Error(err)
	}
	if got := slices.Collect(maps.Keys(c.servers[0].roster.leaving)); !slices.Equal(got, []string{"left"}) {
		t.Errorf("to be left: %q", got)
	}
	if got := slices.Collect(maps.Keys(c.aliases.left)); !slices.Equal(got, []string{"g.left"}) {
		t.Errorf("aliases: %q", got)
	}
}

func TestOfSubscriptionsEndedWhileRedisIsAwayNothingIsRemembered(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, b := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("kept", "left")
	server.Kill()
	parts.Eventually(t, "the outage shows", func() bool { return !b.States()[0].Connected })
	churn(p, "left")
	f := b.feeds[0]
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := slices.Collect(maps.Keys(f.changed)); !slices.Equal(got, []string{b.topic("kept")}) {
		t.Errorf("to be changed: %q", got)
	}
}

// A feed that is not run shows what it would do.
func TestASubscriptionIsEndedIfItBegan(t *testing.T) {
	f := newFeed(nil, nil)
	l := f.listen("a")
	f.unlisten("a", l)
	if len(f.changed) > 0 {
		t.Errorf("never subscribed to, and marked: %v", f.changed)
	}
	l = f.listen("a")
	clear(f.changed) // run has begun to subscribe
	for range 2 {
		f.unlisten("a", l)
		if !f.changed["a"] {
			t.Error("it is subscribed to, and not marked")
		}
		l = f.listen("a")
	}
}
