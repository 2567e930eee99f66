package live

import (
	"context"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	relayLanes    = 4
	eventCost     = 512         // bytes an event counts as, beside its text
	followWithin  = time.Second // a join waits so long for other processes
	relayLogEvery = 10 * time.Second
)

// Relay is the broker of a chat: another one, for which nobody waits long.
// The log's writer tells a message to this process and goes on, whatever becomes
// of the others.
//
// What is published waits in one of a few lanes, so that a group's events stay
// in order, and goes to the broker in the background. A lane is bounded: beyond
// that, and when the broker fails, events are dropped and counted; and so are
// messages that have become old in it, for they hold up what no log has. Payloads
// that no broker can carry are for this process alone.
//
// Groups are followed in the background too: who joins waits a second for that,
// and not at all while the broker is behind. What it then followed late is told
// as a gap.
//
// It carries groups and channels of this process, and is neither a
// channels.Queuer nor a channels.Enroller.
type Relay struct {
	// fixed
	broker channels.Broker
	shared bool
	log    *slog.Logger
	seed   maphash.Seed
	ctx    context.Context // of calls to the broker
	cancel context.CancelFunc

	node    channels.Node         // fixed by Start
	tails   atomic.Pointer[tails] // set once, by New; nil: no messages of other servers are expected
	follows follows
	lanes   [relayLanes]lane
	publish func(context.Context, channels.Delivery) (end func() error) // to the broker
	runners sync.WaitGroup

	sent, received, dropped, failed atomic.Uint64

	waiting atomic.Int64

	// guarded by mu
	mu     sync.Mutex
	closed bool
	logged time.Time
}

// RelayOptions of a Relay. All but Shared are needed.
type RelayOptions struct {
	Broker channels.Broker // to be closed after the Relay
	Shared bool            // other processes have the same log; if not, what is about rooms stays here
	Logger *slog.Logger
}

// NewRelay makes a broker before another one.
func NewRelay(o RelayOptions) *Relay {
	r := &Relay{broker: o.Broker, shared: o.Shared, log: o.Logger, seed: maphash.MakeSeed()}
	r.publish = publishing(o.Broker)
	r.follows.has, r.follows.changed = make(map[string]bool), make(map[string]bool)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Start implements channels.Broker.
func (r *Relay) Start(n channels.Node) {
	r.node = n
	n.Deliver, n.Gap = r.deliver, r.gap
	r.broker.Start(n)
}

// local hands an event to the members in this process.
func (r *Relay) local(ctx context.Context, d channels.Delivery) error { return r.node.Deliver(ctx, d) }

// deliver takes what another process has sent. Messages go to the tail of their
// room, and from there to the members. Nothing else in a room has a position,
// whatever its sender says: the layer goes by them when it lets a join go on.
func (r *Relay) deliver(ctx context.Context, d channels.Delivery) error {
	r.received.Add(1)
	if strings.HasPrefix(d.Group, groupPrefix) {
		if t := r.tails.Load(); t != nil && d.Event.Type == eventMessage {
			return t.receive(d.Group, d.Event)
		}
		d.Event.Seq = 0
	}
	return r.local(ctx, d)
}

// gap tells that events of other processes may have been lost.
func (r *Relay) gap(groups ...string) {
	if t := r.tails.Load(); t != nil {
		t.gap(groups...)
	}
	r.node.Gap(groups...)
}

// Publish implements channels.Broker. It does not wait, and its only errors are
// those of events to channels, which it passes on.
func (r *Relay) Publish(ctx context.Context, d channels.Delivery) error {
	switch d.Event.Payload.(type) {
	case channels.Portable, map[string]any:
	default:
		return nil
	}
	switch {
	case d.Group == "":
		return r.broker.Publish(ctx, d)
	case !r.outside(d.Group):
		return nil
	}
	l := &r.lanes[maphash.String(r.seed, d.Group)%relayLanes]
	l.mu.Lock()
	defer l.mu.Unlock()
	cost := costOf(d.Event)
	if l.bytes+cost > laneBytes {
		r.lose(&r.dropped, "too much waits for it", nil)
		return nil
	}
	if !l.running {
		if !r.begin(func() { r.carry(l) }) {
			r.lose(&r.dropped, "the server stops", nil)
			return nil
		}
		l.running = true
	}
	l.queue = append(l.queue, queued{Delivery: d, at: time.Now()})
	l.bytes += cost
	r.waiting.Add(1)
	return nil
}

// outside tells whether other processes may be in a group.
func (r *Relay) outside(group string) bool { return r.shared || !strings.HasPrefix(group, groupPrefix) }

// costOf is what an event counts as while it waits. The texts are what is long.
func costOf(e channels.Event) int {
	n := eventCost
	switch p := e.Payload.(type) {
	case shared:
		if m, ok := p.frame.(wire.MessageFrame); ok {
			n += len(m.Text)
		}
	case sealed:
		n += len(p.frame.Text)
	case opened:
		n += len(p.text) + len(p.frame.Text)
	case carried:
		n += len(p.text)
	case map[string]any:
		for _, v := range p {
			text, _ := v.(string)
			n += len(text)
		}
	}
	return n
}

// begin runs f, unless the relay is closed.
func (r *Relay) begin(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.runners.Go(f)
	return true
}

// lose counts an event that other processes do not get, and says so now and then.
func (r *Relay) lose(counter *atomic.Uint64, why string, err error) {
	counter.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.logged) >= relayLogEvery {
		r.logged = now
		r.log.Warn("events did not reach the layer's broker: people on this server have got them",
			"why", why, "err", err, "dropped", r.dropped.Load(), "failed", r.failed.Load())
	}
}

// Close gives the broker what waits, until ctx ends; the rest is dropped.
func (r *Relay) Close(ctx context.Context) {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	defer context.AfterFunc(ctx, r.cancel)()
	r.runners.Wait()
	r.cancel()
}

// RelayStats are the events to groups that go between processes.
type RelayStats struct {
	Waiting int64 // for the broker, now

	// since the start
	Sent     uint64 // to the broker
	Received uint64 // from other processes
	Dropped  uint64 // because too much waited for the broker, or messages for too long
	Failed   uint64 // because the broker did not take them
}

// Stats counts.
func (r *Relay) Stats() RelayStats {
	return RelayStats{
		Waiting: r.waiting.Load(), Sent: r.sent.Load(), Received: r.received.Load(),
		Dropped: r.dropped.Load(), Failed: r.failed.Load(),
	}
}
