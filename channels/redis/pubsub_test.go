package redis

import (
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/brokertest"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestPubSubKeepsTheContract(t *testing.T) {
	for name, o := range map[string]Options{
		"by default":                       {},
		"encrypted, in JSON, on two hosts": {Format: "json", Keys: []string{"a-test-key"}, Hosts: []string{"", "/1"}},
	} {
		t.Run(name, func(t *testing.T) {
			brokertest.Run(t, pubsubs(o))
		})
	}
}

// pubsubs are brokers of a server of their own, or of databases of it.
func pubsubs(o Options) func(testing.TB) brokertest.Setup {
	return func(tb testing.TB) brokertest.Setup {
		server := parts.Redis(tb, parts.RedisOptions{})
		o := o
		if len(o.Hosts) == 0 {
			o.Hosts = []string{""}
		}
		hosts := make([]string, len(o.Hosts))
		for i, path := range o.Hosts {
			hosts[i] = "redis://" + server.Address + path
		}
		o.Hosts = hosts
		return brokertest.Setup{
			New: func(tb testing.TB) channels.Broker {
				p, err := NewPubSub(o)
				if err != nil {
					tb.Fatal(err)
				}
				return p
			},
			Cut: func(tb testing.TB) {
				server.Must("CLIENT", "KILL", "TYPE", "pubsub")
				server.Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			},
			Unbounded: true,
			Copies:    true,
			NoBytes:   o.Format == "json",
		}
	}
}

func BenchmarkPubSub(b *testing.B) { brokertest.Benchmark(b, pubsubs(Options{})) }
