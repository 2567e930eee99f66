package limit

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var kinds = []chat.Limit{chat.LimitMessages, chat.LimitAddress, chat.LimitRooms, chat.LimitHandshakes, chat.LimitGuests}

func TestTheBurstIsFreeAndThenTheRateHolds(t *testing.T) {
	for _, tt := range []struct {
		kind   chat.Limit
		burst  int
		period time.Duration // of one more
	}{
		{chat.LimitMessages, 20, time.Second / 5},
		{chat.LimitAddress, 200, time.Second / 50},
		{chat.LimitRooms, 5, time.Minute / 5},
		{chat.LimitHandshakes, 30, time.Second / 10},
		{chat.LimitGuests, 100, time.Second / 10},
	} {
		t.Run(tt.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Options{})
				for i := range tt.burst {
					if wait := l.Take(tt.kind, "a"); wait != 0 {
						t.Fatalf("number %d of the burst has to wait %v", i+1, wait)
					}
				}
				for range 3 {
					wait := l.Take(tt.kind, "a")
					if wait <= 0 || wait > tt.period+time.Millisecond {
						t.Fatalf("one too many has to wait %v, want at most %v", wait, tt.period)
					}
					if again := l.Take(tt.kind, "a"); again > wait {
						t.Errorf("being refused cost something: %v after %v", again, wait)
					}
					time.Sleep(wait - tt.period/2)
					if l.Take(tt.kind, "a") == 0 {
						t.Error("half a period early was soon enough")
					}
					time.Sleep(tt.period / 2)
					if wait := l.Take(tt.kind, "a"); wait != 0 {
						t.Errorf("after the wait it has to wait %v more", wait)
					}
				}
				if wait := l.Take(tt.kind, "b"); wait != 0 {
					t.Errorf("another key has to wait %v", wait)
				}
				if got := l.Stats().RefusedRate[tt.kind]; got != 9 {
					t.Errorf("%d refusals were counted, want 9", got)
				}
				if every, burst := l.Rate(tt.kind); burst != tt.burst || time.Duration(float64(time.Second)/every) != tt.period {
					t.Errorf("Rate() = %v per second, %d", every, burst)
				}
			})
		})
	}
}

func TestTheWaitIsAlwaysLongEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "start"), rapid.Int64Range(0, 1e9-1).Draw(t, "ns"))
		l := New(Options{Now: func() time.Time { return now }})
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		for range rapid.IntRange(1, 300).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "pause")))
			if wait := l.Take(kind, "a"); wait > 0 {
				now = now.Add(wait)
				if more := l.Take(kind, "a"); more != 0 {
					t.Fatalf("after %v it has to wait %v more", wait, more)
				}
			}
		}
	})
}

func TestAnIdleBucketIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Options{})
		for i := range 100 {
			l.Take(chat.LimitMessages, strconv.Itoa(i))
		}
		time.Sleep(4*time.Second - time.Nanosecond)
		l.Take(chat.LimitMessages, "new")
		if got := l.Stats().Keys[chat.LimitMessages]; got != 101 {
			t.Errorf("%d buckets are kept, want 101: none was full yet", got)
		}
		time.Sleep(time.Nanosecond)
		for range 50 {
			l.Take(chat.LimitMessages, "new")
		}
		if got := l.Stats().Keys[chat.LimitMessages]; got != 1 {
			t.Errorf("%d buckets are kept, want only the new one", got)
		}
		if l.Take(chat.LimitMessages, "new") == 0 {
			t.Error("the bucket in use was forgotten too")
		}
	})
}

func TestTheNumberOfBucketsIsBoundedAndNewcomersPass(t *testing.T) {
	now := time.Unix(0, 0)
	l := New(Options{Now: func() time.Time { return now }})
	for range 20 {
		l.Take(chat.LimitMessages, "busy")
	}
	for i := range MaxKeys + 1000 {
		if wait := l.Take(chat.LimitMessages, strconv.Itoa(i)); wait != 0 {
			t.Fatalf("newcomer %d has to wait %v", i, wait)
		}
		if i%1000 == 0 && l.Take(chat.LimitMessages, "busy") == 0 {
			t.Fatalf("after %d newcomers the busy one was forgiven", i)
		}
	}
	if got := l.Stats().Keys[chat.LimitMessages]; got != MaxKeys {
		t.Errorf("%d buckets are kept, want %d", got, MaxKeys)
	}
}

