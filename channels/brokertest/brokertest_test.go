package brokertest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/brokertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func hub(testing.TB) brokertest.Setup {
	var h brokertest.Hub
	return brokertest.Setup{
		New: func(testing.TB) channels.Broker { return h.Broker() },
		Cut: func(testing.TB) { h.Cut() },
	}
}

func TestTheHubKeepsTheContract(t *testing.T) { brokertest.Run(t, hub) }

func BenchmarkTheHub(b *testing.B) { brokertest.Benchmark(b, hub) }
