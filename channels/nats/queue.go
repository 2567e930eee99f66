package nats

import (
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// box is what has come to a channel of no process and waits in this one.
type box struct {
	// fixed
	events chan boxed

	// guarded by the broker's mu
	receivers int
	idle      *time.Timer // ends the subscription, unless there are receivers
}

type boxed struct {
	event channels.Event
	at    time.Time
}

// put tells whether there was room.
func (q *box) put(e channels.Event) bool {
	select {
	case q.events <- boxed{e, time.Now()}:
		return true
	default:
		return false
	}
}

// enter adds a receiver.
func (b *Broker) enter(subject, channel string) (*box, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errClosed
	}
	l := b.listen(subject)
	if l.box == nil {
		l.box = &box{events: make(chan boxed, b.node.Capacity(channel))}
		l.box.idle = time.AfterFunc(b.node.Expiry, func() { b.forget(subject) })
		b.poke()
	}
	l.box.idle.Stop()
	l.box.receivers++
	return l.box, nil
}

// leave takes a receiver away. What waits stays for the next, for a while.
func (b *Broker) leave(q *box) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q.receivers--
	if q.receivers == 0 && !b.closed {
		q.idle.Reset(b.node.Expiry)
	}
}

// forget unsubscribes from a channel nobody has received from for long.
func (b *Broker) forget(subject string) {
	b.mu.Lock()
	waited := 0
	if l := b.want[subject]; l != nil && l.box.receivers == 0 && !b.closed {
		waited = len(l.box.events)
		b.unlisten(subject)
		b.poke()
	}
	b.mu.Unlock()
	if waited > 0 {
		b.node.Dropped("expired", waited)
	}
}
