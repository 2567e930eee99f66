package live

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

const (
	laneBytes     = 8 << 20         // waiting in a lane; what comes then is dropped
	laneBegun     = 64              // events of a lane that the broker has not answered
	publishWithin = 5 * time.Second // an event that the broker has not taken by then is dropped

	// A message that has waited for oldAfter is dropped if a newer one of its room
	// waits too, which has the other servers read the log for both; and after
	// uselessAfter in any case: they look by themselves.
	oldAfter     = 500 * time.Millisecond
	uselessAfter = 2 * time.Second
)

// lane is some groups' events on their way.
type lane struct {
	// guarded by mu
	mu      sync.Mutex
	queue   []queued
	bytes   int
	running bool
}

// queued is an event that waits since a time.
type queued struct {
	channels.Delivery
	at time.Time
}

// take empties the lane, or ends its run.
func (l *lane) take() []queued {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.queue
	l.queue, l.bytes = nil, 0
	l.running = len(batch) > 0
	return batch
}

// carry gives what waits in a lane to the broker, until nothing does.
func (r *Relay) carry(l *lane) {
	for batch := l.take(); len(batch) > 0; batch = l.take() {
		r.carryAll(batch)
	}
}

// carryAll gives events to the broker, without waiting for each answer if it can
// be so.
func (r *Relay) carryAll(batch []queued) {
	var (
		last  map[string]int // message of each room; nil until it is needed
		begun []func()
	)
	for i, q := range batch {
		if waited := time.Since(q.at); waited > oldAfter && inLog(q.Delivery) {
			if last == nil {
				last = lastOfRooms(batch)
			}
			if waited > uselessAfter || i < last[q.Group] {
				r.lose(&r.dropped, "it is too slow", nil)
				r.waiting.Add(-1)
				continue
			}
		}
		if len(begun) == laneBegun {
			begun[0]()
			begun = begun[1:]
		}
		begun = append(begun, r.give(q.Delivery))
	}
	for _, end := range begun {
		end()
	}
}

// give begins to give an event to the broker; end waits until it is done.
func (r *Relay) give(d channels.Delivery) (end func()) {
	ctx, cancel := context.WithTimeout(r.ctx, publishWithin)
	answer := r.publish(ctx, d)
	return func() {
		defer cancel()
		if err := answer(); err != nil {
			r.lose(&r.failed, "it failed", err)
		} else {
			r.sent.Add(1)
		}
		r.waiting.Add(-1)
	}
}

// publishing is how a broker takes events one after the other.
func publishing(b channels.Broker) func(context.Context, channels.Delivery) (end func() error) {
	if p, ok := b.(channels.Pipeliner); ok {
		return p.Begin
	}
	return func(ctx context.Context, d channels.Delivery) func() error {
		err := b.Publish(ctx, d)
		return func() error { return err }
	}
}

// inLog says that an event is a message of a room: who does not get it reads it.
func inLog(d channels.Delivery) bool {
	return d.Event.Type == eventMessage && strings.HasPrefix(d.Group, groupPrefix)
}

// lastOfRooms is where in a batch the last message of each room is.
func lastOfRooms(batch []queued) map[string]int {
	last := make(map[string]int)
	for i, q := range batch {
		if inLog(q.Delivery) {
			last[q.Group] = i
		}
	}
	return last
}
