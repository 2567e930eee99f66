package chat_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

// slowReads is a store whose reads take long, unless they are given up.
type slowReads struct {
	chat.Store
	take atomic.Int64 // a time.Duration
}

func (s *slowReads) Messages(ctx context.Context, room string, r chat.Range) (chat.Page, error) {
	select {
	case <-time.After(time.Duration(s.take.Load())):
		return s.Store.Messages(ctx, room, r)
	case <-ctx.Done():
		return chat.Page{}, ctx.Err()
	}
}

func TestMessagesWaitForThoseInDoubtWhileReadsAreSlow(t *testing.T) {
	const rooms = 60
	for name, c := range map[string]struct {
		take  time.Duration
		until time.Duration // reads are slow; 0 is for ever
		told  []int64
	}{
		"slower for all rooms than one turn": {50 * time.Millisecond, 0, []int64{1, 2, 3, 4}},
		"too slow for a while":               {3 * time.Second, 10 * time.Second, []int64{1, 2, 3, 4}},
		"too slow for ever":                  {3 * time.Second, 0, []int64{1, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reads, h := &slowReads{Store: memstore.New()}, &herald{}
				store := &stubborn{Store: reads}
				lose := losing(store)
				s := newService(t, chat.Options{Store: store, Publish: h.publish, Logger: slog.New(slog.DiscardHandler)})
				all := func(nonce string, lost bool) {
					var wg sync.WaitGroup
					for i := range rooms {
						wg.Go(func() { say(t, s, post(fmt.Sprint("room ", i), nonce, "x"), lost) })
					}
					wg.Wait()
				}
				all("told", false)
				reads.take.Store(int64(c.take))
				lose.Store(true)
				all("in doubt", true)
				lose.Store(false)
				all("stored", false)
				if c.until > 0 {
					time.Sleep(c.until)
					reads.take.Store(0)
				}
				time.Sleep(time.Minute)
				all("later", false)
				time.Sleep(time.Minute)
				for i := range rooms {
					h.want(t, fmt.Sprint("room ", i), c.told...)
				}
			})
		})
	}
}

func TestACommitThatLandsBetweenTwoLooksIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, h := doubtful(t)
		say(t, s, post("lobby", "a", "x"), false)
		var late []chat.Draft
		store.before = func(batch []chat.Draft) error {
			late = append(late, batch...)
			return errLost
		}
		say(t, s, post("lobby", "b", "x"), true)
		store.before = nil
		time.Sleep(3 * time.Second) // the look after 1 s has found nothing
		if _, err := store.Store.Append(t.Context(), late); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		h.want(t, "lobby", 1, 2)
	})
}
