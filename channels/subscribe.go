package channels

import (
	"context"
	"iter"
)

// Subscribe follows groups from an ordinary handler, such as one that answers a
// long poll or streams server-sent events. What is sent to the groups after it
// has returned comes out of the sequence, in order, until ctx ends, which ends
// the sequence and the subscription; leaving the loop does as well. Range over
// it once.
//
// Up to Capacity events wait, each for up to Expiry. When some were dropped, or
// a broker tells of a gap, the sequence says ErrMissed, once for what was missed
// until then, and goes on.
func (l *Layer) Subscribe(ctx context.Context, groups ...string) (iter.Seq2[Event, error], error) {
	name := l.NewChannel("subscription")
	l.post.mu.Lock()
	b := l.box(name)
	b.kept = true
	l.post.mu.Unlock()
	for _, group := range groups {
		if err := l.GroupAdd(ctx, group, name); err != nil {
			l.unsubscribe(b)
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { l.unsubscribe(b) })
	return func(yield func(Event, error) bool) {
		defer l.unsubscribe(b)
		defer stop()
		for {
			e, err := l.Receive(ctx, name)
			if err != nil {
				return
			}
			if _, ok := e.Payload.(missed); ok {
				e, err = Event{}, ErrMissed
			}
			if !yield(e, err) {
				return
			}
		}
	}, nil
}

// unsubscribe ends a subscription, once or more often.
func (l *Layer) unsubscribe(b *mailbox) {
	l.post.mu.Lock()
	defer l.post.mu.Unlock()
	b.kept, b.closed, b.missed = false, true, false
	b.shift(len(b.queue))
	for _, m := range b.groups {
		m.member.group.leave(m.member)
	}
	b.groups = nil
	l.tidy(b)
}

// gapped tells a subscription of a gap.
func (b *mailbox) gapped() {
	b.layer.post.mu.Lock()
	defer b.layer.post.mu.Unlock()
	switch {
	case !b.kept:
	case len(b.waiting) > 0:
		b.add(Event{Payload: missed{}})
	default:
		b.missed = true
	}
}
