package worker_test

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

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newLayer(b channels.Broker) *channels.Layer {
	return channels.NewLayer(&channels.LayerOptions{Broker: b, Logger: quiet()})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func send(t *testing.T, l *channels.Layer, channel string, payloads ...any) {
	t.Helper()
	for _, p := range payloads {
		if err := l.Send(t.Context(), channel, channels.Event{Type: "job", Payload: p}); err != nil {
			t.Fatal(err)
		}
	}
}

// start runs a worker; stop ends it and waits.
func start(t *testing.T, l *channels.Layer, m *worker.Mux) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- worker.Run(ctx, l, m) }()
	synctest.Wait()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

// notes is what handlers did, in order.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) want(t *testing.T, lines ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if diff := cmp.Diff(lines, n.lines); diff != "" {
		t.Error(diff)
	}
}

func TestEventsOfEachChannelAreHandledInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLayer(nil), new(worker.Mux)
		var a, b notes
		m.Handle("a", func(_ context.Context, e channels.Event) error { a.add("%v", e.Payload); return nil }, nil)
		m.Handle("b", func(_ context.Context, e channels.Event) error { b.add("%v", e.Payload); return nil }, nil)
		send(t, l, "a", 1, 2) // before there is a worker
		stop := start(t, l, m)
		send(t, l, "a", 3)
		send(t, l, "b", 4)
		synctest.Wait()
		stop()
		a.want(t, "1", "2", "3")
		b.want(t, "4")
	})
}

func TestNoMoreHandlersRunAtOnceThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLayer(nil), new(worker.Mux)
		var running, most, done atomic.Int32
		work := func(context.Context, channels.Event) error {
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Second)
			running.Add(-1)
			done.Add(1)
			return nil
		}
		m.Handle("work", work, &worker.Options{Concurrency: 3})
		stop := start(t, l, m)
		send(t, l, "work", 1, 2, 3, 4, 5, 6, 7)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if most.Load() != 3 || done.Load() != 7 {
			t.Errorf("%d at once, %d done in 3 s; want 3 and 7", most.Load(), done.Load())
		}
		stop()
	})
}

func TestWhatFailsIsTriedAgainLaterAndLaterAndThenGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLayer(nil), new(worker.Mux)
		var n notes
		begin := time.Now()
		tries := 0
		m.Handle("work", func(_ context.Context, e channels.Event) error {
			if e.Payload == "good" {
				n.add("good")
				return nil
			}
			tries++
			waited := time.Since(begin)
			if least := time.Duration(1<<(tries-1)-1) * time.Second / 2; waited < least || waited > 2*least {
				t.Errorf("try %d after %v", tries, waited)
			}
			if tries == 2 {
				panic("oh no")
			}
			return fmt.Errorf("try %d", tries)
		}, &worker.Options{Retries: 3, Logger: quiet(), Failed: func(_ context.Context, e channels.Event, err error) {
			n.add("%v failed: %v", e.Payload, err)
			panic("and this")
		}})
		stop := start(t, l, m)
		send(t, l, "work", "bad", "good")
		time.Sleep(time.Minute)
		stop()
		n.want(t, "bad failed: try 4", "good")
	})
}

func TestAnEventOfAnUnknownTypeIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLayer(nil), new(worker.Mux)
		var n notes
		m.Handle("work", func(_ context.Context, e channels.Event) error {
			n.add("try")
			return fmt.Errorf("%w of type %s", channels.ErrNoHandler, e.Type)
		}, &worker.Options{Retries: 3, Logger: quiet()})
		stop := start(t, l, m)
		send(t, l, "work", 1)
		time.Sleep(time.Minute)
		stop()
		n.want(t, "try")
	})
}

func TestAWorkerThatStopsFinishesWhatItHasTakenAndLeavesTheRest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		takes time.Duration
		want  string
	}{
		{"in time", 5 * time.Second, "done"},
		{"or is told to give up", time.Hour, "context canceled"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, m := newLayer(nil), new(worker.Mux)
				var n notes
				m.Handle("work", func(ctx context.Context, _ channels.Event) error {
					select {
					case <-time.After(tc.takes):
						n.add("done")
					case <-ctx.Done():
						n.add("%v", ctx.Err())
						return ctx.Err()
					}
					return nil
				}, &worker.Options{Grace: 10 * time.Second, Retries: 5, Logger: quiet()})
				stop := start(t, l, m)
				send(t, l, "work", 1, 2)
				synctest.Wait()
				stop()
				n.want(t, tc.want)
				if e, err := l.Receive(t.Context(), "work"); err != nil || e.Payload != 2 {
					t.Errorf("left in the channel: %v, %v", e.Payload, err)
				}
			})
		})
	}
}

