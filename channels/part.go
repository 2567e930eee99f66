package channels

import (
	"runtime"
	"sync"
)

const (
	maxRun   = 32 << 10 // bytes written to each member at once
	maxSpare = 1024     // items of an inbox kept for the next round
)

// part owns some of the members of a group and writes to them, in rounds: one
// goroutine at a time takes all that waits in the inbox, makes one run of bytes
// of it and writes those same bytes once to every member. What arrives during a
// round goes into the next one; a part at rest has no goroutine.
type part struct {
	// fixed
	layer *Layer

	// guarded by the group's mu
	count int

	// guarded by mu
	mu      sync.Mutex
	inbox   []item
	spare   []item
	queued  int           // cost of the events in inbox
	taken   chan struct{} // closed when the inbox is taken; nil when nobody waits
	running bool

	// owned by the runner
	sets []*set
}

type itemKind uint8

const (
	itemEvent itemKind = iota
	itemJoin
	itemHold // join, but hold events until itemRelease
	itemRelease
	itemLeave
	itemFlush
	itemGap
)

// item is one entry of a part's inbox.
type item struct {
	kind   itemKind
	pub    *published // itemEvent, itemGap
	member *member    // the others, but itemFlush
	after  int64      // itemRelease
	done   func()     // itemLeave, itemFlush, itemGap: called at the end of the round
}

// put appends to the inbox and sees to it that somebody runs the part.
func (p *part) put(it item) {
	p.mu.Lock()
	p.inbox = append(p.inbox, it)
	if it.pub != nil {
		p.queued += it.pub.cost
	}
	start := !p.running
	p.running = true
	p.mu.Unlock()
	if start {
		p.layer.runners.Go(p.run)
	}
}

// full returns nil, or what is closed when there is room again.
func (p *part) full() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.queued < maxQueued {
		return nil
	}
	if p.taken == nil {
		p.taken = make(chan struct{})
	}
	return p.taken
}

func (p *part) run() {
	for {
		// Let other senders add to this round: the one yield that makes rounds
		// large under load. It costs nothing when idle.
		runtime.Gosched()
		batch := p.take()
		if batch == nil {
			return
		}
		p.round(batch)
		clear(batch)
		if cap(batch) <= maxSpare {
			p.mu.Lock()
			p.spare = batch[:0]
			p.mu.Unlock()
		}
	}
}

// take empties the inbox, or ends the run.
func (p *part) take() []item {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inbox) == 0 {
		p.running = false
		return nil
	}
	batch := p.inbox
	p.inbox, p.spare, p.queued = p.spare, nil, 0
	if p.taken != nil {
		close(p.taken)
		p.taken = nil
	}
	return batch
}

func (p *part) round(batch []item) {
	var w work
	for i := range batch {
		if m := batch[i].member; m != nil {
			p.set(m.endpoint)
		}
	}
	for _, s := range p.sets {
		s.deliver(batch, &w)
	}
	for i := range batch {
		if batch[i].done != nil {
			batch[i].done()
		}
	}
	p.sets = dropEmpty(p.sets)
	p.layer.count.rounds.Add(1)
	p.layer.count.writes.Add(w.writes)
	p.layer.count.delivered.Add(w.delivered)
}

// set finds or makes the set of an endpoint's members.
func (p *part) set(e *Endpoint) *set {
	for _, s := range p.sets {
		if s.endpoint == e {
			return s
		}
	}
	s := &set{endpoint: e}
	p.sets = append(p.sets, s)
	return s
}

func dropEmpty(sets []*set) []*set {
	kept := sets[:0]
	for _, s := range sets {
		if len(s.members)+len(s.held) > 0 {
			kept = append(kept, s)
		}
	}
	clear(sets[len(kept):])
	return kept
}

// work counts what a round did.
type work struct {
	writes    uint64 // calls of Write
	delivered uint64 // events, once for each member
}
