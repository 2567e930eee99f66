package channels

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// LayerOptions are the limits of a layer. Zero fields stand for the values in
// brackets; they are those of Django Channels.
type LayerOptions struct {
	Capacity    int           // events waiting in one channel, or for one connection's Event [100]
	Capacities  []Capacity    // the same for channels of some names: the first that matches
	Expiry      time.Duration // age at which an event nobody received is dropped [60s]
	GroupExpiry time.Duration // since its last GroupAdd, after which a channel leaves a group [24h]; connections stay
	Backlog     int64         // bytes waiting for slow clients of all its endpoints together [256 MiB]; above, the worst: CloseTooSlow
	Broker      Broker        // nil: the layer is this process alone

	// Gap is told when events of other processes to some groups, or without
	// groups to all, may have been lost, before any GapHandler is. The broker
	// waits for it.
	Gap func(groups []string)

	Logger *slog.Logger // for drops and gaps, at most one line in 10 s for each cause [slog.Default()]
}

// Layer carries events: to one channel by its name, and to all members of a
// group. A channel is a queue that somebody receives from, or a connection. Its
// methods may be called by any goroutine.
//
// Groups and channels need no creating: they exist from the first member, event
// or receiver to the last, and cost nothing afterwards.
type Layer struct {
	// fixed
	capacity    int
	capacities  []Capacity
	expiry      time.Duration
	groupExpiry time.Duration
	log         *slog.Logger
	budget      *websocket.Budget // of its endpoints' backlogs
	sender      *websocket.Sender // of the rounds
	process     string            // in the names of this process's channels, random
	interest    *interest         // nil without a broker
	queuer      Queuer            // the broker, or nil
	enroller    Enroller          // the broker, or nil
	onGap       func(groups []string)

	count   counters
	runners sync.WaitGroup // rounds in progress

	// guarded by mu
	mu     sync.RWMutex
	groups map[string]*group
	closed bool

	post post // channels
}

