package channels

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

const (
	partSize  = 512     // members from which on a group gets another part
	maxQueued = 4 << 20 // bytes of events waiting in a part before senders wait
	eventCost = 128     // bytes an event is counted as, beside its frame
)

// group is the members of one name in this process, dealt out to parts. It is
// alive from its first member to its last; a name that comes back is a new group.
//
// Events, joins and leaves enter every part's inbox under mu, so all members see
// the events in one order, and a join or a leave stands between the same two.
type group struct {
	// fixed
	name  string
	layer *Layer

	// guarded by mu
	mu        sync.Mutex
	dead      bool
	count     int
	joins     uint64 // ever
	parts     []*part
	endpoints []endpointCount // those that have members here
}

type endpointCount struct {
	endpoint *Endpoint
	members  int
}

// published is one event on its way to the members of a group: shared by all
// parts, complete before it enters the first inbox, never changed after.
type published struct {
	event  Event
	frames []rendered
	cost   int  // bytes it is counted as while it waits
	gap    *gap // itemGap, which has nothing else
}

// rendered is what an event looks like to the members of one endpoint.
type rendered struct {
	endpoint *Endpoint
	known    bool   // the endpoint renders events of this type
	frame    []byte // complete frame; empty sends nothing
}

// on finds the rendering for an endpoint. An event for channels has none.
func (p *published) on(e *Endpoint) (rendered, bool) {
	for _, r := range p.frames {
		if r.endpoint == e {
			return r, true
		}
	}
	return rendered{}, false
}

// send renders ev once for every endpoint with members and queues it for all.
// It waits while a part has more than maxQueued bytes waiting: that is how a
// group slows its senders down. b, which may be nil, learns who got it.
func (g *group) send(ctx context.Context, ev Event, b *beside) error {
	pub := &published{event: ev, cost: eventCost}
	var failed error
	for {
		g.mu.Lock()
		if g.dead {
			g.mu.Unlock()
			return failed
		}
		missing := g.unrendered(pub)
		if b != nil && !b.current(g) {
			g.mu.Unlock()
			b.find(g)
			continue
		}
		if missing == nil {
			full := g.full()
			if full == nil {
				for _, p := range g.parts {
					p.put(item{kind: itemEvent, pub: pub})
				}
				if b != nil {
					b.queue()
				}
			}
			g.mu.Unlock()
			if full == nil {
				return failed
			}
			select {
			case <-full:
				continue
			case <-ctx.Done():
				return errors.Join(failed, ctx.Err())
			}
		}
		g.mu.Unlock()
		// Rendering is the program's code and runs under no lock.
		r, err := missing.render(&pub.event)
		if err != nil {
			g.layer.lost(lossUnrendered, 1)
			failed = errors.Join(failed, err)
		}
		pub.frames = append(pub.frames, r)
		pub.cost += len(r.frame)
	}
}

// unrendered finds an endpoint that has members and no rendering of pub yet.
func (g *group) unrendered(pub *published) *Endpoint {
	for _, e := range g.endpoints {
		if _, ok := pub.on(e.endpoint); !ok {
			return e.endpoint
		}
	}
	return nil
}

// full finds a part that cannot take more now and returns what to wait for.
func (g *group) full() <-chan struct{} {
	for _, p := range g.parts {
		if c := p.full(); c != nil {
			return c
		}
	}
	return nil
}

// join makes m a member, or reports that the group is dead and a new one must
// be made. How is itemJoin or itemHold.
func (g *group) join(m *member, how itemKind) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return false
	}
	m.group, m.part = g, g.leastPart()
	m.part.count++
	g.count++
	g.joins++
	if m.endpoint != nil {
		g.countEndpoint(m.endpoint, 1)
	}
	m.part.put(item{kind: how, member: m})
	return true
}

// leave ends m's membership; what was sent before still reaches it. The channel
// returned is closed when that has happened, and nil when it had before.
func (g *group) leave(m *member) <-chan struct{} {
	g.mu.Lock()
	if g.dead || m.left {
		g.mu.Unlock()
		return nil
	}
	m.left = true
	m.part.count--
	g.count--
	if m.endpoint != nil {
		g.countEndpoint(m.endpoint, -1)
	}
	done := make(chan struct{})
	m.part.put(item{kind: itemLeave, member: m, done: func() { close(done) }})
	g.dead = g.count == 0
	dead := g.dead
	g.mu.Unlock()
	g.layer.count.members.Add(-1)
	if dead {
		g.layer.forget(g)
	}
	return done
}

// release ends m's hold.
func (g *group) release(m *member, after int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.dead && !m.left {
		m.part.put(item{kind: itemRelease, member: m, after: after})
	}
}

// alive tells whether the membership still stands.
func (m *member) alive() bool {
	m.group.mu.Lock()
	defer m.group.mu.Unlock()
	return !m.left && !m.group.dead
}

// flush makes all members leave at once. The caller has taken g out of the
// registry. What was sent before still reaches them: done is called for each
// part when that has happened.
func (g *group) flush(done *sync.WaitGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return
	}
	g.dead = true
	g.layer.count.members.Add(int64(-g.count))
	for _, p := range g.parts {
		done.Add(1)
		p.put(item{kind: itemFlush, done: done.Done})
	}
}

func (g *group) leastPart() *part {
	var least *part
	for _, p := range g.parts {
		if least == nil || p.count < least.count {
			least = p
		}
	}
	if least == nil || least.count >= partSize && len(g.parts) < runtime.GOMAXPROCS(0) {
		least = &part{layer: g.layer}
		g.parts = append(g.parts, least)
	}
	return least
}

func (g *group) countEndpoint(e *Endpoint, n int) {
	for i := range g.endpoints {
		if g.endpoints[i].endpoint == e {
			g.endpoints[i].members += n
			if g.endpoints[i].members == 0 {
				last := len(g.endpoints) - 1
				g.endpoints[i] = g.endpoints[last]
				g.endpoints[last] = endpointCount{}
				g.endpoints = g.endpoints[:last]
			}
			return
		}
	}
	g.endpoints = append(g.endpoints, endpointCount{e, n})
}
