package channels_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// counted is a consumer that counts the ends of all.
type counted struct {
	channels.Base
	ends *atomic.Int32
}

func (c counted) Disconnect(context.Context, *channels.Conn, int) { c.ends.Add(1) }

func TestADrainClosesTheConnectionsEvenlyOverItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := channels.Handler(func() channels.Consumer { return channels.Base{} }, nil)
		for range 20 {
			channelstest.New(t, e, "/").Connect()
		}
		drained := make(chan error, 1)
		go func() { drained <- e.Drain(t.Context(), 2*time.Second, 1012, nil) }()
		time.Sleep(5 * time.Millisecond)
		synctest.Wait()
		if resp := channelstest.New(t, e, "/").Refused(); resp.StatusCode != 503 {
			t.Errorf("a new client gets %s", resp.Status)
		}
		for left := 19; left > 0; left-- { // one is closed at once, then one in 100 ms
			if n := e.Len(); n != left {
				t.Fatalf("%d connections are left, want %d", n, left)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestADrainThatIsCutShortCutsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends atomic.Int32
		e := channels.Handler(func() channels.Consumer { return counted{ends: &ends} }, nil)
		for range 10 {
			channelstest.New(t, e, "/").Connect()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 450*time.Millisecond)
		defer cancel()
		err := e.Drain(ctx, time.Second, 1012, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "5 connections left") {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if n := ends.Load(); n != 10 || e.Len() != 0 {
			t.Errorf("%d disconnects, %d connections left", n, e.Len())
		}
	})
}

// finisher is a consumer that says goodbye, when it is let.
type finisher struct {
	echo
	open chan struct{} // lets Receive and Finish go on
}

func (f *finisher) Receive(ctx context.Context, _ *channels.Conn, frame channels.Frame) error {
	defer f.note("receive %s", frame.Data)()
	return f.wait(ctx)
}

func (f *finisher) Finish(ctx context.Context, c *channels.Conn) error {
	defer f.note("finish")()
	if err := f.wait(ctx); err != nil {
		return err
	}
	return c.Send(channels.TextFrame([]byte("goodbye")))
}

func (f *finisher) wait(ctx context.Context) error {
	select {
	case <-f.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestAConsumerFinishesBeforeItsConnectionIsClosed(t *testing.T) {
	for _, c := range []struct {
		name    string
		said    []string // by the client before the shutdown
		opened  int      // methods that are let go
		want    string   // the client's frame before the close
		took    time.Duration
		methods string
	}{
		{"at rest", nil, 1, "goodbye", 0, "connect, finish, disconnect 1012"},
		{"behind a method that runs", []string{"a"}, 2, "goodbye", 0, "connect, receive a, finish, disconnect 1012"},
		{"a method that does not end", []string{"a"}, 0, "", time.Second, "connect, receive a, disconnect 1012"},
		{"a Finish that does not end", nil, 0, "", time.Second, "connect, finish, disconnect 1012"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &finisher{open: make(chan struct{}, 2)}
				log := slog.New(slog.NewTextHandler(io.Discard, nil))
				e := channels.Handler(func() channels.Consumer { return f }, &channels.Options{Logger: log})
				client := channelstest.New(t, e, "/")
				client.Connect()
				for _, s := range c.said {
					client.SendText(s)
				}
				synctest.Wait()
				begin := time.Now()
				done := make(chan error, 1)
				go func() { done <- e.Shutdown(t.Context(), 1012, func() string { return "bye" }) }()
				synctest.Wait()
				for range c.opened {
					f.open <- struct{}{}
				}
				if c.want != "" {
					if got := client.ReceiveText(); got != c.want {
						t.Errorf("got %q, want %q", got, c.want)
					}
				}
				if code, reason := client.Closed(); code != 1012 || reason != "bye" {
					t.Errorf("closed with %d %q", code, reason)
				}
				if err := <-done; err != nil || time.Since(begin) != c.took {
					t.Errorf("shut down with %v after %v, want %v", err, time.Since(begin), c.took)
				}
				if got := f.seen(); got != c.methods {
					t.Errorf("methods: %s, want %s", got, c.methods)
				}
			})
		})
	}
}

// deaf is a consumer whose Receive does not end with its connection.
type deaf struct {
	finisher
	end chan struct{}
}

func (d *deaf) Receive(context.Context, *channels.Conn, channels.Frame) error {
	<-d.end
	return nil
}

// More connections than may finish at the same time are busy for longer than the
// shutdown lasts. The others are closed as they should be, and the error counts
// each once.
func TestWhoCannotFinishKeepsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const busy, idle = 600, 20
		end, open := make(chan struct{}), make(chan struct{})
		close(open)
		e := channels.Handler(func() channels.Consumer {
			return &deaf{finisher: finisher{open: open}, end: end}
		}, &channels.Options{Logger: slog.New(slog.DiscardHandler)})
		clients := make([]*channelstest.Client, busy+idle)
		for i := range clients {
			clients[i] = channelstest.New(t, e, "/")
			clients[i].Connect()
			if i < busy {
				clients[i].SendText("a")
			}
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := e.Shutdown(ctx, 1012, nil)
		if err == nil || !strings.Contains(err.Error(), "600 connections left") {
			t.Errorf("got %v", err)
		}
		for i, c := range clients {
			if i >= busy {
				if got := c.ReceiveText(); got != "goodbye" {
					t.Errorf("client %d: %q", i, got)
				}
			}
			if code, _ := c.Closed(); code != 1012 {
				t.Errorf("client %d was closed with %d", i, code)
			}
		}
		close(end)
	})
}

func TestAFrameThatWaitedForFinishIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &finisher{open: make(chan struct{})}
		e := channels.Handler(func() channels.Consumer { return f }, nil)
		client := channelstest.New(t, e, "/")
		client.Connect()
		done := make(chan error, 1)
		go func() { done <- e.Shutdown(t.Context(), 1012, nil) }()
		synctest.Wait() // in Finish
		client.SendText("late")
		synctest.Wait()
		close(f.open)
		if got := client.ReceiveText(); got != "goodbye" {
			t.Errorf("got %q", got)
		}
		if code, _ := client.Closed(); code != 1012 {
			t.Errorf("closed with %d", code)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := f.seen(); got != "connect, finish, disconnect 1012" {
			t.Errorf("methods: %s", got)
		}
	})
}
