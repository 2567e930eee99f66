package channels

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Broker carries events between processes. A Layer does everything that is
// local; its broker only has to bring an event to the other processes that
// follow a group, or to the one that owns a channel.
//
// A broker keeps what it was told to follow across lost connections: an error
// of Follow says that the name is impossible, or that ctx ended. Its events may
// be lost; they never come twice, and those of one sender to one group stay in
// order. It never delivers what its own layer published. Names are any text of
// up to 512 bytes; SafeName narrows them. What it sends is Event.Map, what it
// delivers EventFromMap. Package brokertest says the same as tests.
//
// A broker can do more by also being a Queuer or an Enroller.
type Broker interface {
	// Start is called once, by NewLayer, before the other methods. It does not
	// wait for a connection.
	Start(n Node)

	// Follow and Unfollow begin and end the delivery of events of groups.
	// Calls come one at a time, and never twice for one group without the
	// other in between.
	Follow(ctx context.Context, groups []string) error
	Unfollow(ctx context.Context, groups []string) error

	// Publish sends an event to the other processes. A payload the broker
	// cannot write is an error; a channel that has no room is ErrChannelFull.
	Publish(ctx context.Context, d Delivery) error
}

// Queuer is a Broker that also carries channels that belong to no process:
// names without an exclamation mark, such as those of background work. Whoever
// receives first, in any process, gets the event.
type Queuer interface {
	// Receive takes the oldest event of such a channel, waiting until ctx ends.
	// Layer.Send to one comes to Publish.
	Receive(ctx context.Context, channel string) (Event, error)
}

// Enroller is a Broker that also keeps members of groups that are not of this
// process: channels of other processes, and those of no process.
type Enroller interface {
	GroupAdd(ctx context.Context, group, channel string) error
	GroupDiscard(ctx context.Context, group, channel string) error
}

// Node is what a Broker is told of the process it works for, by its Layer. Its
// functions may be called by any goroutine.
type Node struct {
	// Process is in the names of this process's channels, as what stands between
	// the last period before the exclamation mark and that: 32 hexadecimal digits.
	Process string

	Capacity    func(channel string) int // events that may wait in a channel
	Expiry      time.Duration            // age at which a waiting event is dropped
	GroupExpiry time.Duration            // how long a membership lives without being renewed

	// Deliver hands over what another process sent. It may wait, to slow the
	// broker down, and its error says what was not delivered; the broker need not
	// care, it has been counted.
	Deliver func(ctx context.Context, d Delivery) error

	// Gap tells that events of some groups may have been lost, after the
	// connection that carries them was lost and is back, for example; no groups
	// stands for all.
	Gap func(groups ...string)

	// Dropped counts events that came and could not be understood, or that were
	// dropped by the broker.
	Dropped func(cause string, n int)

	Logger *slog.Logger
}

// Delivery is an event between processes, with where it is going: the members
// of a group, or channels, or both; who is among both gets it once.
type Delivery struct {
	Group    string
	Channels []string
	Event    Event
}

// brokerTimeout bounds a broker's call that nobody's context bounds.
const brokerTimeout = 10 * time.Second

// deliver takes what another process has sent.
func (l *Layer) deliver(ctx context.Context, d Delivery) error {
	if d.Group == "" && len(d.Channels) == 0 {
		return fmt.Errorf("%w: a delivery needs a group or a channel", ErrBadName)
	}
	var err error
	if g := l.group(d.Group); g != nil {
		err = g.send(ctx, d.Event)
	}
	for _, channel := range d.Channels {
		err = errors.Join(err, l.sendHere(channel, d.Event))
	}
	return err
}

func (l *Layer) publish(ctx context.Context, d Delivery, err error) error {
	if e := l.interest.broker.Publish(ctx, d); e != nil {
		err = errors.Join(err, fmt.Errorf("channels: publish to other processes: %w", e))
	}
	return err
}

// elsewhere tells whether a channel belongs to another process.
func (l *Layer) elsewhere(channel string) bool {
	owner, _, owned := strings.Cut(channel, "!")
	return owned && l.interest != nil && !strings.HasSuffix(owner, "."+l.process)
}

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
