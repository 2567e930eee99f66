// Package worker does background work that comes as events of named channels,
// such as "thumbnails": any process sends the work with channels.Layer.Send, and
// a process that runs a worker for that channel does it.
//
//	mux := new(worker.Mux)
//	mux.Handle("thumbnails", makeThumbnail, &worker.Options{Concurrency: 4, Retries: 3})
//	err := worker.Run(ctx, layer, mux)
//
// Its nouns: a Mux has a Handler for each channel; Run takes events from them
// and hands each to its handler.
//
// # Promises
//
// Delivery is at most once. An event that was taken from its channel is tried,
// and tried again as Options.Retries says, by this process alone: it is gone if
// the process is killed. Work that must not be lost belongs in a database, with an
// event to say that it is there. Whatever is given up is logged, and told to
// Options.Failed, which may send it to another channel.
//
// In one process the channels are the layer's. Between processes they are those
// of a broker that is a channels.Queuer, and each event reaches one worker, unless
// the broker says otherwise. Such a broker waits out lost connections by itself.
//
// Order: with a Concurrency of 1, the default, events of one channel are handled
// in the order received, one after the other; there is no order between channels.
//
// Back-pressure: no more events are taken than are being handled. The others wait
// in the channel, up to its capacity; then Send is channels.ErrChannelFull.
//
// Ownership: all goroutines are Run's, which returns when they have ended.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Handler does the work of one event. An error, or a panic, has it tried again
// while Options.Retries are left, except channels.ErrNoHandler, which a handler
// returns for a type of event that it does not know.
//
// ctx outlives that of Run by Options.Grace, so that work in progress can be
// finished.
type Handler func(ctx context.Context, e channels.Event) error

// Options say how the events of a channel are handled. Zero fields stand for the
// values in brackets.
type Options struct {
	Concurrency int           // handlers that run at the same time [1]
	Retries     int           // tries after the first that failed [0]
	Backoff     time.Duration // before the first retry, and twice as long before each further one [1s]
	MaxBackoff  time.Duration // at most [1m]; all are shortened at random by up to half
	Grace       time.Duration // for work in progress, after the ctx of Run ended [30s]

	// Failed is told of an event that is given up, with the error of the last
	// try. It may keep it, or send it to a channel of failures.
	Failed func(ctx context.Context, e channels.Event, err error)

	Logger *slog.Logger // failures and panics [slog.Default()]
}

// Mux has the handlers of a worker, by the names of channels. The zero value has
// none. It must not be changed while Run uses it.
type Mux struct{ queues []*queue }

// queue is the work of one channel. All of it is fixed.
type queue struct {
	channel string
	handler Handler
	o       Options
	log     *slog.Logger
}

// Handle has f handle the events of a channel. o may be nil. Registering a channel
// twice, or one without a name, panics: it is a mistake in the program.
func (m *Mux) Handle(channel string, f Handler, o *Options) {
	if channel == "" || f == nil {
		panic("worker: Handle needs a channel and a function")
	}
	for _, q := range m.queues {
		if q.channel == channel {
			panic(fmt.Sprintf("worker: Handle: %q registered twice", channel))
		}
	}
	if o == nil {
		o = &Options{}
	}
	q := &queue{channel: channel, handler: f, o: *o, log: o.Logger}
	q.o.Concurrency = cmp.Or(o.Concurrency, 1)
	q.o.Backoff = cmp.Or(o.Backoff, time.Second)
	q.o.MaxBackoff = cmp.Or(o.MaxBackoff, time.Minute)
	q.o.Grace = cmp.Or(o.Grace, 30*time.Second)
	if q.log == nil {
		q.log = slog.Default()
	}
	m.queues = append(m.queues, q)
}

// Run takes events from the channels of m until ctx ends; then it finishes what
// it has taken and returns nil. Any other end is an error: no handler, or a
// channel whose name is impossible.
func Run(ctx context.Context, l *channels.Layer, m *Mux) error {
	if len(m.queues) == 0 {
		return errors.New("worker: no channel has a handler")
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(m.queues))
	var running sync.WaitGroup
	for i, q := range m.queues {
		running.Go(func() {
			if errs[i] = q.serve(ctx, l); errs[i] != nil {
				stop()
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// serve runs a queue's receivers until ctx ends and they have finished.
func (q *queue) serve(ctx context.Context, l *channels.Layer) error {
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	errs := make([]error, q.o.Concurrency)
	var receivers, grace sync.WaitGroup
	for i := range errs {
		receivers.Go(func() { errs[i] = q.run(ctx, working, l) })
	}
	finished := make(chan struct{})
	grace.Go(func() {
		select {
		case <-ctx.Done():
		case <-finished:
			return
		}
		select {
		case <-time.After(q.o.Grace):
			cancel()
		case <-finished:
		}
	})
	receivers.Wait()
	close(finished)
	grace.Wait()
	return errs[0] // that of a name, so all have it
}

// run is one of a queue's receivers. ctx is for receiving, working for the work.
func (q *queue) run(ctx, working context.Context, l *channels.Layer) error {
	failed := 0
	for ctx.Err() == nil {
		e, err := l.Receive(ctx, q.channel)
		switch {
		case err == nil:
			failed = 0
			q.work(ctx, working, e)
		case errors.Is(err, channels.ErrBadName):
			return fmt.Errorf("worker: %w", err)
		case ctx.Err() == nil:
			q.log.Error("worker: cannot receive", "channel", q.channel, "err", err)
			q.sleep(ctx, failed)
			failed++
		}
	}
	return nil
}

// work handles one event, whatever becomes of it.
func (q *queue) work(ctx, working context.Context, e channels.Event) {
	for try := 0; ; try++ {
		err := q.try(working, e)
		if err == nil {
			return
		}
		if try >= q.o.Retries || errors.Is(err, channels.ErrNoHandler) || working.Err() != nil {
			q.giveUp(working, e, err)
			return
		}
		q.log.Warn("worker: an event failed and is tried again", "channel", q.channel, "type", e.Type, "try", try+1, "err", err)
		q.sleep(ctx, try) // a worker that stops tries again at once
	}
}

// try runs the handler once.
func (q *queue) try(ctx context.Context, e channels.Event) (err error) {
	defer func() {
		if v := recover(); v != nil {
			q.log.Error("worker: a handler panicked", "channel", q.channel, "type", e.Type, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("worker: panic: %v", v)
		}
	}()
	return q.handler(ctx, e)
}

// giveUp says that an event is lost.
func (q *queue) giveUp(ctx context.Context, e channels.Event, err error) {
	q.log.Error("worker: an event is given up", "channel", q.channel, "type", e.Type, "err", err)
	if q.o.Failed == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			q.log.Error("worker: Failed panicked", "channel", q.channel, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	q.o.Failed(context.WithoutCancel(ctx), e, err)
}

// sleep waits before the next try, unless the worker stops.
func (q *queue) sleep(ctx context.Context, failed int) {
	d := min(q.o.Backoff<<min(failed, 30), q.o.MaxBackoff)
	if d <= 0 { // it was shifted out
		d = q.o.MaxBackoff
	}
	d -= rand.N(d/2 + 1)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
