package promises_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// kills is how often TestKilledUnderLoad kills: TEAHOUSE_KILLS, else 10.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("TEAHOUSE_KILLS")
	if text == "" {
		return 10
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("TEAHOUSE_KILLS is %q: say a number", text)
	}
	return n
}

// seed is that of this run: TEAHOUSE_SEED repeats one.
func seed(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv("TEAHOUSE_SEED"), 10, 64)
	if err != nil {
		n = rand.Uint64N(1 << 32)
	}
	t.Logf("TEAHOUSE_SEED=%d repeats the choices of this run", n)
	return n
}

// TestKilledUnderLoad is F1, F2 and F3: SIGKILL at random moments, some of them
// while the server starts, while twelve people talk in three rooms and twelve
// listen. Whoever has no answer posts the nonce again.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	n, from := kills(t), seed(t)
	random := rand.New(rand.NewPCG(from, 2))
	s := server.Start(t, "--limits", "off")
	c := gather(t, s, 12, guest.Load{Rooms: []string{"one", "two", "three"}, Window: 4, Size: 400, Seed: from})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(n)*10*time.Second)
	defer cancel()
	startups, slowest := 0, time.Duration(0)
	for range n {
		if err := c.members[random.IntN(12)].Speak(ctx, 1+random.IntN(20)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(random.IntN(20_000)) * time.Microsecond) // a random moment
		s.Kill()
		var acked []guest.Acked
		for _, m := range c.members {
			acked = append(acked, m.Acked()...)
		}
		for random.IntN(4) == 0 { // dies again before it is ready
			startups++
			if err := s.Launch(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(random.IntN(60_000)) * time.Microsecond) // a random moment
			s.Kill()
		}
		slowest = max(slowest, s.Restart())
		c.read(t)
		c.sound(t)
		c.acknowledged(t, acked)
	}
	stories, total := c.finish(t)
	sessions := 0
	for _, story := range stories {
		sessions += story.Sessions
	}
	t.Logf("%d kills under load and %d during the start, %d messages, %d sockets; ready again after at most %v",
		n, startups, total, sessions, slowest)
	s.Stop()
	c.examine(t)
}

// TestStoppedUnderLoad is F18 on one node: SIGTERM while people talk. Sockets
// are told when to come back, spread out; the exit code is 0.
func TestStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	s := server.Start(t, "--limits", "off")
	c := gather(t, s, 20, guest.Load{Rooms: []string{"one", "two"}, Window: 4, Size: 400, Seed: seed(t)})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	for range 3 {
		c.speak(ctx, t, 20, 10)
		s.Stop()
		s.Restart()
	}
	stories, _ := c.finish(t)
	waits := make(map[string]int)
	for _, story := range stories {
		for _, reason := range story.Retries {
			_, ms, found := strings.Cut(reason, "retry_ms=")
			if n, err := strconv.Atoi(ms); !found || err != nil || n < 100 || n > 30_000 {
				t.Fatalf("closed with 1012 %q", reason)
			}
			waits[ms]++
		}
	}
	// Some may have been between two sockets, or in the middle of a handshake.
	if len(waits) < 60 {
		t.Errorf("%d different times to come back for 120 sockets", len(waits))
	}
	s.Stop()
	c.examine(t)
}

// TestAStorm breaks all connections again and again while people talk: whoever
// comes back gets what they missed, each message once.
func TestAStorm(t *testing.T) {
	t.Parallel()
	s := server.Start(t, "--limits", "off")
	c := gather(t, s, 25, guest.Load{
		Rooms: []string{"one", "two"}, Window: 2, Size: 100, Hangup: 40, Seed: seed(t),
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	c.speak(ctx, t, 25, 100)
	stories, total := c.finish(t)
	sessions, resets := 0, 0
	for _, story := range stories {
		sessions += story.Sessions
		resets += story.Resets
	}
	if sessions < 3*len(stories) {
		t.Errorf("%d sockets of %d people: that is no storm", sessions, len(stories))
	}
	t.Logf("%d messages, %d sockets, %d resets", total, sessions, resets)
}
