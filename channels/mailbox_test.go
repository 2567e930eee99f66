package channels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// repeat is a consumer that sends back the payloads of its events.
type repeat struct{ Base }

func (repeat) Event(_ context.Context, c *Conn, e Event) error {
	return c.Send(TextFrame([]byte(e.Payload.(string))))
}

func TestAChannelKeepsEventsInOrderUpToItsCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := newTestLayer(t, &LayerOptions{Capacity: 3, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx := t.Context()
		for i := range 5 {
			err := l.Send(ctx, "work", Event{Type: "n", Payload: i})
			if full := errors.Is(err, ErrChannelFull); full != (i >= 3) {
				t.Errorf("event %d: %v", i, err)
			}
		}
		for i := range 3 {
			e, err := l.Receive(ctx, "work")
			if err != nil || e.Payload != i {
				t.Errorf("received %v, %v; want %d", e, err, i)
			}
		}
		if st := l.Stats(); st.Full != 2 || st.Channels != 0 {
			t.Errorf("stats %+v, want 2 full and no channel left", st)
		}
		if n := strings.Count(log.String(), "events lost"); n != 1 {
			t.Errorf("%d log lines about two losses at once, want 1", n)
		}
	})
}

func TestReceiveWaitsAndLosesNothingWhenItIsCancelled(t *testing.T) {
	l := newTestLayer(t, nil)
	const events = 500
	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				short, stop := context.WithTimeout(ctx, 50*time.Microsecond)
				e, err := l.Receive(short, "work")
				stop()
				if err == nil {
					mu.Lock()
					got[e.Payload.(int)]++
					mu.Unlock()
				}
			}
		})
	}
	for i := range events {
		for l.Send(t.Context(), "work", Event{Type: "n", Payload: i}) != nil {
			// full: the receivers will get to it
			time.Sleep(time.Millisecond)
		}
	}
	for {
		mu.Lock()
		n := len(got)
		mu.Unlock()
		if n == events {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
	for i, n := range got {
		if n != 1 {
			t.Errorf("event %d came %d times", i, n)
		}
	}
	if n := l.Stats().Channels; n != 0 {
		t.Errorf("%d channels left", n)
	}
}

func TestAnEventHandedOverWhileReceiveIsCancelledIsReturned(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			l := newTestLayer(t, nil)
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan error)
			go func() {
				_, err := l.Receive(ctx, "work")
				got <- err
			}()
			synctest.Wait()
			l.post.mu.Lock()
			cancel()
			l.box("work").add(Event{Type: "n"})
			l.post.mu.Unlock()
			if err := <-got; err != nil {
				t.Fatalf("the event is lost: %v", err)
			}
		})
	}
}

func TestEventsExpireUnreadAndTakeTheChannelOutOfItsGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, &LayerOptions{Expiry: 3 * time.Second})
		ctx := t.Context()
		must(t, l.GroupAdd(ctx, "g", "nobody"))
		must(t, l.GroupAdd(ctx, "g", "somebody"))
		must(t, l.GroupSend(ctx, "g", Event{Type: "n", Payload: 1}))
		time.Sleep(2 * time.Second)
		if e, err := l.Receive(ctx, "somebody"); err != nil || e.Payload != 1 {
			t.Errorf("after 2 s: %v, %v", e, err)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if st := l.Stats(); st.Expired != 1 || st.Members != 1 || st.Channels != 1 {
			t.Errorf("stats %+v, want 1 expired, and only somebody left", st)
		}
	})
}

func TestAChannelLeavesItsGroupsADayAfterItsLastAddAndAConnectionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		ctx := t.Context()
		c, s := fakeConn(plain(l))
		must(t, c.GroupAdd(ctx, "g"))
		must(t, l.GroupAdd(ctx, "g", "channel"))
		time.Sleep(20 * time.Hour)
		must(t, l.GroupAdd(ctx, "g", "channel"))
		time.Sleep(20 * time.Hour)
		if n := l.Stats().Members; n != 2 {
			t.Errorf("%d members 20 hours after the last add, want 2", n)
		}
		time.Sleep(5 * time.Hour)
		if n := l.Stats().Members; n != 1 {
			t.Errorf("%d members 25 hours after the last add, want the connection", n)
		}
		sendAll(t, l, "g", 1, 1)
		settleAll()
		if n := len(s.got(t)); n != 1 {
			t.Errorf("the connection has %d events", n)
		}
	})
}

func TestAConnectionIsAChannelByItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		ctx := t.Context()
		c, s := fakeConn(Handler(func() Consumer { return repeat{} }, &Options{Layer: l}))
		name := c.ChannelName()
		if name == "" || name != c.ChannelName() || len(name) >= 100 {
			t.Errorf("channel name %q", name)
		}
		must(t, l.Send(ctx, name, Event{Type: "x", Payload: "1"}))
		must(t, l.GroupAdd(ctx, "g", name))
		must(t, l.GroupSend(ctx, "g", Event{Type: "x", Payload: "2"}))
		must(t, l.GroupDiscard(ctx, "g", name))
		must(t, l.GroupSend(ctx, "g", Event{Type: "x", Payload: "3"}))
		settleAll()
		if diff := cmp.Diff([]string{"1", "2"}, s.got(t)); diff != "" {
			t.Error(diff)
		}
		c.end(CloseNormal, "")
		if n := l.Stats().Channels; n != 0 {
			t.Errorf("%d channels left", n)
		}
	})
}

// busy is a consumer whose Event waits.
type busy struct {
	Base
	goOn chan struct{}
	seen []string
}

func (b *busy) Event(_ context.Context, _ *Conn, e Event) error {
	<-b.goOn
	b.seen = append(b.seen, fmt.Sprint(e.Payload))
	return nil
}

func (b *busy) Lost(_ context.Context, _ *Conn, n int) {
	b.seen = append(b.seen, fmt.Sprintf("lost %d", n))
}

func TestAConsumerThatIsBehindIsToldWhatItLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, &LayerOptions{Capacity: 2})
		b := &busy{goOn: make(chan struct{})}
		c, _ := fakeConn(Handler(func() Consumer { return b }, &Options{Layer: l}))
		must(t, c.GroupAdd(t.Context(), "g"))
		for i := range 6 {
			must(t, l.GroupSend(t.Context(), "g", Event{Type: "x", Payload: i}))
			settleAll() // the first is being handled, two wait, three are lost
		}
		if err := l.Send(t.Context(), c.ChannelName(), Event{Type: "x"}); !errors.Is(err, ErrChannelFull) {
			t.Errorf("Send to a full connection: %v", err)
		}
		close(b.goOn)
		settleAll()
		if diff := cmp.Diff([]string{"0", "lost 4", "1", "2"}, b.seen); diff != "" {
			t.Error(diff)
		}
		if n := l.Stats().Full; n != 4 {
			t.Errorf("%d lost, want 4", n)
		}
	})
}

func TestNamesAreChecked(t *testing.T) {
	l := newTestLayer(t, nil)
	c, _ := fakeConn(plain(l))
	ctx := t.Context()
	for _, name := range []string{"", strings.Repeat("x", maxName+1)} {
		_, receive := l.Receive(ctx, name)
		_, join := c.GroupJoin(ctx, name)
		for what, err := range map[string]error{
			"Send": l.Send(ctx, name, Event{}), "Receive": receive, "GroupSend": l.GroupSend(ctx, name, Event{}),
			"GroupAdd": l.GroupAdd(ctx, name, "c"), "GroupAdd of a channel": l.GroupAdd(ctx, "g", name),
			"Conn.GroupAdd": c.GroupAdd(ctx, name), "Conn.GroupJoin": join,
		} {
			if !errors.Is(err, ErrBadName) {
				t.Errorf("%s with a name of %d bytes: %v", what, len(name), err)
			}
		}
	}
}

func TestGroupsOfOneConnectionAreLimited(t *testing.T) {
	l := newTestLayer(t, nil)
	c, _ := fakeConn(plain(l))
	for i := range 1024 {
		must(t, c.GroupAdd(t.Context(), fmt.Sprint(i)))
	}
	if err := c.GroupAdd(t.Context(), "one more"); !errors.Is(err, ErrTooMany) {
		t.Errorf("the 1025th group: %v", err)
	}
	if n := l.Stats().Groups; n != 1024 {
		t.Errorf("%d groups", n)
	}
	c.end(CloseNormal, "")
}
