package chat_test

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

// herald notes what is published.
type herald struct {
	mu   sync.Mutex
	seqs map[string][]int64
}

func (h *herald) publish(room string, m chat.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seqs == nil {
		h.seqs = make(map[string][]int64)
	}
	h.seqs[room] = append(h.seqs[room], m.Seq)
}

func (h *herald) want(t *testing.T, room string, seqs ...int64) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if diff := cmp.Diff(seqs, h.seqs[room]); diff != "" {
		t.Errorf("published in %s (-want +got)\n%s", room, diff)
	}
}

// doubtful is a service whose store can lose the answers of commits.
func doubtful(t *testing.T) (*chat.Service, *stubborn, *herald) {
	store, h := &stubborn{Store: memstore.New()}, &herald{}
	return newService(t, chat.Options{Store: store, Publish: h.publish, Logger: slog.New(slog.DiscardHandler)}), store, h
}

var errLost = errors.New("the answer got lost")

// losing has a store lose answers while the result is true, which any goroutine may
// change.
func losing(s *stubborn) *atomic.Bool {
	lose := new(atomic.Bool)
	s.after = func() error {
		if lose.Load() {
			return errLost
		}
		return nil
	}
	return lose
}

// say posts and expects the answer to be lost or not.
func say(t *testing.T, s *chat.Service, p chat.Post, lost bool) {
	t.Helper()
	if _, _, err := s.Post(t.Context(), p); errors.Is(err, chat.ErrUnavailable) != lost || err != nil && !lost {
		t.Fatalf("post %s: %v", p.Nonce, err)
	}
}

func TestAMessageInDoubtIsPublishedBeforeAnythingNewer(t *testing.T) {
	s, store, h := doubtful(t)
	say(t, s, post("lobby", "a", "x"), false)
	say(t, s, post("other", "a", "x"), false)
	store.after = func() error { return errLost }
	say(t, s, post("lobby", "b", "x"), true)
	say(t, s, post("lobby", "c", "x"), true)
	store.after = nil
	say(t, s, post("other", "b", "x"), false)
	say(t, s, post("lobby", "d", "x"), false)
	say(t, s, post("lobby", "e", "x"), false)
	h.want(t, "lobby", 1, 2, 3, 4, 5)
	h.want(t, "other", 1, 2)
}

func TestAMessageInDoubtIsPublishedOnceHoweverOftenRepeated(t *testing.T) {
	s, store, h := doubtful(t)
	say(t, s, post("lobby", "a", "x"), false)
	store.after = func() error { return errLost }
	say(t, s, post("lobby", "b", "x"), true)
	say(t, s, post("lobby", "b", "x"), true)
	say(t, s, post("lobby", "a", "x"), true) // published long ago
	store.after = nil
	for range 3 {
		say(t, s, post("lobby", "b", "x"), false)
		say(t, s, post("lobby", "a", "x"), false)
	}
	h.want(t, "lobby", 1, 2)
}

func TestAMessageInDoubtIsFoundWithoutAnybodyPosting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, h := doubtful(t)
		lose := losing(store)
		say(t, s, post("lobby", "a", "x"), false)
		lose.Store(true)
		say(t, s, post("lobby", "b", "x"), true)
		lose.Store(false)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		h.want(t, "lobby", 1, 2)
		say(t, s, post("lobby", "b", "x"), false)
		say(t, s, post("lobby", "c", "x"), false)
		h.want(t, "lobby", 1, 2, 3)
	})
}

func TestAMessageInDoubtIsFoundBehindThoseOfOtherServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, h := doubtful(t)
		lose := losing(store)
		other := newService(t, chat.Options{Store: store.Store})
		say(t, s, post("lobby", "0", "x"), false)
		lose.Store(true)
		say(t, s, post("lobby", "a", "x"), true)
		lose.Store(false)
		for _, nonce := range []string{"b", "c", "d"} {
			p := post("lobby", nonce, "x")
			p.Author.ID++
			say(t, other, p, false)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		h.want(t, "lobby", 1, 2)
		say(t, s, post("lobby", "e", "x"), false)
		h.want(t, "lobby", 1, 2, 6)
	})
}

func TestWhatWasNotStoredIsPublishedWhenItIs(t *testing.T) {
	s, store, h := doubtful(t)
	say(t, s, post("lobby", "a", "x"), false)
	store.before = func([]chat.Draft) error { return errLost }
	say(t, s, post("lobby", "b", "x"), true)
	store.before = nil
	say(t, s, post("lobby", "c", "x"), false)
	say(t, s, post("lobby", "b", "x"), false)
	h.want(t, "lobby", 1, 2, 3)
}

func TestARepeatedMessageOfAnEarlierRunIsNotPublishedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := memstore.New()
		earlier := newService(t, chat.Options{Store: inner})
		for _, nonce := range []string{"a", "b", "c"} {
			say(t, earlier, post("lobby", nonce, "x"), false)
		}
		time.Sleep(time.Second)
		store, h := &stubborn{Store: inner}, &herald{}
		s := newService(t, chat.Options{Store: store, Publish: h.publish, Logger: slog.New(slog.DiscardHandler)})
		store.after = func() error { return errLost }
		time.Sleep(time.Second)
		say(t, s, post("lobby", "c", "x"), true)
		store.after = nil
		say(t, s, post("lobby", "d", "x"), false)
		h.want(t, "lobby", 4)
	})
}

func TestAMessageInDoubtIsFoundWhileOthersTalkElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, h := doubtful(t)
		say(t, s, post("lobby", "a", "x"), false)
		store.after = func() error { return errLost }
		say(t, s, post("lobby", "b", "x"), true)
		store.after = nil
		for i := range 20 {
			say(t, s, post("other", string(rune('a'+i)), "x"), false)
			time.Sleep(100 * time.Millisecond)
		}
		h.want(t, "lobby", 1, 2)
	})
}
