package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/internal/inbox"
)

// subscribeBatch bounds the Redis channels in one command, so that Redis, which
// does one thing at a time, is never busy for long.
const subscribeBatch = 256

// feed is what comes from one host. It keeps the subscriptions of a connection
// of its own equal to what is wanted, through all connections it will have.
type feed struct {
	// fixed
	broker *PubSub
	conn   *conn
	wake   chan struct{} // holds 1: what is wanted has changed
	tried  chan struct{} // closed by run when it listens, or could not connect, for the first time
	inbox  *inbox.Inbox[arrival]

	// guarded by mu
	mu      sync.Mutex
	want    map[string]*listener // by Redis channel
	changed map[string]bool      // Redis channels whose listener came or went, and whether they are subscribed to
	waiting []chan struct{}      // closed when the changes so far are made, or cannot be made now
	missed  map[string]bool      // groups that may have lost events, to be told when all is well again
	down    bool                 // the last attempt to connect failed
	closed  bool

	// owned by run
	have map[string]bool // Redis channels subscribed to
}

// listener is who wants what comes on a Redis channel: groups, usually one, or
// those that receive from a channel of no process.
type listener struct {
	groups []string // replaced, never changed
	box    *box
}

// arrival is a message that has come.
type arrival struct {
	topic  string // Redis channel
	body   []byte
	direct bool // to a channel of this process, whose name is topic
}

// Weight is its size in the inbox.
func (a arrival) Weight() int { return len(a.topic) + len(a.body) }

func newFeed(p *PubSub, c *conn) *feed {
	return &feed{
		broker: p, conn: c,
		wake:    make(chan struct{}, 1),
		tried:   make(chan struct{}),
		inbox:   inbox.New[arrival](),
		want:    make(map[string]*listener),
		changed: make(map[string]bool),
		missed:  make(map[string]bool),
		have:    make(map[string]bool),
	}
}

// follow subscribes to groups, which are on this host.
func (f *feed) follow(ctx context.Context, groups []string) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return errClosed
	}
	for _, g := range groups {
		l := f.listen(f.broker.topic(g))
		l.groups = append(slices.Clone(l.groups), g)
		if f.down {
			f.missed[g] = true
		}
	}
	done := f.change()
	f.mu.Unlock()
	return settled(ctx, done)
}

// unfollow gives what is closed when Redis has unsubscribed.
func (f *feed) unfollow(groups []string) (done <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range groups {
		topic := f.broker.topic(g)
		delete(f.missed, g)
		if l := f.want[topic]; l != nil {
			l.groups = slices.DeleteFunc(slices.Clone(l.groups), func(other string) bool { return other == g })
			f.unlisten(topic, l)
		}
	}
	return f.change()
}

// change has run make the changes so far. The result is closed when that is
// done; it is nil when that cannot be now. The caller holds mu.
func (f *feed) change() <-chan struct{} {
	f.poke()
	if f.down {
		return nil
	}
	done := make(chan struct{})
	f.waiting = append(f.waiting, done)
	return done
}

