package brokertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/teahouse-chat/teahouse/channels"
)

// hubBacklog is how many events of groups may wait for a process.
const hubBacklog = 4096

// Hub joins the layers of one process as if they were in several: the reference
// of the contract, and a broker for tests of programs that need one. Its zero
// value is ready.
//
// Each of its brokers keeps the order of everything published to the hub. Who
// is slow to take events gets at most 4096 of groups; what is above is dropped,
// counted as "full" and told as a gap.
type Hub struct {
	// guarded by mu
	mu      sync.Mutex
	brokers []*hubBroker
	members map[string][]string         // by group, those of Enroller
	queues  map[string][]channels.Event // of channels of no process
	arrived chan struct{}               // closed when a queue has grown
}

// Broker returns the broker of one more process: a Queuer, an Enroller and an
// [io.Closer], to be closed after its layer.
func (h *Hub) Broker() channels.Broker {
	return &hubBroker{hub: h, follows: make(map[string]bool), wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Cut loses what is on its way to all processes, as a broken connection does,
// and tells them of the gap.
func (h *Hub) Cut() {
	h.mu.Lock()
	brokers := slices.Clone(h.brokers)
	for _, b := range brokers {
		b.inbox = nil
	}
	h.mu.Unlock()
	for _, b := range brokers {
		b.node.Gap()
	}
}

// hubBroker is one process's end of a Hub.
type hubBroker struct {
	// fixed
	hub  *Hub
	node channels.Node
	stop context.CancelFunc
	wake chan struct{} // holds a value while there is something to deliver
	done chan struct{} // closed when the goroutine has ended

	// guarded by hub.mu
	follows map[string]bool
	inbox   []channels.Delivery
	closed  bool
}

func (b *hubBroker) Start(n channels.Node) {
	ctx, stop := context.WithCancel(context.Background())
	b.node, b.stop = n, stop
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	b.hub.brokers = append(b.hub.brokers, b)
	go b.run(ctx)
}

// Close ends the broker and waits until its last delivery is over.
func (b *hubBroker) Close() error {
	if b.stop == nil {
		return nil // it was never started
	}
	b.hub.mu.Lock()
	b.closed = true
	b.hub.brokers = slices.DeleteFunc(b.hub.brokers, func(o *hubBroker) bool { return o == b })
	b.hub.mu.Unlock()
	b.stop()
	<-b.done
	return nil
}

// run delivers, until ctx ends.
func (b *hubBroker) run(ctx context.Context) {
	defer close(b.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		for ctx.Err() == nil {
			d, ok := b.next()
			if !ok {
				break
			}
			_ = b.node.Deliver(ctx, d) // it has been counted
		}
	}
}

func (b *hubBroker) next() (channels.Delivery, bool) {
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	if len(b.inbox) == 0 {
		return channels.Delivery{}, false
	}
	d := b.inbox[0]
	b.inbox = b.inbox[1:]
	return d, true
}

func (b *hubBroker) Follow(ctx context.Context, groups []string) error {
	return b.change(ctx, func() {
		for _, g := range groups {
			b.follows[g] = true
		}
	})
}

func (b *hubBroker) Unfollow(ctx context.Context, groups []string) error {
	return b.change(ctx, func() {
		for _, g := range groups {
			delete(b.follows, g)
		}
	})
}

// change does something under the hub's lock.
func (b *hubBroker) change(ctx context.Context, f func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.hub.mu.Lock()
	defer b.hub.mu.Unlock()
	if b.closed {
		return channels.ErrClosed
	}
	f()
	return nil
}

func (b *hubBroker) Publish(ctx context.Context, d channels.Delivery) error {
	m, err := d.Event.Map()
	if err == nil {
		err = carriable(m)
	}
	if err != nil {
		return err
	}
	var full error
	var behind []*hubBroker
	err = b.change(ctx, func() {
		names := slices.Clone(d.Channels)
		for _, member := range b.hub.members[d.Group] {
			if !slices.Contains(names, member) {
				names = append(names, member)
			}
		}
		for _, name := range names {
			if !strings.Contains(name, "!") {
				full = errors.Join(full, b.hub.queue(name, m, b.node.Capacity(name)))
			}
		}
		for _, to := range b.hub.brokers {
			if to == b {
				continue
			}
			err, late := to.put(d.Group, names, m)
			full = errors.Join(full, err)
			if late {
				behind = append(behind, to)
			}
		}
	})
	for _, to := range behind {
		to.node.Dropped("full", 1)
		to.node.Gap(d.Group)
	}
	return errors.Join(err, full)
}

// put gives an event to one process, if it is among the receivers. An event of
// a group for which there is no room is late.
func (b *hubBroker) put(group string, names []string, m map[string]any) (full error, late bool) {
	d := channels.Delivery{}
	if b.follows[group] {
		d.Group = group
	}
	for _, name := range names {
		owner, _, owned := strings.Cut(name, "!")
		if !owned || !strings.HasSuffix(owner, "."+b.node.Process) {
			continue
		}
		if len(b.inbox) >= b.node.Capacity(name) {
			full = errors.Join(full, fmt.Errorf("%w: %.128q", channels.ErrChannelFull, name))
			continue
		}
		d.Channels = append(d.Channels, name)
	}
	switch {
	case d.Group == "" && len(d.Channels) == 0:
		return full, false
	case len(b.inbox) >= hubBacklog:
		return full, true
	}
	d.Event, _ = channels.EventFromMap(maps.Clone(m)) // Map made it
	b.inbox = append(b.inbox, d)
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return full, false
}

// queue puts an event into a channel of no process.
func (h *Hub) queue(channel string, m map[string]any, capacity int) error {
	if len(h.queues[channel]) >= capacity {
		return fmt.Errorf("%w: %.128q", channels.ErrChannelFull, channel)
	}
	e, err := channels.EventFromMap(maps.Clone(m))
	if err != nil {
		return err
	}
	if h.queues == nil {
		h.queues = make(map[string][]channels.Event)
	}
	h.queues[channel] = append(h.queues[channel], e)
	if h.arrived != nil {
		close(h.arrived)
		h.arrived = nil
	}
	return nil
}

func (b *hubBroker) Receive(ctx context.Context, channel string) (channels.Event, error) {
	for {
		var e channels.Event
		var found bool
		var arrived chan struct{}
		err := b.change(ctx, func() {
			if waiting := b.hub.queues[channel]; len(waiting) > 0 {
				e, found = waiting[0], true
				b.hub.queues[channel] = waiting[1:]
				return
			}
			if b.hub.arrived == nil {
				b.hub.arrived = make(chan struct{})
			}
			arrived = b.hub.arrived
		})
		if err != nil || found {
			return e, err
		}
		select {
		case <-ctx.Done():
			return e, ctx.Err()
		case <-arrived:
		}
	}
}

func (b *hubBroker) GroupAdd(ctx context.Context, group, channel string) error {
	return b.change(ctx, func() {
		if b.hub.members == nil {
			b.hub.members = make(map[string][]string)
		}
		if !slices.Contains(b.hub.members[group], channel) {
			b.hub.members[group] = append(b.hub.members[group], channel)
		}
	})
}

func (b *hubBroker) GroupDiscard(ctx context.Context, group, channel string) error {
	return b.change(ctx, func() {
		left := slices.DeleteFunc(b.hub.members[group], func(name string) bool { return name == channel })
		b.hub.members[group] = left
		if len(left) == 0 {
			delete(b.hub.members, group)
		}
	})
}

// carriable says whether any broker could carry an event.
func carriable(m map[string]any) error {
	n, err := size(m, 0)
	if err == nil && n > channels.MaxEvent {
		err = fmt.Errorf("%w: an event of about %d bytes", channels.ErrTooLarge, n)
	}
	return err
}

// maxDepth bounds lists and maps within each other.
const maxDepth = 64

// size is about what a value takes when encoded.
func size(v any, depth int) (int, error) {
	if depth > maxDepth {
		return 0, errors.New("brokertest: a payload with lists or maps too deep in each other")
	}
	sum := 1
	switch v := v.(type) {
	case nil, bool:
	case float32, float64, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		sum = 9
	case string:
		sum += len(v)
	case []byte:
		sum += len(v)
	case []any:
		for _, e := range v {
			n, err := size(e, depth+1)
			if err != nil {
				return 0, err
			}
			sum += n
		}
	case map[string]any:
		for k, e := range v {
			n, err := size(e, depth+1)
			if err != nil {
				return 0, err
			}
			sum += 1 + len(k) + n
		}
	default:
		return 0, fmt.Errorf("brokertest: no broker can carry a %T", v)
	}
	return sum, nil
}
