package guide_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// Sessions are logins, by the value of a cookie: a stand-in for whatever keeps yours.
type Sessions struct{ users sync.Map }

func (s *Sessions) user(id string) string {
	name, _ := s.users.Load(id)
	user, _ := name.(string)
	return user
}

// sessionKey is where the middleware leaves a session in the context.
type sessionKey struct{}

// session is middleware: who is not logged in gets no further.
func (s *Sessions) session(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie("session")
		if err != nil || s.user(cookie.Value) == "" {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, cookie.Value)))
	})
}

// Account is a consumer for somebody who is logged in.
type Account struct {
	channels.Base
	sessions *Sessions
	session  string
}

func (a *Account) Connect(ctx context.Context, c *channels.Conn) error {
	a.session = ctx.Value(sessionKey{}).(string)
	return c.GroupAdd(ctx, "user."+a.sessions.user(a.session))
}

// Recheck is called now and then, as Options.RecheckEvery says.
func (a *Account) Recheck(context.Context, *channels.Conn) error {
	if a.sessions.user(a.session) == "" {
		return &channels.CloseError{Code: 4401, Reason: "logged out"}
	}
	return nil
}

// Event is for what does not wait: one GroupSend to "user.ann" ends her sockets
// in all processes.
func (a *Account) Event(_ context.Context, _ *channels.Conn, e channels.Event) error {
	if e.Type != "user.kick" {
		return channels.ErrNoHandler
	}
	return &channels.CloseError{Code: 4403, Reason: "kicked"}
}

func TestALoginIsAskedForAndCheckedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		layer := channels.NewLayer(nil)
		sessions := new(Sessions)
		sessions.users.Store("s1", "ann")
		sessions.users.Store("s2", "bob")
		mux := http.NewServeMux()
		mux.Handle("/ws/account", sessions.session(channels.Handler(
			func() channels.Consumer { return &Account{sessions: sessions} },
			&channels.Options{Layer: layer, RecheckEvery: 5 * time.Minute},
		)))
		if answer := channelstest.New(t, mux, "/ws/account").Refused(); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a session: %s", answer.Status)
		}
		enter := func(session string) *channelstest.Client {
			c := channelstest.New(t, mux, "/ws/account")
			c.Header.Set("Cookie", "session="+session)
			c.Connect()
			return c
		}
		ann, bob := enter("s1"), enter("s2")
		sessions.users.Delete("s1")
		time.Sleep(10 * time.Minute)
		if code, _ := ann.Closed(); code != 4401 {
			t.Errorf("logged out, and closed with %d", code)
		}
		bob.ReceiveNothing()
		if err := layer.GroupSend(t.Context(), "user.bob", channels.Event{Type: "user.kick"}); err != nil {
			t.Error(err)
		}
		if code, _ := bob.Closed(); code != 4403 {
			t.Errorf("kicked, and closed with %d", code)
		}
	})
}

// ofOurs allows the pages of a site and of those below it.
func ofOurs() (*channels.Options, error) {
	origins, err := channels.AllowedOrigins(".example.com", "https://tea.example.org:8443")
	if err != nil {
		return nil, err
	}
	return &channels.Options{Origins: origins}, nil
}

func TestPagesFromElsewhereAreRefused(t *testing.T) {
	options, err := ofOurs()
	if err != nil {
		t.Fatal(err)
	}
	h := channels.Handler(func() channels.Consumer { return channels.Base{} }, options)
	for origin, ok := range map[string]bool{
		"https://www.example.com": true, "https://tea.example.org:8443": true, "https://tea.example.org": false,
		"https://example.net": false, "null": false,
	} {
		c := channelstest.New(t, h, "/")
		c.Header.Set("Origin", origin)
		if ok {
			c.Connect()
			c.Disconnect(1000)
		} else if answer := c.Refused(); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", origin, answer.Status)
		}
	}
}
