package redis

import (
	"io"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/brokertest"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestCoreKeepsTheContract(t *testing.T) {
	for name, o := range map[string]Options{
		"by default":                         {},
		"in JSON, encrypted, on three hosts": {Format: "json", Keys: []string{"a-test-key"}, Hosts: []string{"", "/1", "/2"}},
	} {
		t.Run(name, func(t *testing.T) {
			brokertest.Run(t, cores(o))
		})
	}
}

// cores are brokers of a server of their own, or of databases of it.
func cores(o Options) func(testing.TB) brokertest.Setup {
	return func(tb testing.TB) brokertest.Setup {
		server := parts.Redis(tb, parts.RedisOptions{})
		o := o
		o.Hosts = hostsOf(server, o.Hosts...)
		return brokertest.Setup{
			New: func(tb testing.TB) channels.Broker {
				c, err := NewCore(o)
				if err != nil {
					tb.Fatal(err)
				}
				if len(o.Hosts) > 1 { // whose channels of no process are as upstream has them: in turn on each
					return struct {
						channels.Broker
						channels.Enroller
						io.Closer
					}{c, c, c}
				}
				return c
			},
			Cut: func(testing.TB) {
				server.Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			},
			NoBytes: o.Format == "json",
		}
	}
}

// hostsOf are databases of a server as hosts, by their paths; none is the first.
func hostsOf(server *parts.RedisServer, paths ...string) []string {
	if len(paths) == 0 {
		paths = []string{""}
	}
	hosts := make([]string, len(paths))
	for i, path := range paths {
		hosts[i] = "redis://" + server.Address + path
	}
	return hosts
}
