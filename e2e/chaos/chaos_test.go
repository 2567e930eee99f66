//go:build linux

package chaos_test

import (
	"flag"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/chaos"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

var (
	firstSeed = flag.Uint64("seed", 1, "of the first schedule of TestSchedules")
	schedules = flag.Int("schedules", len(chaos.Layers), "how many TestSchedules carries out, of seeds in a row")
	layer     = flag.String("layer", "", "the broker of all of them: redis, redis+pubsub or nats; empty takes turns")
)

// TestSchedules carries schedules out: those of each kind of broker one after
// another on one cluster, beside those of the others.
func TestSchedules(t *testing.T) {
	byLayer := make(map[chaos.Layer][]chaos.Schedule)
	for i := range *schedules {
		s := chaos.FromSeed(*firstSeed+uint64(i), chaos.Layer(*layer))
		byLayer[s.Layer] = append(byLayer[s.Layer], s)
	}
	for l, all := range byLayer {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			c := chaos.NewCluster(t, l)
			for _, s := range all {
				t.Run(fmt.Sprint(s.Seed), func(t *testing.T) { try(t, c, s) })
			}
		})
	}
}

// try fails the test with what a schedule brings to light.
func try(t *testing.T, c *chaos.Cluster, s chaos.Schedule) {
	t.Helper()
	r := chaos.Run(t, c, s, server.Binary(t))
	t.Logf("%v\n%v", s, r.Counts)
	for i, v := range r.Violations {
		if i == 20 {
			t.Errorf("and %d more", len(r.Violations)-i)
			break
		}
		t.Error(v)
	}
}
