package channels_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// echo is a consumer that does as it is told and notes what happens to it.
type echo struct {
	layer  *channels.Layer
	busy   atomic.Int32 // methods running
	mu     sync.Mutex
	calls  []string
	groups int // memberships in the layer when Disconnect ran
}

func (e *echo) note(format string, args ...any) (done func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, fmt.Sprintf(format, args...))
	if e.busy.Add(1) != 1 {
		e.calls = append(e.calls, "concurrent")
	}
	return func() { e.busy.Add(-1) }
}

func (e *echo) seen() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.calls, ", ")
}

func (e *echo) Connect(ctx context.Context, c *channels.Conn) error {
	defer e.note("connect")()
	if c.Layer() != nil {
		if err := c.GroupAdd(ctx, "all"); err != nil {
			return err
		}
	}
	return e.obey(c, c.Request().URL.Query().Get("do"))
}

func (e *echo) Receive(_ context.Context, c *channels.Conn, f channels.Frame) error {
	defer e.note("receive %s", f.Data)()
	return e.obey(c, string(f.Data))
}

func (e *echo) Event(_ context.Context, c *channels.Conn, ev channels.Event) error {
	defer e.note("event %v", ev.Payload)()
	return e.obey(c, fmt.Sprint(ev.Payload))
}

func (e *echo) Disconnect(_ context.Context, c *channels.Conn, code int) {
	defer e.note("disconnect %d", code)()
	if c.Layer() != nil {
		e.groups = c.Layer().Stats().Members
	}
}

func (e *echo) obey(c *channels.Conn, do string) error {
	switch do {
	case "error":
		return errors.New("an error")
	case "panic":
		panic("a panic")
	case "close error":
		return &channels.CloseError{Code: 4403, Reason: "removed"}
	case "close":
		c.Close(4400, "bye")
		return nil
	case "refuse":
		return &channels.Refusal{Status: http.StatusTeapot, Header: http.Header{"X-Tea": {"green"}}, Text: "short and stout"}
	case "accept, error":
		if err := c.Accept("", nil); err != nil {
			return err
		}
		return errors.New("an error")
	case "unhandled":
		return channels.ErrNoHandler
	case "":
		return nil
	}
	return c.Send(channels.TextFrame([]byte(do)))
}

// serve returns an endpoint of one consumer for all clients, on a layer.
func serve(t *testing.T, o *channels.Options) (*channels.Endpoint, *echo) {
	t.Helper()
	if o == nil {
		o = &channels.Options{}
	}
	if o.Layer == nil {
		o.Layer = channels.NewLayer(&channels.LayerOptions{Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { _ = o.Layer.Close() })
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	consumer := &echo{layer: o.Layer}
	return channels.Handler(func() channels.Consumer { return consumer }, o), consumer
}

func TestDisconnectRunsExactlyOnceWhateverEndsTheConnection(t *testing.T) {
	type ending func(*channelstest.Client, *channels.Endpoint, *channels.Layer)
	send := func(text string) ending {
		return func(c *channelstest.Client, _ *channels.Endpoint, _ *channels.Layer) { c.SendText(text) }
	}
	event := func(payload string) ending {
		return func(_ *channelstest.Client, _ *channels.Endpoint, l *channels.Layer) {
			_ = l.GroupSend(context.Background(), "all", channels.Event{Type: "do", Payload: payload})
		}
	}
	for _, tc := range []struct {
		name string
		end  ending
		want string // calls after connect
		code int    // that the client sees; 0: not asked
	}{
		{"the client closes", func(c *channelstest.Client, _ *channels.Endpoint, _ *channels.Layer) { c.Disconnect(1001) }, "disconnect 1001", 0},
		{"the client is gone", func(c *channelstest.Client, _ *channels.Endpoint, _ *channels.Layer) { c.Drop() }, "disconnect 1006", 0},
		{"an error in Receive", send("error"), "receive error, disconnect 1011", 1011},
		{"a panic in Receive", send("panic"), "receive panic, disconnect 1011", 1011},
		{"a close error in Receive", send("close error"), "receive close error, disconnect 4403", 4403},
		{"Close in Receive", send("close"), "receive close, disconnect 4400", 4400},
		{"an error in Event", event("error"), "event error, disconnect 1011", 1011},
		{"a panic in Event", event("panic"), "event panic, disconnect 1011", 1011},
		{"Close in Event", event("close"), "event close, disconnect 4400", 4400},
		{"shutdown", func(_ *channelstest.Client, e *channels.Endpoint, _ *channels.Layer) {
			if err := e.Shutdown(context.Background(), 1012, nil); err != nil {
				panic(err)
			}
		}, "disconnect 1012", 1012},
		{"shutdown whose time is over", func(_ *channelstest.Client, e *channels.Endpoint, _ *channels.Layer) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := e.Shutdown(ctx, 1012, nil); err == nil {
				panic("no error")
			}
		}, "disconnect 1012", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &channels.Options{}
				e, consumer := serve(t, o)
				c := channelstest.New(t, e, "/")
				c.Connect()
				synctest.Wait()
				tc.end(c, e, o.Layer)
				synctest.Wait()
				if tc.code != 0 {
					if code, _ := c.Closed(); code != tc.code {
						t.Errorf("the client saw %d, want %d", code, tc.code)
					}
				}
				synctest.Wait()
				if got, want := consumer.seen(), "connect, "+tc.want; got != want {
					t.Errorf("calls: %s\nwant:  %s", got, want)
				}
				if consumer.groups != 0 || e.Len() != 0 {
					t.Errorf("%d memberships at Disconnect, %d connections after", consumer.groups, e.Len())
				}
			})
		})
	}
}

