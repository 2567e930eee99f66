package app

import "testing"

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
		{"before the first collection", memory{}, memory{used: 6 * mb, free: mb}, false},
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
	for live, want := range map[uint64]int{0: 400, 5 * mb: 400, 12 * mb: 400, 16 * mb: 300, 30 * mb: 150, 48 * mb: 100, 4000 * mb: 100} {
		if got := (memory{live: live}).percent(); got != want {
			t.Errorf("%d MB: got %d, want %d", live/mb, got, want)
		}
	}
}
