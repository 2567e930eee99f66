package nats

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestOfSubscriptionsEndedWithoutAServerNothingIsRemembered(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p := start(t, at(server))
	p.follow("kept", "left")
	server.Stop()
	p.awaitsState(false, "")
	groups := []string{"left", "left"}
	for i := range 100 {
		groups = append(groups, fmt.Sprint("room-", i))
	}
	for i, group := range groups {
		if i > 0 {
			p.follow(group)
		}
		if err := p.Unfollow(t.Context(), []string{group}); err != nil {
			t.Error(err)
		}
	}
	p.Broker.mu.Lock()
	defer p.Broker.mu.Unlock()
	if got := slices.Collect(maps.Keys(p.changed)); !slices.Equal(got, []string{p.options.Prefix + subjectGroup + token("kept")}) {
		t.Errorf("to be changed: %q", got)
	}
}

// A broker that is not run shows what it would do.
func TestASubscriptionIsEndedIfItBegan(t *testing.T) {
	b, err := New(Options{Servers: []string{"nats://127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	b.listen("a")
	b.unlisten("a")
	if len(b.changed) > 0 {
		t.Errorf("never subscribed to, and marked: %v", b.changed)
	}
	b.listen("a")
	clear(b.changed) // run has begun to subscribe
	for range 2 {
		b.unlisten("a")
		if !b.changed["a"] {
			t.Error("it is subscribed to, and not marked")
		}
		b.listen("a")
	}
}
