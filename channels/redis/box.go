package redis

import (
	"context"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// box is what has come to a channel of no process and waits in this one.
type box struct {
	// fixed
	events chan boxed

	// guarded by the feed's mu
	receivers int
	idle      *time.Timer // ends the subscription, unless there are receivers
}

type boxed struct {
	event channels.Event
	at    time.Time
}

// put tells whether there was room.
func (b *box) put(e channels.Event) bool {
	select {
	case b.events <- boxed{e, time.Now()}:
		return true
	default:
		return false
	}
}

// receive takes the oldest event that is not too old, and waits for one.
func (f *feed) receive(ctx context.Context, channel string) (channels.Event, error) {
	b, err := f.enter(channel)
	if err != nil {
		return channels.Event{}, err
	}
	defer f.leave(b)
	for {
		select {
		case e := <-b.events:
			if time.Since(e.at) < f.broker.node.Expiry {
				return e.event, nil
			}
			f.broker.node.Dropped("expired", 1)
		case <-ctx.Done():
			return channels.Event{}, ctx.Err()
		case <-f.broker.ctx.Done():
			return channels.Event{}, errClosed
		}
	}
}

// enter adds a receiver.
func (f *feed) enter(channel string) (*box, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errClosed
	}
	l := f.listen(channel)
	if l.box == nil {
		l.box = &box{events: make(chan boxed, f.broker.node.Capacity(channel))}
		l.box.idle = time.AfterFunc(f.broker.node.Expiry, func() { f.forget(channel) })
		f.poke()
	}
	l.box.idle.Stop()
	l.box.receivers++
	return l.box, nil
}

// leave takes a receiver away. What waits stays for the next, for a while.
func (f *feed) leave(b *box) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b.receivers--
	if b.receivers == 0 && !f.closed {
		b.idle.Reset(f.broker.node.Expiry)
	}
}

// forget unsubscribes from a channel nobody has received from for long.
func (f *feed) forget(channel string) {
	f.mu.Lock()
	l := f.want[channel]
	waited := 0
	if l != nil && l.box != nil && l.box.receivers == 0 && !f.closed {
		waited = len(l.box.events)
		l.box = nil
		f.unlisten(channel, l)
		f.poke()
	}
	f.mu.Unlock()
	if waited > 0 {
		f.broker.node.Dropped("expired", waited)
	}
}