func TestAConnectThatFailsIsAnsweredAndNeverDisconnected(t *testing.T) {
	for _, tc := range []struct {
		do     string
		status int
		body   string
	}{
		{"error", 500, "Something went wrong."},
		{"panic", 500, "Something went wrong."},
		{"refuse", 418, "short and stout"},
		{"close error", 500, "Something went wrong."},
	} {
		t.Run(tc.do, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &channels.Options{}
				e, consumer := serve(t, o)
				resp := channelstest.New(t, e, "/?do="+strings.ReplaceAll(tc.do, " ", "+")).Refused()
				synctest.Wait()
				if resp.StatusCode != tc.status {
					t.Errorf("status %d, want %d", resp.StatusCode, tc.status)
				}
				if tc.do == "refuse" && resp.Header.Get("X-Tea") != "green" {
					t.Errorf("header %v", resp.Header)
				}
				if got := consumer.seen(); got != "connect" {
					t.Errorf("calls: %s", got)
				}
				if n := o.Layer.Stats().Members; n != 0 || e.Len() != 0 {
					t.Errorf("%d memberships and %d connections left", n, e.Len())
				}
			})
		})
	}
	t.Run("after Accept it is 1011", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, consumer := serve(t, nil)
			c := channelstest.New(t, e, "/?do=accept,+error")
			c.Connect()
			if code, _ := c.Closed(); code != 1011 {
				t.Errorf("closed with %d", code)
			}
			synctest.Wait()
			if got := consumer.seen(); got != "connect" || e.Len() != 0 {
				t.Errorf("calls: %s; %d connections left", got, e.Len())
			}
		})
	})
}

func TestFramesSentInConnectFollowTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &channels.Options{Subprotocols: []string{"v2", "v1"}}
		e, _ := serve(t, o)
		c := channelstest.New(t, e, "/?do=hello")
		c.Subprotocols("v9", "v1", "v2")
		resp := c.Connect()
		if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "v1" {
			t.Errorf("subprotocol %q, want the client's first that is known, v1", got)
		}
		if got := c.ReceiveText(); got != "hello" {
			t.Errorf("got %q", got)
		}
		c.ReceiveNothing()
		c.Disconnect(1000)
	})
}

func TestMethodsOfOneConsumerNeverRunAtOnce(t *testing.T) {
	o := &channels.Options{}
	e, consumer := serve(t, o)
	c := channelstest.New(t, e, "/")
	c.Connect()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				_ = o.Layer.GroupSend(context.Background(), "all", channels.Event{Type: "do", Payload: "event"})
			}
		})
	}
	for range 50 {
		c.SendText("frame")
	}
	wg.Wait()
	c.Disconnect(1000)
	if err := e.Shutdown(t.Context(), 1012, nil); err != nil {
		t.Fatal(err)
	}
	got := consumer.seen()
	if strings.Contains(got, "concurrent") || !strings.HasSuffix(got, "disconnect 1000") {
		t.Errorf("calls: %s", got)
	}
}

// gate is a consumer whose methods wait to be let go.
type gate struct {
	echo
	open chan struct{}
}

func (g *gate) Receive(_ context.Context, _ *channels.Conn, f channels.Frame) error {
	defer g.note("receive")()
	<-g.open
	return nil
}

func (g *gate) Event(context.Context, *channels.Conn, channels.Event) error {
	defer g.note("event")()
	<-g.open
	return nil
}

func TestAMethodWaitsForTheOneThatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		l := channels.NewLayer(nil)
		e := channels.Handler(func() channels.Consumer { return g }, &channels.Options{Layer: l})
		c := channelstest.New(t, e, "/")
		c.Connect()
		c.SendText("")
		synctest.Wait()
		if err := l.GroupSend(t.Context(), "all", channels.Event{Type: "x"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := g.seen(); got != "connect, receive" {
			t.Errorf("while Receive runs: %s", got)
		}
		g.open <- struct{}{}
		synctest.Wait()
		c.Drop()
		time.Sleep(time.Second)
		if got := g.seen(); got != "connect, receive, event" {
			t.Errorf("while Event runs: %s", got)
		}
		close(g.open)
		synctest.Wait()
		if got := g.seen(); got != "connect, receive, event, disconnect 1006" {
			t.Errorf("at the end: %s", got)
		}
	})
}

