package live

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

// sluggish is a store whose pages take a while, and positions and single messages do not. The room
// "never" cannot be read.
type sluggish struct {
	shaky
	takes atomic.Int64 // nanoseconds
}

func (s *sluggish) Messages(ctx context.Context, room string, r chat.Range) (chat.Page, error) {
	if s.pages.Add(1); room == "never" && r.After >= 0 {
		return chat.Page{}, errGone
	}
	takes := time.Duration(s.takes.Load())
	if r.Limit == 1 {
		takes = 0
	}
	select {
	case <-time.After(takes):
		return s.Store.Messages(ctx, room, r)
	case <-ctx.Done():
		return chat.Page{}, ctx.Err()
	}
}

// until waits for a room to show a position, and says how long that took.
func (h *house) until(room string, seq int64) time.Duration {
	start := time.Now()
	for !h.tails.of(h.groups.of(room)).shows(seq) && time.Since(start) < time.Minute {
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(start)
}

func TestAStoreTooSlowForPagesFailsAndIsReadSoonAfter(t *testing.T) {
	for _, lasts := range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 95 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			store := &sluggish{shaky: shaky{Store: memstore.New()}}
			var s street
			one, _ := openNode(t, &s, store)
			two, _ := openNode(t, &s, store)
			two.enter(t, 2, "lobby", "other", "quiet")
			one.post(t, "quiet", 1)
			synctest.Wait()
			s.fate = lost
			store.takes.Store(int64(readWithin + 100*time.Millisecond))
			one.post(t, "lobby", 1)
			one.post(t, "other", 1)
			pass(checkEvery + 2*readWithin + time.Second)
			for ; lasts > 0; lasts -= time.Second {
				before := store.pages.Load()
				if !two.LogFails() {
					t.Error("the server is ready, and nothing it missed can be read")
				}
				pass(time.Second)
				if tries := store.pages.Load() - before; tries > 1 {
					t.Errorf("%d pages were tried in a second", tries)
				}
			}
			store.takes.Store(0)
			took := max(two.until("lobby", 1), two.until("other", 1))
			if took > readWithin+checkAgain+2*comesByItself {
				t.Errorf("shown %v after the store was well", took)
			}
			synctest.Wait()
			if two.LogFails() {
				t.Error("the log is still said to fail")
			}
		})
	}
}

func TestARoomThatCannotBeReadDoesNotKeepAStoreFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &sluggish{shaky: shaky{Store: memstore.New()}}
		var s street
		one, _ := openNode(t, &s, store)
		two, _ := openNode(t, &s, store)
		two.enter(t, 2, "lobby", "never")
		one.post(t, "never", 1)
		synctest.Wait()
		s.fate = lost
		store.takes.Store(int64(time.Hour))
		one.post(t, "lobby", 1)
		pass(time.Minute)
		store.takes.Store(0)
		if took := two.until("lobby", 1); took > readWithin+2*checkAgain+2*comesByItself {
			t.Errorf("shown %v after the store was well", took)
		}
		synctest.Wait()
		if two.LogFails() {
			t.Error("the log is still said to fail")
		}
	})
}

func TestARoomThatWaitsToBeReadAgainIsReadWhenTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &tearing{shaky: shaky{Store: memstore.New()}, room: "torn"}
		var s street
		one, _ := openNode(t, &s, store)
		two, _ := openNode(t, &s, store)
		two.enter(t, 2, "torn", "lobby")
		one.post(t, "lobby", 1)
		synctest.Wait()
		s.fate = lost
		store.torn.Store(true)
		one.post(t, "torn", 1)
		pass(50 * time.Second) // the room is tried at 4, 5, 7, 11, 19 and 35 s, and then at 65 s
		if two.LogFails() {
			t.Fatal("a room alone makes the log fail")
		}
		store.gone.Store(true)
		pass(checkEvery + checkAgain)
		if !two.LogFails() {
			t.Fatal("a store that is gone does not fail")
		}
		store.torn.Store(false)
		store.gone.Store(false)
		if took := two.until("torn", 1); took > checkAgain+2*comesByItself {
			t.Errorf("shown %v after the store was back", took)
		}
	})
}
