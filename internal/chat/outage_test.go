package chat_test

import (
	"context"
	"errors"
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

// distant is a store across a network that can fail and be slow to say so.
type distant struct {
	chat.Store
	down    atomic.Bool
	appends func(batch []chat.Draft) error // while it is down; nil is success
	reads   time.Duration                  // each takes, and fails while it is down
	asked   atomic.Int64                   // reads
}

func (s *distant) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	if s.down.Load() {
		if err := s.appends(batch); err != nil {
			return nil, err
		}
	}
	return s.Store.Append(ctx, batch)
}

func (s *distant) Messages(ctx context.Context, room string, r chat.Range) (chat.Page, error) {
	s.asked.Add(1)
	time.Sleep(s.reads)
	if s.down.Load() {
		return chat.Page{}, errors.New("no answer")
	}
	return s.Store.Messages(ctx, room, r)
}

var errDown = errors.New("down")

// reach is a service whose store can go down.
func reach(t *testing.T, reads time.Duration, appends func([]chat.Draft) error) (*chat.Service, *distant, *herald) {
	store, h := &distant{Store: memstore.New(), appends: appends, reads: reads}, &herald{}
	return newService(t, chat.Options{Store: store, Publish: h.publish, Logger: slog.New(slog.DiscardHandler)}), store, h
}

func TestEveryPostIsAnsweredSoonWhileTheStoreIsSilent(t *testing.T) {
	for name, c := range map[string]struct {
		append, try, read time.Duration
		fails             bool // an empty batch, too
		within            time.Duration
	}{
		"reads are silent":                    {0, 0, 6 * time.Second, true, 0},
		"reads are silent, tries succeed":     {0, 0, 6 * time.Second, false, 6 * time.Second},
		"reads are more silent":               {0, 0, 20 * time.Second, false, 20 * time.Second},
		"tries are silent":                    {0, 10 * time.Second, 0, true, 10 * time.Second},
		"everything is silent":                {10 * time.Second, 10 * time.Second, 10 * time.Second, true, 10 * time.Second},
		"tries are silent longer than apart":  {time.Second, 3 * time.Second, 0, true, 3 * time.Second},
		"appends are silent, tries are quick": {10 * time.Second, 0, 0, true, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, store, _ := reach(t, c.read, func(batch []chat.Draft) error {
					if len(batch) > 0 {
						time.Sleep(c.append)
						return errDown
					}
					time.Sleep(c.try)
					if c.fails {
						return errDown
					}
					return nil
				})
				store.down.Store(true)
				var wg sync.WaitGroup
				for i := range 300 {
					time.Sleep(137 * time.Millisecond)
					wg.Go(func() {
						start := time.Now()
						_, _, err := s.Post(t.Context(), post("lobby", fmt.Sprint(i), "x"))
						if took := time.Since(start); took > c.within || !errors.Is(err, chat.ErrUnavailable) {
							t.Errorf("post %d was answered after %v: %v", i, took, err)
						}
					})
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), c.within+time.Second)
				defer cancel()
				if err := s.Shutdown(ctx); err != nil {
					t.Error(err)
				}
				wg.Wait()
			})
		})
	}
}

func TestAStoreIsLeftInPeaceBetweenTriesAndLooks(t *testing.T) {
	for name, c := range map[string]struct {
		try          error
		tries, looks int64 // in a minute
	}{
		"while it fails nothing is looked for": {errDown, 12, 0}, // every 2 s + 3 s
		"while it works":                       {nil, 1, 5},      // every 5 s + 6 s
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries atomic.Int64
				s, store, _ := reach(t, 6*time.Second, func(batch []chat.Draft) error {
					if len(batch) > 0 {
						return errDown
					}
					tries.Add(1)
					time.Sleep(3 * time.Second)
					return c.try
				})
				store.down.Store(true)
				say(t, s, post("lobby", "a", "x"), true)
				time.Sleep(time.Minute - time.Second)
				if tries.Load() != c.tries || store.asked.Load() != c.looks {
					t.Errorf("%d tries, %d looks; want %d and %d", tries.Load(), store.asked.Load(), c.tries, c.looks)
				}
			})
		})
	}
}

func TestPostsBehindAQuickFailureAreTriedThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log outcomes
		store := &stubborn{Store: memstore.New()}
		store.before = func(batch []chat.Draft) error {
			time.Sleep(100 * time.Millisecond)
			if batch[0].Nonce == "a" {
				return errDown
			}
			return nil
		}
		s := newService(t, chat.Options{Store: store, Logger: slog.New(slog.DiscardHandler)})
		for _, nonce := range []string{"a", "b"} {
			if err := s.Submit(t.Context(), post("lobby", nonce, "x"), log.done(nonce)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(time.Second)
		log.want(t, "a: the store is not available: down", "b: 1")
	})
}

// outage loses the answers for a message in each of so many rooms.
func outage(t *testing.T, s *chat.Service, store *distant, rooms int) {
	t.Helper()
	time.Sleep(time.Second) // what was stored before the service began is not in doubt
	store.down.Store(true)
	for i := range rooms {
		if err := s.Submit(t.Context(), post(fmt.Sprint("room ", i), "unsure", "x"), func(chat.Message, bool, error) {}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	store.down.Store(false)
}

func TestManyRoomsInDoubtDoNotKeepAnybodyWaiting(t *testing.T) {
	const rooms = 5000
	synctest.Test(t, func(t *testing.T) {
		s, store, h := reach(t, time.Millisecond, nil)
		store.appends = func(batch []chat.Draft) error {
			for i := range batch {
				batch[i].Create = true
			}
			if _, err := store.Store.Append(context.Background(), batch); err != nil {
				t.Error(err)
			}
			return errLost
		}
		outage(t, s, store, rooms)
		for i := range 300 {
			start := time.Now()
			say(t, s, post("lobby", fmt.Sprint(i), "x"), false)
			if took := time.Since(start); took > 50*time.Millisecond {
				t.Errorf("a post elsewhere took %v", took)
			}
			time.Sleep(50 * time.Millisecond)
		}
		for i := range rooms {
			h.want(t, fmt.Sprint("room ", i), 1)
		}
	})
}

func TestRepeatingInManyRoomsInDoubtGoesForwardInSmallSteps(t *testing.T) {
	const rooms = 1000
	synctest.Test(t, func(t *testing.T) {
		s, store, _ := reach(t, 10*time.Millisecond, func([]chat.Draft) error { return errDown })
		outage(t, s, store, rooms)
		var longest, before atomic.Int64
		before.Store(time.Now().UnixNano())
		answered := func(_ chat.Message, _ bool, err error) {
			if err != nil {
				t.Error(err)
			}
			now := time.Now().UnixNano()
			longest.Store(max(longest.Load(), now-before.Swap(now)))
		}
		for i := range rooms {
			if err := s.Submit(t.Context(), post(fmt.Sprint("room ", i), "unsure", "x"), answered); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if longest := time.Duration(longest.Load()); longest > time.Second {
			t.Errorf("nobody was answered for %v", longest)
		}
	})
}

func TestWhatWasNotStoredForSureIsNotInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, h := reach(t, 0, func([]chat.Draft) error { return fmt.Errorf("connecting: %w", chat.ErrNotStored) })
		store.down.Store(true)
		say(t, s, post("lobby", "a", "x"), true)
		store.down.Store(false)
		say(t, s, post("lobby", "b", "x"), false)
		time.Sleep(time.Minute)
		if n := store.asked.Load(); n != 0 {
			t.Errorf("the store was asked %d times", n)
		}
		h.want(t, "lobby", 1)
	})
}
