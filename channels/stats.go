package channels

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// loss is a reason why an event did not reach somebody it was meant for.
type loss string

// The causes of losses. Each is a field of Stats.
const (
	lossFull       loss = "full"       // a channel or a connection's Event had Capacity events waiting, or all channels 64 MiB of other processes'
	lossExpired    loss = "expired"    // nobody received it in time
	lossUnhandled  loss = "unhandled"  // its type has neither a renderer nor a handler
	lossUnrendered loss = "unrendered" // the renderer failed
	lossSlow       loss = "slow"       // the connection was cut, for its client did not keep up
	lossIllegal    loss = "illegal"    // another process sent a type that is not for events
)

// Stats is what a layer has at the moment, and what it has done since it began.
type Stats struct {
	// now
	Groups   int   // with members in this process
	Members  int   // memberships, of connections and channels
	Channels int   // with something in them, and connections that know their name
	Backlog  int64 // bytes waiting for slow clients of its endpoints

	// since the beginning
	Sent      uint64 // events sent by this process, to groups and channels
	Rounds    uint64 // of the parts of groups
	Writes    uint64 // to members, each of one run of frames
	Delivered uint64 // events, once for each member, as given to its connection or channel

	// lost since the beginning: events for one receiver; for Unrendered one
	// endpoint, for Slow one connection with all that waited for it
	Full       uint64
	Expired    uint64
	Unhandled  uint64
	Unrendered uint64
	Slow       uint64
	Shed       uint64 // of Slow: cut because LayerOptions.Backlog was passed
	Illegal    uint64 // from other processes, of a type such as websocket.receive or _private

	Dropped map[string]uint64 // between processes: "unpublished" here, others by the causes of the broker
	Gaps    uint64            // times that an unknown number of events may have been lost on the way here
}

// counters are Stats while they grow.
type counters struct {
	members                                       atomic.Int64
	sent, rounds, writes, delivered               atomic.Uint64
	full, expired, unhandled, unrendered, slowest atomic.Uint64
	illegal, gaps                                 atomic.Uint64

	// guarded by mu
	mu      sync.Mutex
	dropped map[string]uint64
	logged  map[string]time.Time
}

// Stats counts. It takes the locks of the registry, so call it now and then.
func (l *Layer) Stats() Stats {
	l.mu.RLock()
	groups := len(l.groups)
	l.mu.RUnlock()
	l.post.mu.Lock()
	channels := len(l.post.boxes) + len(l.post.conns)
	l.post.mu.Unlock()
	n := &l.count
	n.mu.Lock()
	dropped := maps.Clone(n.dropped)
	n.mu.Unlock()
	return Stats{
		Groups: groups, Members: int(n.members.Load()), Channels: channels,
		Backlog: l.budget.Waiting(), Shed: l.budget.Shed(),
		Sent: n.sent.Load(), Rounds: n.rounds.Load(), Writes: n.writes.Load(), Delivered: n.delivered.Load(),
		Full: n.full.Load(), Expired: n.expired.Load(), Unhandled: n.unhandled.Load(),
		Unrendered: n.unrendered.Load(), Slow: n.slowest.Load(), Illegal: n.illegal.Load(),
		Dropped: dropped, Gaps: n.gaps.Load(),
	}
}

// logEvery bounds the log lines about losses of one cause.
const logEvery = 10 * time.Second

// lost counts events that did not reach somebody, and says so in the log.
func (l *Layer) lost(cause loss, n int) { l.lose(cause, n, "") }

// unhandled is lost for an event of a type that nothing handles, which the log
// names.
func (l *Layer) unhandled(e Event) { l.lose(lossUnhandled, 1, e.Type) }

// lose is lost, with the type of one of the events if that is of interest.
func (l *Layer) lose(cause loss, n int, typ string) {
	c := &l.count
	counter := map[loss]*atomic.Uint64{
		lossFull: &c.full, lossExpired: &c.expired, lossUnhandled: &c.unhandled,
		lossUnrendered: &c.unrendered, lossSlow: &c.slowest, lossIllegal: &c.illegal,
	}[cause]
	total := counter.Add(uint64(n))
	c.mu.Lock()
	tell := c.tell(string(cause))
	c.mu.Unlock()
	if tell {
		args := []any{"cause", string(cause), "total", total}
		if typ != "" {
			args = append(args, "type", typ[:min(len(typ), 64)])
		}
		l.log.Warn("channels: events lost", args...)
	}
}

// dropped is lost for events the broker dropped.
func (l *Layer) dropped(cause string, n int) { l.drop(cause, n, nil) }

// drop is dropped, with the reason of one of them if it is known.
func (l *Layer) drop(cause string, n int, why error) {
	c := &l.count
	c.mu.Lock()
	if c.dropped == nil {
		c.dropped = make(map[string]uint64)
	}
	c.dropped[cause] += uint64(n)
	total, tell := c.dropped[cause], c.tell("broker: "+cause)
	c.mu.Unlock()
	if tell {
		args := []any{"cause", cause, "total", total}
		if why != nil {
			args = append(args, "err", why)
		}
		l.log.Warn("channels: events dropped by the broker", args...)
	}
}

// tell tells whether it is time for another log line about a cause. The caller
// holds mu.
func (c *counters) tell(cause string) bool {
	now := time.Now()
	if last, before := c.logged[cause]; before && now.Sub(last) < logEvery {
		return false
	}
	if c.logged == nil {
		c.logged = make(map[string]time.Time)
	}
	c.logged[cause] = now
	return true
}
