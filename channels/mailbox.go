package channels

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// post is the channels of a layer. One lock is enough for all: a channel gets a
// few events a second, and what is done under the lock is a few instructions.
type post struct {
	// guarded by mu
	mu    sync.Mutex
	boxes map[string]*mailbox
	conns map[string]*Conn // by channel name, those that were asked for it
	sweep *time.Timer      // set while there are boxes

	// bytes, roughly, of what other processes sent to channels by their names,
	// and waits; at most maxForeign
	foreign int
}

// mailbox is one channel that is not a connection. Its fields are guarded by
// post.mu.
type mailbox struct {
	// fixed
	name     string
	layer    *Layer
	capacity int

	queue   []posted
	waiting []chan Event // receivers, of capacity 1; only while queue is empty
	groups  []boxMember

	// of a subscription
	kept   bool // until it is closed
	closed bool
	missed bool // events, since the receiver was last told
}

// missed is the payload of an event made here that tells a subscription that it
// missed some.
type missed struct{}

type posted struct {
	event  Event
	at     time.Time
	weight int // of post.foreign
}

type boxMember struct {
	member *member
	at     time.Time // of the last GroupAdd
}

func (p *post) init() {
	p.boxes = make(map[string]*mailbox)
	p.conns = make(map[string]*Conn)
}

// conn finds the connection of a name.
func (p *post) conn(name string) *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[name]
}

func (p *post) addConn(name string, c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[name] = c
}

func (p *post) dropConn(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, name)
}

// Send gives an event to one channel: to whoever receives from it or, for the
// name of a connection, to that consumer's Event. It never waits for them; a
// channel with Capacity events waiting is ErrChannelFull.
//
// A channel whose name belongs to another process is the broker's to reach, and
// so is one without an exclamation mark if the broker is a Queuer. What comes
// from other processes in this way is bounded once more: in all channels of a
// process 64 MiB of it wait at most, for names that nobody has can be made up.
func (l *Layer) Send(ctx context.Context, channel string, e Event) error {
	if err := checkName("channel", channel); err != nil {
		return err
	}
	l.count.sent.Add(1)
	if l.elsewhere(channel) {
		return l.publish(ctx, Delivery{Channels: []string{channel}, Event: e}, nil)
	}
	return l.sendHere(channel, e, 0)
}

// sendHere is Send in this process. The weight is that of an event which another
// process sent, and otherwise 0.
func (l *Layer) sendHere(channel string, e Event, weight int) error {
	if c := l.post.conn(channel); c != nil {
		if !c.push(e) {
			return fmt.Errorf("%w: %.64q", ErrChannelFull, channel)
		}
		return nil
	}
	l.post.mu.Lock()
	b := l.box(channel)
	ok := b.addForeign(e, weight)
	l.tidy(b)
	l.post.mu.Unlock()
	if !ok {
		l.lost(lossFull, 1)
		return fmt.Errorf("%w: %.64q", ErrChannelFull, channel)
	}
	return nil
}

// Receive takes the oldest event of a channel, waiting for one until ctx ends.
// Of several receivers each event reaches one. An event taken from the channel
// is always returned, also when ctx ends at that moment. A channel of another
// process is ErrBadName.
func (l *Layer) Receive(ctx context.Context, channel string) (Event, error) {
	if err := checkName("channel", channel); err != nil {
		return Event{}, err
	}
	if l.elsewhere(channel) {
		return l.receiveElsewhere(ctx, channel)
	}
	l.post.mu.Lock()
	b := l.box(channel)
	expired, leaving := b.expire(time.Now())
	if b.missed {
		b.missed = false
		l.post.mu.Unlock()
		l.expired(expired, leaving)
		return Event{Payload: missed{}}, nil
	}
	if len(b.queue) > 0 {
		e := b.queue[0].event
		b.shift(1)
		l.tidy(b)
		l.post.mu.Unlock()
		l.expired(expired, leaving)
		return e, nil
	}
	got := make(chan Event, 1)
	b.waiting = append(b.waiting, got)
	l.post.mu.Unlock()
	l.expired(expired, leaving)

	select {
	case e := <-got:
		return e, nil
	case <-ctx.Done():
	}
	l.post.mu.Lock()
	defer l.post.mu.Unlock()
	if i := slices.Index(b.waiting, got); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		l.tidy(b)
		return Event{}, ctx.Err()
	}
	return <-got, nil
}

// box finds or makes a channel. The caller holds post.mu and must leave the box
// with something in it, or tidy.
func (l *Layer) box(name string) *mailbox {
	b := l.post.boxes[name]
	if b == nil {
		b = &mailbox{name: name, layer: l, capacity: l.capacityOf(name)}
		l.post.boxes[name] = b
		if l.post.sweep == nil {
			l.post.sweep = time.AfterFunc(l.expiry, l.sweepBoxes)
		}
	}
	return b
}

