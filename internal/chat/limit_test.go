package chat_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

// quota lets each key of a kind take so many, then one per interval.
type quota struct {
	mu       sync.Mutex
	left     map[string]int
	interval time.Duration
	next     time.Time
}

func (q *quota) Take(kind chat.Limit, key string) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	k := fmt.Sprint(kind, " ", key)
	left, limited := q.left[k]
	if !limited {
		return 0
	}
	if left > 0 {
		q.left[k]--
		return 0
	}
	if now := time.Now(); now.Before(q.next) {
		return q.next.Sub(now)
	}
	q.next = time.Now().Add(q.interval)
	return 0
}

func TestAPostOverTheRateIsRefusedWithTheTimeToWait(t *testing.T) {
	limiter := &quota{left: map[string]int{"messages " + ann.ID.String(): 2}, interval: time.Hour, next: time.Now().Add(time.Hour)}
	s := newService(t, chat.Options{Limiter: limiter})
	for i := range 2 {
		if _, _, err := s.Post(t.Context(), post("lobby", fmt.Sprint(i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := s.Post(t.Context(), post("lobby", "2", "x"))
	var rate *chat.RateError
	if !errors.As(err, &rate) || rate.Limit != chat.LimitMessages || chat.RetryAfter(err) < 59*time.Minute {
		t.Fatalf("third: %v", err)
	}
	other := post("lobby", "2", "x")
	other.Author.ID = 2
	if _, _, err := s.Post(t.Context(), other); err != nil {
		t.Fatalf("somebody else: %v", err)
	}
	bad := post("lobby", "3", "")
	if _, _, err := s.Post(t.Context(), bad); !errors.Is(err, chat.ErrEmpty) {
		t.Fatalf("the rules come before the rate: %v", err)
	}
}

func TestAPatientPostWaitsForTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := &quota{left: map[string]int{"messages " + ann.ID.String(): 0}, interval: time.Second, next: time.Now().Add(time.Second)}
		s := newService(t, chat.Options{Limiter: limiter})
		start := time.Now()
		for i := range 3 {
			p := post("lobby", fmt.Sprint(i), "x")
			p.Patient = true
			if m, _, err := s.Post(t.Context(), p); err != nil || m.Seq != int64(i+1) || time.Since(start) != time.Duration(i+1)*time.Second {
				t.Fatalf("post %d after %v: %+v %v", i, time.Since(start), m, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		p := post("lobby", "4", "x")
		p.Patient = true
		if _, _, err := s.Post(ctx, p); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("with a deadline: %v", err)
		}
		stopped := make(chan error)
		go func() { _, _, err := s.Post(t.Context(), p); stopped <- err }()
		synctest.Wait()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-stopped; !errors.Is(err, chat.ErrClosed) {
			t.Fatalf("at shutdown: %v", err)
		}
	})
}

func TestNewRoomsAreLimitedPerAddressAndOrderIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log outcomes
		hold := make(chan struct{})
		store := &stubborn{Store: memstore.New(), before: func([]chat.Draft) error { <-hold; return nil }}
		limiter := &quota{left: map[string]int{"rooms mean": 0, "rooms kind": 2}, next: time.Now().Add(time.Minute)}
		s := newService(t, chat.Options{Store: store, Limiter: limiter, Publish: func(room string, m chat.Message) {
			log.add("publish %s %d %s", room, m.Seq, m.Nonce)
		}})
		submit := func(address, room, nonce string) {
			p := post(room, nonce, "x")
			p.Address = address
			if err := s.Submit(t.Context(), p, log.done(nonce)); err != nil {
				t.Fatal(err)
			}
		}
		submit("kind", "old", "first")
		synctest.Wait()
		submit("mean", "new", "a")
		submit("mean", "old", "b")
		submit("kind", "new", "c")
		submit("mean", "new", "d") // there now
		submit("kind", "old", "e")
		submit("kind", "third", "f")
		close(hold)
		synctest.Wait()
		log.want(t,
			"publish old 1 first", "first: 1",
			"publish old 2 b", "publish old 3 e", "b: 2", "e: 3",
			"a: too many rooms: wait 1m0s", "f: too many rooms: wait 1m0s",
			"publish new 1 c", "publish new 2 d", "c: 1", "d: 2")
	})
}

func TestPeopleWhoAreNewShareTheRateOfTheirAddress(t *testing.T) {
	limiter := &quota{left: map[string]int{"guests there": 1, "messages per address there": 3}, interval: time.Hour, next: time.Now().Add(time.Hour)}
	s := newService(t, chat.Options{Limiter: limiter})
	say := func(id chat.UserID, nonce string, login *chat.Login) error {
		p := post("lobby", nonce, "x")
		p.Author.ID, p.Address, p.Login = id, "there", login
		_, _, err := s.Post(t.Context(), p)
		return err
	}
	fresh := func(id byte) *chat.Login { return &chat.Login{Hash: [32]byte{id}, New: true} }
	var rate *chat.RateError
	if err := say(11, "a", fresh(11)); err != nil {
		t.Errorf("the first one: %v", err)
	}
	if err := say(12, "a", fresh(12)); !errors.As(err, &rate) || rate.Limit != chat.LimitGuests {
		t.Errorf("one more: %v", err)
	}
	if _, err := s.Rename(t.Context(), chat.Naming{User: chat.User{ID: 13}, Login: fresh(13), Name: "Bo", Address: "there"}); !errors.As(err, &rate) {
		t.Errorf("one more name: %v", err)
	}
	if err := say(11, "b", &chat.Login{Hash: [32]byte{11}}); err != nil {
		t.Errorf("who is not new any more: %v", err)
	}
	if err := say(14, "a", nil); err != nil {
		t.Errorf("somebody without a login: %v", err)
	}
	if err := say(15, "a", nil); !errors.As(err, &rate) || rate.Limit != chat.LimitAddress {
		t.Errorf("more than the address may say: %v", err)
	}
}

func TestWhoSpeaksForManyHasTheRateOfTheAddressOnly(t *testing.T) {
	limiter := &quota{
		left:     map[string]int{"messages " + ann.ID.String(): 0, "messages per address bridge": 2},
		interval: time.Hour, next: time.Now().Add(time.Hour),
	}
	s := newService(t, chat.Options{Limiter: limiter})
	for i := range 3 {
		p := post("lobby", fmt.Sprint(i), "x")
		p.Many, p.Address = true, "bridge"
		_, _, err := s.Post(t.Context(), p)
		var rate *chat.RateError
		if i < 2 && err != nil || i == 2 && (!errors.As(err, &rate) || rate.Limit != chat.LimitAddress) {
			t.Errorf("post %d: %v", i, err)
		}
	}
}
