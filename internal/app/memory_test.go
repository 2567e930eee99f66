package app

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestMemoryIsReturnedOnlyWhenThereIsMuchAndItIsQuiet(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		name        string
		before, now memory
		want        bool
	}{
		{"nothing to return", memory{}, memory{used: 20 * mb, live: 19 * mb, free: mb}, false},
		{"free memory", memory{}, memory{used: 20 * mb, live: 20 * mb, free: 20 * mb}, true},
		{"garbage", memory{}, memory{used: 40 * mb, live: 20 * mb, free: mb}, true},
		{"little beside what lives", memory{}, memory{used: 400 * mb, live: 400 * mb, free: 50 * mb}, false},
		{"under load", memory{allocated: 100 * mb}, memory{used: 40 * mb, live: 20 * mb, free: 20 * mb, allocated: 110 * mb}, false},
		{"quiet again", memory{allocated: 110 * mb}, memory{used: 40 * mb, live: 20 * mb, free: 20 * mb, allocated: 110 * mb}, true},
		{"a small program before its first collection", memory{}, memory{used: mb, free: mb}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.now.wasted(c.before); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	if m := readMemory(); m.used == 0 || m.allocated < m.used {
		t.Errorf("read %+v", m)
	}
}

func TestASmallHeapIsCollectedSeldom(t *testing.T) {
	const mb = 1 << 20
	for live, want := range map[uint64]int{0: 400, 4 * mb: 400, 5 * mb: 300, 8 * mb: 200, 10 * mb: 150, 16 * mb: 100, 4000 * mb: 100} {
		if got := (memory{live: live}).percent(); got != want {
			t.Errorf("%d MB: got %d, want %d", live/mb, got, want)
		}
	}
}

// TestAHeapThatHasGrownIsCollectedAsOftenAsAnyOther has no tick to wait for: in
// the time between two a storm may make a heap many times larger.
func TestAHeapThatHasGrownIsCollectedAsOftenAsAnyOther(t *testing.T) {
	if os.Getenv("GOGC") != "" {
		t.Skip("the operator has decided")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); tendMemory(ctx, time.Hour) }()
	await := func(what string, ok func(percent uint64) bool) {
		t.Helper()
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			metrics.Read(sample)
			if ok(sample[0].Value.Uint64()) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: still %d %%", what, sample[0].Value.Uint64())
			}
			runtime.GC()
		}
	}
	await("a small heap", func(p uint64) bool { return p > usualPercent })
	storm := make([]byte, 2*memorySpare)
	await("a large one", func(p uint64) bool { return p == usualPercent })
	runtime.KeepAlive(storm)
	await("a small one again", func(p uint64) bool { return p > usualPercent })
	cancel()
	<-done
	await("when all is over", func(p uint64) bool { return p == usualPercent })
}