// leaver is a consumer whose Disconnect takes its time.
type leaver struct {
	channels.Base
	gone atomic.Int32
}

func (l *leaver) Disconnect(context.Context, *channels.Conn, int) {
	time.Sleep(3 * time.Second)
	l.gone.Add(1)
}

func TestShutdownWaitsForEveryDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leaver{}
		e := channels.Handler(func() channels.Consumer { return l }, nil)
		for range 3 {
			channelstest.New(t, e, "/").Connect()
		}
		err := e.Shutdown(t.Context(), 1012, nil)
		if n := l.gone.Load(); n != 3 || err != nil {
			t.Errorf("shut down with %d of 3 disconnected: %v", n, err)
		}
	})
}

func TestAfterCloseThereAreNoMoreEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &channels.Options{}
		e, consumer := serve(t, o)
		c := channelstest.New(t, e, "/")
		c.Connect()
		for _, p := range []string{"close", "one more"} {
			if err := o.Layer.GroupSend(t.Context(), "all", channels.Event{Type: "do", Payload: p}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := consumer.seen(); got != "connect, event close, disconnect 4400" {
			t.Errorf("calls: %s", got)
		}
	})
}

func TestAnEventWithoutHandlerIsCountedAndTheSocketStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := &channels.Options{Layer: channels.NewLayer(&channels.LayerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})}
		e, _ := serve(t, o)
		c := channelstest.New(t, e, "/")
		c.Connect()
		for _, p := range []string{"unhandled", "still here"} {
			if err := o.Layer.GroupSend(t.Context(), "all", channels.Event{Type: "do", Payload: p}); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.ReceiveText(); got != "still here" {
			t.Errorf("got %q", got)
		}
		if n := o.Layer.Stats().Unhandled; n != 1 {
			t.Errorf("%d unhandled, want 1", n)
		}
		if err := o.Layer.Close(); err != nil || !strings.Contains(log.String(), "cause=unhandled total=1 type=do") {
			t.Errorf("closed with %v, logged %s", err, &log)
		}
	})
}

func TestShutdownRefusesNewClientsAndSpreadsTheReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := serve(t, nil)
		var clients []*channelstest.Client
		for range 5 {
			c := channelstest.New(t, e, "/")
			c.Connect()
			clients = append(clients, c)
		}
		n := 0
		err := e.Shutdown(t.Context(), 1012, func() string {
			n++
			return fmt.Sprintf("retry_ms=%d", n*100)
		})
		if err != nil {
			t.Fatal(err)
		}
		reasons := map[string]int{}
		for _, c := range clients {
			code, reason := c.Closed()
			if code != 1012 {
				t.Errorf("code %d", code)
			}
			reasons[reason]++
		}
		want := map[string]int{"retry_ms=100": 1, "retry_ms=200": 1, "retry_ms=300": 1, "retry_ms=400": 1, "retry_ms=500": 1}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Error(diff)
		}
		resp := channelstest.New(t, e, "/").Refused()
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("after the shutdown: %s %v", resp.Status, resp.Header)
		}
	})
}

// slow is a consumer whose Connect waits for its ctx.
type slow struct{ channels.Base }

func (slow) Connect(ctx context.Context, _ *channels.Conn) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAConnectThatTakesTooLongIs503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := channels.Handler(func() channels.Consumer { return slow{} }, &channels.Options{
			ConnectTimeout: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
		})
		begin := time.Now()
		resp := channelstest.New(t, e, "/").Refused()
		if resp.StatusCode != http.StatusServiceUnavailable || time.Since(begin) != 2*time.Second {
			t.Errorf("%s after %v, want 503 after 2s", resp.Status, time.Since(begin))
		}
	})
}

func TestTheEndOfAConnectionEndsTheContextOfItsMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := make(chan error, 1)
		e := channels.Handler(func() channels.Consumer { return &waiter{got: got} }, &channels.Options{
			Layer:  channels.NewLayer(nil),
			Logger: slog.New(slog.DiscardHandler),
		})
		c := channelstest.New(t, e, "/")
		c.Connect()
		synctest.Wait()
		c.Drop()
		synctest.Wait()
		if err := <-got; !errors.Is(err, context.Canceled) {
			t.Errorf("Event ended with %v", err)
		}
	})
}

// waiter is a consumer whose Event waits for its ctx.
type waiter struct {
	channels.Base
	got chan error
}

func (w *waiter) Connect(ctx context.Context, c *channels.Conn) error {
	return c.Layer().Send(ctx, c.ChannelName(), channels.Event{Type: "wait"})
}

func (w *waiter) Event(ctx context.Context, _ *channels.Conn, _ channels.Event) error {
	<-ctx.Done()
	w.got <- ctx.Err()
	return ctx.Err()
}