func TestSocketsAreCountedForEachAddressAndUser(t *testing.T) {
	for kind, most := range map[Count]int{SocketsPerAddress: 100, SocketsPerUser: 20} {
		t.Run(kind.String(), func(t *testing.T) {
			l := New(Options{})
			for i := range most {
				if !l.Acquire(kind, "192.0.2.1") {
					t.Fatalf("number %d was refused", i+1)
				}
			}
			if l.Acquire(kind, "192.0.2.1") {
				t.Error("one too many was allowed")
			}
			if !l.Acquire(kind, "192.0.2.2") {
				t.Error("another key was refused")
			}
			l.Release(kind, "192.0.2.1")
			if !l.Acquire(kind, "192.0.2.1") {
				t.Error("a released place was not given again")
			}
			for range most {
				l.Release(kind, "192.0.2.1")
			}
			l.Release(kind, "192.0.2.2")
			if n := len(l.counts[kind].open); n != 0 {
				t.Errorf("%d keys are kept with nothing open", n)
			}
			if got := l.Stats().RefusedCount[kind]; got != 1 || l.Most(kind) != most {
				t.Errorf("%d refusals were counted, want 1; Most() = %d", got, l.Most(kind))
			}
			defer func() {
				if recover() == nil {
					t.Error("releasing what nobody has went unnoticed")
				}
			}()
			l.Release(kind, "192.0.2.1")
		})
	}
}

func TestOffAllowsEverything(t *testing.T) {
	l := New(Options{Off: true})
	for range 1000 {
		for _, kind := range kinds {
			if wait := l.Take(kind, "a"); wait != 0 {
				t.Fatalf("%v has to wait %v", kind, wait)
			}
		}
		if !l.Acquire(SocketsPerUser, "a") {
			t.Fatal("a socket was refused")
		}
	}
	l.Release(SocketsPerUser, "b")
	if every, burst := l.Rate(chat.LimitMessages); every != 0 || burst != 0 || l.Most(SocketsPerUser) != 0 {
		t.Errorf("the figures are %v, %d and %d, want zeros", every, burst, l.Most(SocketsPerUser))
	}
}

func TestASharedAddressMayDoSoManyTimesAsMuchAndAPersonNoMore(t *testing.T) {
	const times = 7
	now := time.Unix(0, 0)
	l := New(Options{PerAddress: times, Now: func() time.Time { return now }})
	taken := func(kind chat.Limit, key string) (n int) {
		for n = 0; l.Take(kind, key) == 0; n++ {
		}
		return n
	}
	for _, tt := range []struct {
		kind   chat.Limit
		key    string
		burst  int
		period time.Duration // for as many more
	}{
		{chat.LimitMessages, "0123456789abc", 20, 4 * time.Second},
		{chat.LimitAddress, "192.0.2.1:80", times * 200, 4 * time.Second},
		{chat.LimitAddress, "django:lobby", 200, 4 * time.Second}, // a room in the place of an address
		{chat.LimitRooms, "192.0.2.1", times * 5, time.Minute},
		{chat.LimitHandshakes, "[2001:db8::1]:80", times * 30, 3 * time.Second},
		{chat.LimitGuests, "2001:db8::/64", times * 100, 10 * time.Second},
	} {
		if got := taken(tt.kind, tt.key); got != tt.burst {
			t.Errorf("%v of %s: %d at once, want %d", tt.kind, tt.key, got, tt.burst)
		}
		now = now.Add(tt.period)
		if got := taken(tt.kind, tt.key); got != tt.burst {
			t.Errorf("%v of %s: %d in %v, want %d", tt.kind, tt.key, got, tt.period, tt.burst)
		}
	}
	if _, burst := l.Rate(chat.LimitHandshakes); burst != times*30 {
		t.Errorf("Rate says %d at once, want %d", burst, times*30)
	}
	for kind, want := range map[Count]int{SocketsPerAddress: times * 100, SocketsPerUser: 20} {
		got := 0
		for l.Acquire(kind, "192.0.2.1") {
			got++
		}
		if got != want || l.Most(kind) != want {
			t.Errorf("%v: %d were allowed and Most says %d, want %d", kind, got, l.Most(kind), want)
		}
	}
}

func TestNeighboursInOneSlash64ShareTheirLimits(t *testing.T) {
	l := New(Options{Now: func() time.Time { return time.Unix(0, 0) }})
	for i := range 30 {
		if l.Take(chat.LimitHandshakes, fmt.Sprintf("[2001:db8::%x]:%d", i, 1000+i)) != 0 {
			t.Fatal("the burst was refused")
		}
	}
	if l.Take(chat.LimitHandshakes, "[2001:db8::ffff:0:0:1]:9") == 0 {
		t.Error("another address of the same /64 was allowed more")
	}
	if l.Take(chat.LimitHandshakes, "[2001:db8:0:1::1]:9") != 0 {
		t.Error("the next /64 was refused")
	}
}

func TestConcurrentCallersTakeNoMoreThanTheBurst(t *testing.T) {
	now := time.Unix(0, 0)
	l := New(Options{Now: func() time.Time { return now }})
	var wg sync.WaitGroup
	taken := make([]int, 8)
	for i := range taken {
		wg.Go(func() {
			for range 100 {
				if l.Take(chat.LimitMessages, "a") == 0 {
					taken[i]++
				}
				if l.Acquire(SocketsPerUser, "a") {
					l.Release(SocketsPerUser, "a")
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if sum != 20 {
		t.Errorf("%d were taken, want 20", sum)
	}
}

func BenchmarkTake(b *testing.B) {
	l := New(Options{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Take(chat.LimitMessages, "0123456789abc")
	}
}
