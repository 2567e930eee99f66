package channelstest_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mirror sends back what it gets, and crashes when told to.
type mirror struct{ channels.Base }

func (mirror) Connect(ctx context.Context, c *channels.Conn) error {
	switch c.Request().URL.Path {
	case "/crash":
		panic("at the door")
	case "/slow":
		<-ctx.Done()
		return ctx.Err()
	case "/refused":
		return &channels.Refusal{Status: http.StatusForbidden, Text: "not today"}
	case "/greet":
		return c.Send(channels.TextFrame([]byte("welcome")))
	}
	return nil
}

func (mirror) Receive(_ context.Context, c *channels.Conn, f channels.Frame) error {
	switch string(f.Data) {
	case "crash":
		panic("as told")
	case "bye":
		return &channels.CloseError{Code: 4403, Reason: "removed"}
	}
	return c.Send(f)
}

// mirrors is an endpoint behind a middleware that panics when told to.
func mirrors() http.Handler {
	e := channels.Handler(func() channels.Consumer { return mirror{} }, &channels.Options{
		Logger:       slog.New(slog.DiscardHandler),
		Subprotocols: []string{"glass"},
		PingEvery:    time.Second,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			panic("the middleware")
		}
		e.ServeHTTP(w, r)
	})
}

func TestAConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := channelstest.New(t, mirrors(), "/")
		c.Subprotocols("silver", "glass")
		if got := c.Connect().Header.Get("Sec-WebSocket-Protocol"); got != "glass" {
			t.Errorf("subprotocol %q", got)
		}
		for _, n := range []int{0, 1, 125, 126, 65535} {
			want := strings.Repeat("x", n)
			c.SendText(want)
			if got := c.ReceiveText(); got != want {
				t.Errorf("%d bytes came back as %d", n, len(got))
			}
		}
		c.Send(channels.BinaryFrame([]byte{0, 255}))
		if f := c.Receive(); f.Kind != channels.Binary || string(f.Data) != "\x00\xff" {
			t.Errorf("got %+v", f)
		}
		c.SendJSON(map[string]int{"n": 1})
		var v struct{ N int }
		if c.ReceiveJSON(&v); v.N != 1 {
			t.Errorf("got %+v", v)
		}
		time.Sleep(5 * time.Second) // pings are answered
		c.ReceiveNothing()
		c.Disconnect(1000)
	})
}

func TestTheServerCloses(t *testing.T) {
	c := channelstest.New(t, mirrors(), "/")
	c.Connect()
	c.SendText("bye")
	if code, reason := c.Closed(); code != 4403 || reason != "removed" {
		t.Errorf("closed with %d %q", code, reason)
	}
}

func TestARefusalIsAnAnswer(t *testing.T) {
	if got := channelstest.New(t, mirrors(), "/refused").Refused(); got.StatusCode != http.StatusForbidden {
		t.Errorf("status %s", got.Status)
	}
}

// recorder is a testing.TB that notes what it is told.
type recorder struct {
	testing.TB
	said     string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Fatal(a ...any)   { r.said = fmt.Sprint(a...); runtime.Goexit() }
func (r *recorder) Fatalf(f string, a ...any) {
	r.said = fmt.Sprintf(f, a...)
	runtime.Goexit()
}

func TestWhatGoesWrongIsSaidClearly(t *testing.T) {
	for _, tc := range []struct {
		name, path string
		do         func(*channelstest.Client)
		want       string
	}{
		{"crash, then receive", "/", func(c *channelstest.Client) { c.SendText("crash"); c.Receive() }, "the consumer crashed: closed with 1011"},
		{"crash, then nothing", "/", func(c *channelstest.Client) { c.SendText("crash"); c.ReceiveNothing() }, "the consumer crashed"},
		{"crash, then disconnect", "/", func(c *channelstest.Client) {
			c.SendText("crash")
			time.Sleep(time.Second)
			c.Disconnect(1000)
		}, "the consumer crashed"},
		{"crash, then send", "/", func(c *channelstest.Client) {
			c.SendText("crash")
			time.Sleep(time.Second)
			c.SendText("more")
		}, "the consumer crashed"},
		{"crash in Connect", "/crash", nil, "connect: the consumer crashed: refused with 500"},
		{"crash in a middleware", "/broken", nil, "connect: the handler panicked: the middleware"},
		{"no answer to the handshake", "/slow", nil, "connect: no answer in 5s"},
		{"closed, then receive", "/", func(c *channelstest.Client) { c.SendText("bye"); c.Receive() }, "closed the connection: 4403 removed"},
		{"no frame", "/", func(c *channelstest.Client) { c.Receive() }, "nothing came in 5s"},
		{"no close", "/", func(c *channelstest.Client) { c.Closed() }, "still open after 5s"},
		{"a frame instead of nothing", "/greet", func(c *channelstest.Client) { c.ReceiveNothing() }, `got "welcome"`},
		{"a frame instead of a close", "/greet", func(c *channelstest.Client) { c.Closed() }, `the frame "welcome"`},
		{"binary instead of text", "/", func(c *channelstest.Client) { c.Send(channels.BinaryFrame(nil)); c.ReceiveText() }, "binary frame"},
		{"text instead of JSON", "/greet", func(c *channelstest.Client) { c.ReceiveJSON(new(int)) }, "in welcome"},
		{"refused", "/refused", nil, "refused with 403 Forbidden: not today"},
		{"connect twice", "/", func(c *channelstest.Client) { c.Connect() }, "connects once"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{}
				done := make(chan struct{})
				go func() {
					defer close(done)
					c := channelstest.New(r, mirrors(), tc.path)
					c.Connect()
					tc.do(c)
				}()
				<-done
				for _, f := range r.cleanups {
					f()
				}
				if !strings.HasPrefix(r.said, "channelstest: ") || !strings.Contains(r.said, tc.want) {
					t.Errorf("said %q, want %q in it", r.said, tc.want)
				}
			})
		})
	}
	t.Run("accepted", func(t *testing.T) {
		r := &recorder{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			channelstest.New(r, mirrors(), "/").Refused()
		}()
		<-done
		for _, f := range r.cleanups {
			f()
		}
		if !strings.Contains(r.said, "the server accepted") {
			t.Errorf("said %q", r.said)
		}
	})
}
