package nats

import (
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/brokertest"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestTheBrokerKeepsTheContract(t *testing.T) { brokertest.Run(t, brokers) }

// brokers are those of a server of their own.
func brokers(tb testing.TB) brokertest.Setup {
	server := parts.NATS(tb, parts.NATSOptions{})
	return brokertest.Setup{
		New: func(tb testing.TB) channels.Broker {
			b, err := New(Options{Servers: []string{server.URL()}})
			if err != nil {
				tb.Fatal(err)
			}
			return b
		},
		Cut:       func(testing.TB) { server.Crash() },
		Unbounded: true,
		Fleeting:  true,
		Early:     true,
	}
}

func BenchmarkTheBroker(b *testing.B) { brokertest.Benchmark(b, brokers) }
