package redis

import (
	"testing"

	"github.com/teahouse-chat/teahouse/channels/brokertest"
)

func BenchmarkCore(b *testing.B) { brokertest.Benchmark(b, cores(Options{})) }
