//go:build linux

package chaos_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/chaos"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "4") // schedules mostly wait; it is a flag that there is
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit))
}

var (
	firstSeed = flag.Uint64("seed", 1, "of the first schedule of TestSchedules")
	schedules = flag.Int("schedules", len(chaos.Layers), "how many TestSchedules carries out, of seeds in a row")
	layer     = flag.String("layer", "", "the broker of all of them: redis, redis+pubsub or nats; empty takes turns")
)

// TestSchedules carries schedules out: those of each kind of broker one after
// another on one cluster, beside those of the others.
func TestSchedules(t *testing.T) {
	t.Parallel()
	byLayer := make(map[chaos.Layer][]chaos.Schedule)
	for i := range *schedules {
		s := chaos.FromSeed(*firstSeed+uint64(i), chaos.Layer(*layer))
		byLayer[s.Layer] = append(byLayer[s.Layer], s)
	}
	carryOut(t, byLayer)
}

// TestSeeds carries the schedules out in which something was found once.
func TestSeeds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/seeds.txt")
	if err != nil {
		t.Fatal(err)
	}
	byLayer := make(map[chaos.Layer][]chaos.Schedule)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var seed uint64
		if _, err := fmt.Sscan(line, &seed); err != nil {
			t.Fatalf("%q does not begin with a seed: %v", line, err)
		}
		s := chaos.FromSeed(seed, "")
		byLayer[s.Layer] = append(byLayer[s.Layer], s)
	}
	carryOut(t, byLayer)
}

// TestANodeWithoutItsDatabaseSaysSo lets people wait for its answer, which is
// "unavailable", and no acknowledgement.
func TestANodeWithoutItsDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	s := calm(16 * time.Second)
	s.Hasty, s.People.Patience = false, 14*time.Second
	s.Faults = []chaos.Fault{{Kind: chaos.CutDatabase, At: 500 * time.Millisecond, For: 15 * time.Second}}
	try(t, chaos.NewCluster(t, s.Layer), s)
}

// TestASwallowingBrokerOnlyDelays lets the broker take everything and pass nothing
// on, for longer than servers wait until they look for themselves.
func TestASwallowingBrokerOnlyDelays(t *testing.T) {
	if !*thorough {
		t.Skip("-thorough tries it")
	}
	t.Parallel()
	for _, l := range chaos.Layers {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			s := calm(15 * time.Second)
			s.Layer, s.Hasty = l, false
			s.People.Wanderers, s.People.Latecomers = 0, 0 // by whom nodes would learn what they miss
			s.People.Rooms, s.People.Think = 30, 100*time.Millisecond
			s.Faults = []chaos.Fault{{Kind: chaos.FreezeBroker, At: time.Second, For: 13 * time.Second}}
			if c := try(t, chaos.NewCluster(t, l), s); c.Behind > 15*time.Second {
				t.Errorf("a message took %v", c.Behind)
			}
		})
	}
}

// totals are the sums of all that was carried out.
type totals struct {
	mu     sync.Mutex
	runs   int
	counts chaos.Counts
	kinds  map[chaos.Kind]int
	caught []time.Duration
}

func (sum *totals) add(s chaos.Schedule, c chaos.Counts) {
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.runs++
	sum.counts.Messages += c.Messages
	sum.counts.Stored += c.Stored
	sum.counts.Unknown += c.Unknown
	sum.counts.Reads += c.Reads
	sum.caught = append(sum.caught, c.Caught)
	for _, f := range s.Faults {
		sum.kinds[f.Kind]++
	}
}

// carryOut carries schedules out, and says how much that was.
func carryOut(t *testing.T, byLayer map[chaos.Layer][]chaos.Schedule) {
	t.Helper()
	sum := &totals{kinds: make(map[chaos.Kind]int)}
	t.Cleanup(func() {
		slices.Sort(sum.caught)
		if len(sum.caught) == 0 {
			return
		}
		t.Logf("%d schedules, %d messages, %d acknowledged, %d unknown, %d reads; caught up after %v in the middle, %v at most",
			sum.runs, sum.counts.Messages, sum.counts.Stored, sum.counts.Unknown, sum.counts.Reads,
			sum.caught[len(sum.caught)/2].Round(time.Millisecond), sum.caught[len(sum.caught)-1].Round(time.Millisecond))
		for _, kind := range slices.Sorted(maps.Keys(sum.kinds)) {
			t.Logf("%4d  %s", sum.kinds[kind], kind)
		}
	})
	for l, all := range byLayer {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			c := chaos.NewCluster(t, l)
			for _, s := range all {
				t.Run(fmt.Sprint(s.Seed), func(t *testing.T) { sum.add(s, try(t, c, s)) })
			}
		})
	}
}

// try fails the test with what a schedule brings to light.
func try(t *testing.T, c *chaos.Cluster, s chaos.Schedule) chaos.Counts {
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
	return r.Counts
}

func TestASeedIsOneScheduleAndManyAreAllKinds(t *testing.T) {
	const seeds = 100
	seen := make(map[chaos.Layer]map[chaos.Kind]int)
	for seed := range uint64(seeds) {
		s := chaos.FromSeed(seed, "")
		if diff := cmp.Diff(s, chaos.FromSeed(seed, "")); diff != "" {
			t.Fatalf("seed %d is two schedules\n%s", seed, diff)
		}
		if n := len(s.Faults); n < 3 || n > 10 {
			t.Errorf("seed %d has %d faults", seed, n)
		}
		for _, f := range s.Faults {
			if f.At < 0 || f.At+f.For > s.Length {
				t.Errorf("seed %d, %v long, has %v", seed, s.Length, f)
			}
			if seen[s.Layer] == nil {
				seen[s.Layer] = make(map[chaos.Kind]int)
			}
			seen[s.Layer][f.Kind]++
		}
	}
	for _, l := range chaos.Layers {
		for _, k := range chaos.Kinds() {
			if seen[l][k] == 0 {
				t.Errorf("%d seeds have no %s on %s", seeds, k, l)
			}
		}
	}
	if s := chaos.FromSeed(1, "nats"); s.Layer != "nats" {
		t.Errorf("the broker is %s", s.Layer)
	}
}