// tidy forgets a channel that holds nothing. The caller holds post.mu.
func (l *Layer) tidy(b *mailbox) {
	if len(b.queue)+len(b.waiting)+len(b.groups) == 0 && !b.kept && l.post.boxes[b.name] == b {
		delete(l.post.boxes, b.name)
	}
}

// add queues an event or gives it to a receiver. The caller holds post.mu.
func (b *mailbox) add(e Event) bool { return b.addForeign(e, 0) }

// addForeign is add for an event of another process, of some weight. Anybody
// there can make up channels of this process, so it is all of them that are
// bounded.
func (b *mailbox) addForeign(e Event, weight int) bool {
	if len(b.waiting) > 0 {
		w := b.waiting[0]
		b.waiting = slices.Delete(b.waiting, 0, 1)
		w <- e
		b.layer.tidy(b)
		return true
	}
	p := &b.layer.post
	if len(b.queue) >= b.capacity || weight > 0 && p.foreign+weight > maxForeign {
		b.missed = b.kept
		return false
	}
	b.queue = append(b.queue, posted{e, time.Now(), weight})
	p.foreign += weight
	return true
}

// shift takes the n oldest events off the queue. The caller holds post.mu.
func (b *mailbox) shift(n int) {
	for i := range b.queue[:n] {
		b.layer.post.foreign -= b.queue[i].weight
		b.queue[i] = posted{}
	}
	b.queue = b.queue[n:]
}

// deliver takes an event of a group, in the part's round. It goes by the name:
// the channel may have been forgotten since it joined.
func (b *mailbox) deliver(e Event) {
	b.layer.post.mu.Lock()
	ok := b.closed || b.layer.box(b.name).add(e)
	b.layer.post.mu.Unlock()
	if !ok {
		b.layer.lost(lossFull, 1)
	}
}

// expire drops what is too old. An event nobody came for ends the channel's
// memberships as well: nobody is listening; a subscription is told instead. The
// caller holds post.mu, and calls expired with the results when it no longer does.
func (b *mailbox) expire(now time.Time) (dropped int, leaving []*member) {
	for dropped < len(b.queue) && now.Sub(b.queue[dropped].at) >= b.layer.expiry {
		dropped++
	}
	b.shift(dropped)
	if b.kept {
		b.missed = b.missed || dropped > 0
		return dropped, nil
	}
	b.groups = slices.DeleteFunc(b.groups, func(m boxMember) bool {
		old := dropped > 0 || now.Sub(m.at) >= b.layer.groupExpiry
		if old {
			leaving = append(leaving, m.member)
		}
		return old
	})
	return dropped, leaving
}

// expired finishes expire.
func (l *Layer) expired(dropped int, leaving []*member) {
	if dropped > 0 {
		l.lost(lossExpired, dropped)
	}
	for _, m := range leaving {
		m.group.leave(m)
	}
}

// sweepBoxes expires what no receiver looks at, again and again while there are
// channels.
func (l *Layer) sweepBoxes() {
	l.post.mu.Lock()
	now := time.Now()
	var dropped int
	var leaving []*member
	for _, b := range l.post.boxes {
		n, m := b.expire(now)
		dropped += n
		leaving = append(leaving, m...)
		l.tidy(b)
	}
	if len(l.post.boxes) > 0 {
		l.post.sweep.Reset(l.expiry)
	} else {
		l.post.sweep = nil
	}
	l.post.mu.Unlock()
	l.expired(dropped, leaving)
}

// addBox makes a channel a member of a group, or renews that.
func (l *Layer) addBox(group, channel string) error {
	l.post.mu.Lock()
	defer l.post.mu.Unlock()
	b := l.box(channel)
	for i := range b.groups {
		if m := b.groups[i].member; m.group.name == group && m.alive() {
			b.groups[i].at = time.Now()
			return nil
		}
	}
	m := &member{box: b}
	if err := l.join(group, m, itemJoin); err != nil {
		l.tidy(b)
		return err
	}
	b.groups = append(b.groups, boxMember{m, time.Now()})
	return nil
}

// discardBox ends a channel's membership; see group.leave for the result.
func (l *Layer) discardBox(group, channel string) <-chan struct{} {
	l.post.mu.Lock()
	defer l.post.mu.Unlock()
	b := l.post.boxes[channel]
	if b == nil {
		return nil
	}
	i := slices.IndexFunc(b.groups, func(g boxMember) bool { return g.member.group.name == group && g.member.alive() })
	if i < 0 {
		return nil
	}
	m := b.groups[i].member
	b.groups = slices.Delete(b.groups, i, i+1)
	l.tidy(b)
	return m.group.leave(m) // under mu: who is not listed has left
}

// flush drops everything but the receivers.
func (p *post) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.boxes {
		b.shift(len(b.queue))
		b.groups = nil
		b.layer.tidy(b)
	}
	if len(p.boxes) == 0 && p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
}
