package channels_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// sessions is a login kept on the server, and the middleware for it.
type sessions struct {
	mu    sync.Mutex
	users map[string]string // by cookie
	asked int
}

type userKey struct{}

func (s *sessions) valid(id string) (user string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	user, ok = s.users[id]
	return user, ok
}

func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *sessions) logout(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.users, id)
}

// login puts a function that looks the session up again into the context.
func (s *sessions) login(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		if err != nil {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		again := func() (string, bool) { return s.valid(cookie.Value) }
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, again)))
	})
}

// private is a consumer for people who are logged in.
type private struct {
	channels.Base
	user func() (string, bool)
}

func (p *private) Connect(ctx context.Context, c *channels.Conn) error {
	p.user = ctx.Value(userKey{}).(func() (string, bool))
	user, ok := p.user()
	if !ok {
		return &channels.Refusal{Status: http.StatusForbidden, Text: "logged out"}
	}
	return c.GroupAdd(ctx, "user."+user)
}

func (p *private) Recheck(context.Context, *channels.Conn) error {
	if _, ok := p.user(); !ok {
		return &channels.CloseError{Code: 4401, Reason: "logged out"}
	}
	return nil
}

func (p *private) Event(_ context.Context, _ *channels.Conn, e channels.Event) error {
	if e.Type == "user.kick" {
		return &channels.CloseError{Code: 4403, Reason: "kicked"}
	}
	return channels.ErrNoHandler
}

// people serves private to a number of people, each with a session.
func people(t *testing.T, n int) (*sessions, *channels.Layer, []*channelstest.Client) {
	s := &sessions{users: map[string]string{}}
	l := channels.NewLayer(nil)
	e := channels.Handler(func() channels.Consumer { return &private{} }, &channels.Options{
		Layer: l, RecheckEvery: time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	var clients []*channelstest.Client
	for i := range n {
		id := string(rune('a' + i))
		s.users[id] = "user-" + id
		c := channelstest.New(t, s.login(e), "/")
		c.Header.Set("Cookie", "session="+id)
		c.Connect()
		clients = append(clients, c)
	}
	return s, l, clients
}

func TestALoginThatEndsElsewhereEndsTheSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, clients := people(t, 3)
		time.Sleep(10 * time.Hour)
		if n := s.count(); n < 3+3*9 || n > 3+3*10 {
			t.Errorf("asked %d times for three in ten hours", n)
		}
		s.logout("b")
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if code, reason := clients[1].Closed(); code != 4401 || reason != "logged out" {
			t.Errorf("closed with %d %q", code, reason)
		}
		clients[0].ReceiveNothing()
		clients[2].ReceiveNothing()
		for _, i := range []int{0, 2} {
			clients[i].Disconnect(1000)
		}
		before := s.count()
		time.Sleep(5 * time.Hour)
		if n := s.count() - before; n != 0 {
			t.Errorf("asked %d times after everybody has gone", n)
		}
	})
}

func TestRechecksOfManySocketsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, clients := people(t, 20)
		time.Sleep(time.Hour + 10*time.Second) // between two steps
		for range 4 {
			before := s.count()
			time.Sleep(15 * time.Minute)
			synctest.Wait()
			if n := s.count() - before; n != 5 {
				t.Errorf("%d of 20 asked in a quarter of the time", n)
			}
		}
		for _, c := range clients {
			c.Drop()
		}
	})
}

func TestAUserIsKickedFromAllSocketsByAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, clients := people(t, 2)
		if err := l.GroupSend(t.Context(), "user.user-b", channels.Event{Type: "user.kick"}); err != nil {
			t.Fatal(err)
		}
		if code, _ := clients[1].Closed(); code != 4403 {
			t.Errorf("closed with %d", code)
		}
		clients[0].ReceiveNothing()
	})
}

// busy is a consumer whose Receive takes long, and which counts its rechecks.
type busy struct {
	channels.Base
	rechecks atomic.Int32
	fails    atomic.Bool
}

func (*busy) Receive(context.Context, *channels.Conn, channels.Frame) error {
	time.Sleep(10 * time.Minute)
	return nil
}

func (b *busy) Recheck(context.Context, *channels.Conn) error {
	b.rechecks.Add(1)
	if b.fails.Load() {
		return errors.New("the sessions are out of reach")
	}
	return nil
}

func TestARecheckWaitsForTheMethodThatRunsAndDoesNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &busy{}
		e := channels.Handler(func() channels.Consumer { return b }, &channels.Options{Logger: slog.New(slog.DiscardHandler)})
		c := channelstest.New(t, e, "/")
		c.Connect()
		c.SendText("")
		time.Sleep(9 * time.Minute)
		if n := b.rechecks.Load(); n != 0 {
			t.Errorf("%d rechecks while Receive runs", n)
		}
		time.Sleep(time.Minute + time.Second)
		if n := b.rechecks.Load(); n > 3 {
			t.Errorf("%d rechecks at once", n)
		}
		b.fails.Store(true)
		time.Sleep(2 * time.Minute)
		if code, _ := c.Closed(); code != 1011 {
			t.Errorf("closed with %d, want 1011", code)
		}
	})
}