// settled waits for done, if there is something to wait for.
func settled(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen is the listener of a Redis channel. The caller holds mu, and pokes.
func (f *feed) listen(topic string) *listener {
	l := f.want[topic]
	if l == nil {
		l = &listener{}
		f.want[topic] = l
		if _, before := f.changed[topic]; !before {
			f.changed[topic] = false
		}
	}
	return l
}

// unlisten forgets a listener that nobody needs, and all about it if it never was
// subscribed to: clients choose names, and the host may be away for long. The
// caller holds mu, and pokes.
func (f *feed) unlisten(topic string, l *listener) {
	if len(l.groups) > 0 || l.box != nil || f.want[topic] != l {
		return
	}
	delete(f.want, topic)
	if subscribed, before := f.changed[topic]; before && !subscribed {
		delete(f.changed, topic)
		return
	}
	f.changed[topic] = true
}

func (f *feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run connects, as often as it takes, until ctx ends.
func (f *feed) run(ctx context.Context) {
	failures := 0
	first := sync.OnceFunc(func() { close(f.tried) })
	for ctx.Err() == nil {
		worked, err := f.session(ctx, first)
		f.lose()
		first()
		if failures++; worked {
			failures = 1
		}
		if ctx.Err() == nil {
			f.conn.down(err)
			_ = pause(ctx, failures) // ends early with ctx
		}
	}
}

// session is one connection. It calls listening when it does, and worked tells
// whether it came to that.
func (f *feed) session(ctx context.Context, listening func()) (worked bool, err error) {
	l, err := f.conn.connect(ctx)
	if err != nil {
		return false, err
	}
	s := newStream(f, l)
	var reading sync.WaitGroup
	reading.Go(s.read)
	defer reading.Wait() // nothing is read any more, which the next connection would bring again
	defer l.close()
	pattern := "*." + f.broker.node.Process + "!*"
	if err := s.change(ctx, "PSUBSCRIBE", pattern); err != nil {
		return false, fmt.Errorf("subscribe: %w", err)
	}
	quiet := time.NewTicker(pingAfter)
	defer quiet.Stop()
	for {
		if err := f.subscribe(ctx, s); err != nil {
			return worked, fmt.Errorf("subscribe: %w", err)
		}
		if !worked {
			worked = true
			f.restore()
			listening()
		}
		select {
		case <-f.wake:
		case <-quiet.C:
			if err := l.send(command{"PING"}); err != nil {
				return true, err
			}
		case <-s.gone:
			return true, s.err
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

// subscribe makes the subscriptions what is wanted.
func (f *feed) subscribe(ctx context.Context, s *stream) error {
	f.mu.Lock()
	changed, waiting := f.changed, f.waiting
	f.changed, f.waiting = make(map[string]bool), nil
	var begin, end []string
	for topic := range changed {
		switch _, wanted := f.want[topic]; {
		case wanted && !f.have[topic]:
			begin = append(begin, topic)
		case !wanted && f.have[topic]:
			end = append(end, topic)
		}
	}
	f.mu.Unlock()
	defer func() {
		for _, done := range waiting {
			close(done)
		}
	}()
	for some := range slices.Chunk(begin, subscribeBatch) {
		if err := s.change(ctx, "SUBSCRIBE", some...); err != nil {
			return err
		}
		for _, topic := range some {
			f.have[topic] = true
		}
	}
	for some := range slices.Chunk(end, subscribeBatch) {
		if err := s.change(ctx, "UNSUBSCRIBE", some...); err != nil {
			return err
		}
		for _, topic := range some {
			delete(f.have, topic)
		}
	}
	return nil
}

// restore notes that all that is wanted is subscribed to.
func (f *feed) restore() {
	f.conn.up()
	f.mu.Lock()
	f.down = false
	missed := slices.Sorted(maps.Keys(f.missed))
	clear(f.missed)
	f.mu.Unlock()
	if len(missed) > 0 {
		f.inbox.Gap(missed...)
	}
}

// lose notes that nothing is subscribed to.
func (f *feed) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = true
	clear(f.have)
	clear(f.changed)
	for topic, l := range f.want {
		f.changed[topic] = false
		for _, g := range l.groups {
			f.missed[g] = true
		}
	}
	for _, done := range f.waiting {
		close(done)
	}
	f.waiting = nil
}

// groups are those of a Redis channel.
func (f *feed) groups(topic string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.want[topic]; l != nil {
		return l.groups
	}
	return nil
}

// deliver hands over what has arrived, in order, until ctx ends.
func (f *feed) deliver(ctx context.Context) {
	if f.broker.begun(ctx) != nil {
		return
	}
	for {
		batch := f.inbox.Take(ctx)
		if ctx.Err() != nil {
			return
		}
		for _, a := range batch.Arrived {
			f.hand(ctx, a)
			f.inbox.Release(a)
		}
		if len(batch.Gaps) > 0 {
			f.broker.node.Gap(batch.Gaps...)
		}
	}
}

// hand decodes a message and gives it to whom it is for.
func (f *feed) hand(ctx context.Context, a arrival) {
	node := f.broker.node
	var box *box
	var groups []string
	if !a.direct {
		f.mu.Lock()
		if l := f.want[a.topic]; l != nil {
			box, groups = l.box, l.groups
		}
		f.mu.Unlock()
		if box == nil && len(groups) == 0 {
			return // unsubscribed meanwhile
		}
	}
	m, err := f.broker.codec.decode(a.body)
	var e channels.Event
	if err == nil {
		e, err = incoming(m)
	}
	if err != nil {
		node.Dropped("malformed", 1)
		f.conn.ignored(fmt.Errorf("%s: %w", a.topic, err))
		return
	}
	if a.direct {
		_ = node.Deliver(ctx, channels.Delivery{Channels: []string{a.topic}, Event: e}) // counted by the layer
	}
	for _, g := range groups {
		_ = node.Deliver(ctx, channels.Delivery{Group: g, Event: e}) // counted by the layer
	}
	if box != nil && !box.put(e) {
		node.Dropped("full", 1)
	}
}

// close ends what waits; run and deliver end by their context.
func (f *feed) close() {
	f.mu.Lock()
	f.closed = true
	for _, l := range f.want {
		if l.box != nil {
			l.box.idle.Stop()
		}
	}
	f.mu.Unlock()
	f.conn.close()
}
