package channels

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// brokerTimeout bounds a broker's call that nobody's context bounds.
const brokerTimeout = 10 * time.Second

// settled waits until the broker follows a group, or not, as it has members.
func (l *Layer) settled(ctx context.Context, group string) error {
	if l.interest == nil {
		return nil
	}
	done := make(chan error, 1)
	l.interest.look(group, done)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// interest keeps what the broker follows equal to the groups that have members.
// Changes are batched: while one call is on its way the next collect. A
// goroutine exists only while there are changes.
type interest struct {
	// fixed
	layer  *Layer
	broker Broker

	// owned by the goroutine
	follows map[string]bool

	// guarded by mu
	mu      sync.Mutex
	changed map[string][]chan error // groups to look at, with who waits for that
	running bool
	closed  bool
}

func newInterest(l *Layer, b Broker) *interest {
	return &interest{layer: l, broker: b, follows: map[string]bool{}, changed: map[string][]chan error{}}
}

// look has a group looked at; done, unless nil, gets the result.
func (i *interest) look(group string, done chan error) {
	i.mu.Lock()
	if i.closed {
		i.mu.Unlock()
		if done != nil {
			done <- ErrClosed
		}
		return
	}
	waiting := i.changed[group]
	if done != nil {
		waiting = append(waiting, done)
	}
	i.changed[group] = waiting
	start := !i.running
	i.running = true
	i.mu.Unlock()
	if start {
		i.layer.runners.Go(i.run)
	}
}

// close lets no goroutine start any more.
func (i *interest) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.closed = true
}

func (i *interest) run() {
	for {
		i.mu.Lock()
		changed := i.changed
		if len(changed) == 0 {
			i.running = false
			i.mu.Unlock()
			return
		}
		i.changed = map[string][]chan error{}
		i.mu.Unlock()

		var begin, end []string
		for name := range changed {
			switch alive := i.layer.group(name) != nil; {
			case alive && !i.follows[name]:
				begin = append(begin, name)
			case !alive && i.follows[name]:
				end = append(end, name)
			}
		}
		err := i.change(begin, end)
		for _, waiting := range changed {
			for _, done := range waiting {
				done <- err
			}
		}
	}
}

func (i *interest) change(begin, end []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), brokerTimeout)
	defer cancel()
	var failed error
	if len(begin) > 0 {
		if err := i.broker.Follow(ctx, begin); err != nil {
			failed = fmt.Errorf("channels: follow groups of other processes: %w", err)
		} else {
			for _, name := range begin {
				i.follows[name] = true
			}
		}
	}
	if len(end) > 0 {
		for _, name := range end {
			delete(i.follows, name)
		}
		if err := i.broker.Unfollow(ctx, end); err != nil {
			failed = errors.Join(failed, fmt.Errorf("channels: unfollow groups of other processes: %w", err))
		}
	}
	return failed
}
