package redis

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

// holding is one process that wants a lease.
type holding struct {
	broker Broker
	cancel context.CancelFunc
	runs   atomic.Int32 // running now
	began  atomic.Int32 // runs so far
	ended  chan error
}

// holders are processes that want the same lease; together tells how many ran
// at once at most.
func holders(t *testing.T, brokers ...Broker) (all []*holding, together *atomic.Int32) {
	together = new(atomic.Int32)
	var mu sync.Mutex
	running := int32(0)
	for _, b := range brokers {
		ctx, cancel := context.WithCancel(t.Context())
		h := &holding{broker: b, cancel: cancel, ended: make(chan error, 1)}
		all = append(all, h)
		go func() { // the test waits for ended
			h.ended <- b.Hold(ctx, "bridge", time.Second, func(ctx context.Context) {
				if h.began.Add(1); !Held(ctx) {
					t.Error("the lease is not held")
				}
				h.runs.Add(1)
				mu.Lock()
				running++
				together.Store(max(together.Load(), running))
				mu.Unlock()
				<-ctx.Done()
				mu.Lock()
				running--
				mu.Unlock()
				h.runs.Add(-1)
			})
		}()
		t.Cleanup(func() {
			cancel()
			if err := <-h.ended; !errors.Is(err, context.Canceled) && !errors.Is(err, errClosed) {
				t.Errorf("Hold: %v", err)
			}
		})
	}
	return all, together
}

func holderOf(t *testing.T, all []*holding, not *holding) *holding {
	t.Helper()
	var found *holding
	parts.Eventually(t, "somebody holds the lease", func() bool {
		for _, h := range all {
			if h != not && h.runs.Load() == 1 {
				found = h
			}
		}
		return found != nil
	})
	return found
}

func TestOneOfManyHoldsALeaseAndAnotherTakesOver(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	_, a := coreProcess(t, at(server), nil)
	_, b := coreProcess(t, at(server), nil)
	_, c := pubsubProcess(t, Options{Hosts: at(server)})
	all, together := holders(t, a, b, c)

	first := holderOf(t, all, nil)
	began := time.Now()
	parts.Eventually(t, "it was held for twice its time", func() bool { return time.Since(began) > 2*time.Second })
	if first.began.Load() != 1 || first.runs.Load() != 1 {
		t.Errorf("who held it did not keep it")
	}
	first.cancel()
	second := holderOf(t, all, first)

	// Somebody else got it behind the holder's back.
	server.Must("SET", "teahouse:asgi:lease:bridge", "another", "PX", "1000")
	parts.Eventually(t, "the holder has noticed", func() bool { return second.runs.Load() == 0 })
	holderOf(t, all, nil)
	if n := together.Load(); n != 1 {
		t.Errorf("%d held it at once", n)
	}
}

func TestALeaseEndsWithItsRedisAndComesBackWithIt(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{Save: true})
	_, a := coreProcess(t, at(server), nil)
	all, _ := holders(t, a)
	first := holderOf(t, all, nil)
	server.Kill()
	parts.Eventually(t, "it is not held for certain any more", func() bool { return first.runs.Load() == 0 })
	server.Restart()
	holderOf(t, all, nil)
}

func TestALeaseIsHeldUntilItsTimeByEitherClock(t *testing.T) {
	began := time.Now()
	var l term
	l.set(began.Add(time.Second))
	for name, tt := range map[string]struct {
		now  time.Time
		want bool
	}{
		"at once":                    {began, true},
		"just before its end":        {began.Add(time.Second - 1), true},
		"at its end":                 {began.Add(time.Second), false},
		"when the machine has slept": {began.Round(0).Add(time.Hour), false},
	} {
		if got := l.covers(tt.now); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	l.set(time.Time{})
	if l.covers(began) || Held(t.Context()) {
		t.Error("a lease is held that nobody gave")
	}
}

// The goroutine that would end the context stands still here, as all do in a
// process that was stopped; the clock does not.
func TestWhoStoodStillDoesNotHoldTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, server := piped(t)
		via := newConn(host{addrs: []string{"nowhere"}}, nil, slog.New(slog.DiscardHandler))
		defer via.close()
		via.shared = p
		go func() { // ends with the pipe
			for {
				if _, err := server.in.ReadString('\n'); err != nil {
					return
				}
			}
		}()
		h := &holder{lease: lease{"k", 3 * time.Second}, via: via, scripts: newScripts(), token: "t"}
		h.run(t.Context(), time.Now().Add(h.ttl), func(ctx context.Context) {
			time.Sleep(h.ttl - time.Millisecond) // Redis answers nothing
			if !Held(ctx) || ctx.Err() != nil {
				t.Error("it was given up before its time")
			}
			time.Sleep(time.Millisecond)
			if Held(ctx) {
				t.Error("it is held after its time")
			}
			synctest.Wait()
			if ctx.Err() == nil {
				t.Error("its context goes on")
			}
		})
	})
}

func TestALeaseIsGivenUpWhenItsWorkEnds(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	_, a := coreProcess(t, at(server), nil)
	ctx, cancel := context.WithCancel(t.Context())
	err := a.Hold(ctx, "once", time.Second, func(context.Context) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Hold: %v", err)
	}
	if got := server.Must("EXISTS", "teahouse:asgi:lease:once"); got != "0" {
		t.Error("the lease is still there")
	}
	if err := a.Hold(t.Context(), "short", time.Millisecond, nil); err == nil {
		t.Error("a lease of a millisecond was taken")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Hold(t.Context(), "late", time.Second, nil); !errors.Is(err, errClosed) {
		t.Errorf("Hold after Close: %v", err)
	}
}
