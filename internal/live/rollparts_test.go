package live

import (
	"slices"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/nats"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestPeopleThroughRedis(t *testing.T) {
	for name, pubSub := range map[string]bool{"core": false, "pub/sub": true} {
		t.Run(name, func(t *testing.T) {
			server := parts.Redis(t, parts.RedisOptions{})
			meetThrough(t, server.Restart, func() (channels.Broker, error) {
				o, err := redis.ParseURL(server.URL())
				if err != nil {
					return nil, err
				}
				o.PubSub = pubSub
				return redis.New(o)
			})
		})
	}
}

func TestPeopleThroughNATS(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	meetThrough(t, server.Restart, func() (channels.Broker, error) {
		return nats.New(nats.Options{Servers: []string{server.URL()}})
	})
}

// meetThrough has people on three nodes see each other through real brokers,
// whose server is started anew in between.
func meetThrough(t *testing.T, restart func(), open func() (channels.Broker, error)) {
	store := memstore.New()
	t.Cleanup(func() { _ = store.Close() })
	var nodes []*node
	for n := range 3 {
		b, err := open()
		if err != nil {
			t.Fatal(err)
		}
		d := openOver(t, store, b)
		d.ear = d.enter(t, n+1, "a")
		nodes = append(nodes, d)
	}
	all := func(what string, people ...wire.Person) {
		t.Helper()
		parts.Eventually(t, what, func() bool {
			return !slices.ContainsFunc(nodes, func(d *node) bool {
				here, count := d.ear.who()
				return count != len(people) || !slices.Equal(here, people)
			})
		})
	}
	all("three nodes", sorted(1, 2, 3)...)
	nodes[1].come(10, 60)
	nodes[2].come(40, 90)
	all("90 people", append(sorted(1, 2, 3), sorted(numbers(10, 90)...)...)...)
	nodes[2].gone(40, 90)
	restart()
	nodes[0].come(7, 7)
	all("after the broker was away", append(sorted(1, 2, 3, 7), sorted(numbers(10, 60)...)...)...)
	if err := nodes[1].Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	nodes = []*node{nodes[0], nodes[2]}
	all("after a goodbye", sorted(1, 3, 7)...)
	for _, d := range nodes {
		if got := d.Stats().Rolls; got.Refused != 0 || got.Nodes == 0 || got.Sent == 0 || got.Heard == 0 {
			t.Errorf("%+v", got)
		}
	}
}