// NewLayer returns a layer; nil options are the defaults. A process usually has
// one, shared by its endpoints.
func NewLayer(o *LayerOptions) *Layer {
	if o == nil {
		o = &LayerOptions{}
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	l := &Layer{
		capacity:    cmp.Or(o.Capacity, 100),
		capacities:  slices.Clone(o.Capacities),
		onGap:       o.Gap,
		expiry:      cmp.Or(o.Expiry, time.Minute),
		groupExpiry: cmp.Or(o.GroupExpiry, 24*time.Hour),
		log:         o.Logger,
		budget:      websocket.NewBudget(o.Backlog),
		sender:      websocket.NewSender(),
		process:     hex.EncodeToString(id[:]),
		groups:      make(map[string]*group),
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	l.post.init()
	if o.Broker != nil {
		l.interest = newInterest(l, o.Broker)
		l.queuer, _ = o.Broker.(Queuer)
		l.enroller, _ = o.Broker.(Enroller)
		o.Broker.Start(Node{
			Process:     l.process,
			Capacity:    l.capacityOf,
			Expiry:      l.expiry,
			GroupExpiry: l.groupExpiry,
			Deliver:     l.deliver,
			Gap:         l.gapped,
			Dropped:     l.dropped,
			Logger:      l.log,
		})
	}
	return l
}

// NewChannel returns a name that no other channel has, in any process: prefix
// ("specific" when empty), this process's random id, an exclamation mark and a
// random part. The channel exists as soon as the name is used.
func (l *Layer) NewChannel(prefix string) string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return cmp.Or(prefix, "specific") + "." + l.process + "!" + hex.EncodeToString(id[:])
}

// GroupAdd makes a channel a member of a group, or renews its membership. The
// name of a connection (Conn.ChannelName) makes that connection join. A channel
// of another process, or of none, is for a broker that is an Enroller; with
// another it is errors.ErrUnsupported.
func (l *Layer) GroupAdd(ctx context.Context, group, channel string) error {
	if err := checkName("channel", channel); err != nil {
		return err
	}
	if c := l.post.conn(channel); c != nil {
		return c.GroupAdd(ctx, group)
	}
	if err := checkName("group", group); err != nil {
		return err
	}
	if l.elsewhere(channel) {
		return l.enroll(channel, func(e Enroller) error { return e.GroupAdd(ctx, group, channel) })
	}
	if err := l.addBox(group, channel); err != nil {
		return err
	}
	return l.settled(ctx, group)
}

// GroupDiscard ends a channel's membership. When it returns, what was sent to
// the group before is in the channel, and nothing else will be.
func (l *Layer) GroupDiscard(ctx context.Context, group, channel string) error {
	if c := l.post.conn(channel); c != nil {
		return c.GroupDiscard(ctx, group)
	}
	if l.elsewhere(channel) {
		return l.enroll(channel, func(e Enroller) error { return e.GroupDiscard(ctx, group, channel) })
	}
	return wait(ctx, l.discardBox(group, channel))
}

// GroupSend sends an event to every member of a group. It returns when the
// event has its place in the order of the group, which is before it is written
// to anyone. A group nobody is in is no error.
//
// It waits only while the group has 4 MiB of events not yet written, and for the
// broker. An error says that some members will not get the event: those of an
// endpoint that failed to render it, or, if it is ErrUnpublished, those in other
// processes. A member that is full is no error: it is counted in Stats, and told
// if it is a consumer.
func (l *Layer) GroupSend(ctx context.Context, group string, e Event) error {
	if err := checkName("group", group); err != nil {
		return err
	}
	l.count.sent.Add(1)
	var err error
	if g := l.group(group); g != nil {
		err = g.send(ctx, e, nil)
	}
	if l.interest != nil {
		err = l.publish(ctx, Delivery{Group: group, Event: e}, err)
	}
	return err
}

// Flush empties the layer: all members leave all groups, and what waits in
// channels is dropped. What was sent to a group before has then been given to its
// members. Connections stay open.
func (l *Layer) Flush(ctx context.Context) error {
	l.mu.Lock()
	groups := l.groups
	l.groups = make(map[string]*group)
	l.mu.Unlock()
	var flushed sync.WaitGroup
	for _, g := range groups {
		g.flush(&flushed)
	}
	flushed.Wait() // rounds wait for nobody
	for name := range groups {
		if err := l.settled(ctx, name); err != nil {
			return err
		}
	}
	l.post.flush()
	return nil
}

// Close flushes the layer for good and waits for its goroutines. Shut the
// endpoints down first; joining a group afterwards is ErrClosed.
func (l *Layer) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	err := l.Flush(context.Background())
	if l.interest != nil {
		l.interest.close()
	}
	l.runners.Wait()
	l.sender.Close()
	return err
}

func (l *Layer) group(name string) *group {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.groups[name]
}

// join makes m a member of the group of that name.
func (l *Layer) join(name string, m *member, how itemKind) error {
	for {
		g := l.group(name)
		if g == nil {
			l.mu.Lock()
			if l.closed {
				l.mu.Unlock()
				return ErrClosed
			}
			if g = l.groups[name]; g == nil {
				g = &group{name: name, layer: l}
				l.groups[name] = g
			}
			l.mu.Unlock()
		}
		if g.join(m, how) {
			l.count.members.Add(1)
			return nil
		}
		l.forget(g) // it died, and its last member has not yet done so
	}
}

// forget takes a dead group out of the registry.
func (l *Layer) forget(g *group) {
	l.mu.Lock()
	mine := l.groups[g.name] == g
	if mine {
		delete(l.groups, g.name)
	}
	l.mu.Unlock()
	if mine && l.interest != nil {
		l.interest.look(g.name, nil)
	}
}

// wait waits for done, which is nil when there is nothing to wait for.
func wait(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