func TestAWorkerThatStopsDoesNotWaitForTheNextTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, m := newLayer(nil), new(worker.Mux)
		var n notes
		m.Handle("work", func(context.Context, channels.Event) error {
			n.add("try")
			return errors.New("not yet")
		}, &worker.Options{Retries: 2, Backoff: time.Hour, MaxBackoff: time.Hour, Logger: quiet()})
		stop := start(t, l, m)
		send(t, l, "work", 1)
		synctest.Wait()
		begin := time.Now()
		stop()
		if d := time.Since(begin); d != 0 {
			t.Errorf("stopped after %v", d)
		}
		n.want(t, "try", "try", "try")
	})
}

// queues is a Broker whose channels belong to no process. Receive fails at first.
type queues struct {
	mu       sync.Mutex
	failures int
	events   chan channels.Event
}

func (q *queues) Start(channels.Node)                      {}
func (q *queues) Follow(context.Context, []string) error   { return nil }
func (q *queues) Unfollow(context.Context, []string) error { return nil }
func (q *queues) Publish(_ context.Context, d channels.Delivery) error {
	q.events <- d.Event
	return nil
}

func (q *queues) Receive(ctx context.Context, channel string) (channels.Event, error) {
	q.mu.Lock()
	fail := q.failures > 0
	q.failures--
	q.mu.Unlock()
	if fail {
		return channels.Event{}, errors.New("no connection")
	}
	select {
	case e := <-q.events:
		return e, nil
	case <-ctx.Done():
		return channels.Event{}, ctx.Err()
	}
}

func TestWorkersOfSeveralProcessesShareAChannelOfABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &queues{events: make(chan channels.Event, 100), failures: 3}
		var n notes
		var stops []func()
		for range 2 {
			m := new(worker.Mux)
			m.Handle("work", func(_ context.Context, e channels.Event) error { n.add("%v", e.Payload); return nil },
				&worker.Options{Logger: quiet()})
			stops = append(stops, start(t, newLayer(q), m))
		}
		web := newLayer(q)
		for i := range 10 {
			send(t, web, "work", i)
			time.Sleep(time.Minute) // the first are received when the broker is back
		}
		for _, stop := range stops {
			stop()
		}
		n.want(t, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
	})
}

func TestMistakesAreTold(t *testing.T) {
	if err := worker.Run(t.Context(), newLayer(nil), new(worker.Mux)); err == nil {
		t.Error("a worker without a handler runs")
	}
	m := new(worker.Mux)
	work := func(context.Context, channels.Event) error { return nil }
	m.Handle("work", work, nil)
	m.Handle("specific.another!1", work, nil)
	if err := worker.Run(t.Context(), newLayer(&queues{events: make(chan channels.Event)}), m); !errors.Is(err, channels.ErrBadName) {
		t.Errorf("a worker for another process's channel: %v", err)
	}
	for what, register := range map[string]func(){
		"twice":    func() { m.Handle("work", work, nil) },
		"no name":  func() { m.Handle("", work, nil) },
		"nil func": func() { m.Handle("x", nil, nil) },
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			register()
		})
	}
}

// A worker in the process of the web server; with a broker it could be another.
func Example() {
	layer := channels.NewLayer(nil)
	ctx, stop := context.WithCancel(context.Background())

	mux := new(worker.Mux)
	mux.Handle("thumbnails", func(_ context.Context, e channels.Event) error {
		switch e.Type {
		case "thumbnail.make":
			fmt.Println("made a thumbnail of", e.Payload.(map[string]any)["file"])
			stop()
			return nil
		}
		return channels.ErrNoHandler
	}, &worker.Options{Concurrency: 2, Retries: 3})

	err := layer.Send(ctx, "thumbnails", channels.Event{Type: "thumbnail.make", Payload: map[string]any{"file": "cat.png"}})
	fmt.Println(err)
	fmt.Println(worker.Run(ctx, layer, mux))
	// Output:
	// <nil>
	// made a thumbnail of cat.png
	// <nil>
}
