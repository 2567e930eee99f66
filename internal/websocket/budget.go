package websocket

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// defaultBudget is what clients may be behind together, in bytes.
const defaultBudget = 256 << 20

// Budget bounds what waits for slow clients over all connections of the Options
// that share it. When their backlogs together pass the bound, the connections
// with the largest are cut with 4408, one after the other, until they fit: so
// thousands that stopped reading cannot take what thousands times their own
// bound would be. Bytes are counted as they wait; the arrays that hold them can
// be up to three times as large.
type Budget struct {
	// fixed
	limit int64

	waiting atomic.Int64
	shed    atomic.Uint64

	pass sync.Mutex // held by whoever sheds, who takes those of connections under it, one at a time

	// guarded by mu, which may be taken with a connection's held
	mu     sync.Mutex
	behind map[*Conn]struct{} // those with a backlog
}

// NewBudget returns a Budget of so many bytes, 256 MiB for 0.
func NewBudget(bytes int64) *Budget {
	return &Budget{limit: cmp.Or(bytes, defaultBudget)}
}

// Waiting returns how many bytes wait for clients at the moment. It is at most
// the bound, but for close frames and, for up to a second, the torn frames of
// connections that have just been cut.
func (b *Budget) Waiting() int64 { return b.waiting.Load() }

// Shed returns how many connections were cut to stay within the bound.
func (b *Budget) Shed() uint64 { return b.shed.Load() }

// account counts what has changed in the backlog. Called with c.mu held,
// wherever that may be.
func (c *Conn) account() {
	now, before := int64(c.queued()), c.counted.Load()
	if now == before {
		return
	}
	b := c.o.Budget
	c.counted.Store(now)
	b.waiting.Add(now - before)
	if now == 0 || before == 0 {
		b.list(c, now > 0)
	}
}

// list notes whether a connection has a backlog.
func (b *Budget) list(c *Conn, behind bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !behind:
		delete(b.behind, c)
		if len(b.behind) == 0 {
			b.behind = nil // a map keeps the room it once needed
		}
	case b.behind == nil:
		b.behind = map[*Conn]struct{}{c: {}}
	default:
		b.behind[c] = struct{}{}
	}
}

// hold brings what waits back under the bound. Called with no lock held. It
// does not wait for another goroutine that is at it: that one looks again.
func (b *Budget) hold() {
	for b.waiting.Load() > b.limit && b.pass.TryLock() {
		cut := b.cutWorst()
		b.pass.Unlock()
		if !cut {
			return // what is left is closing already, or was read meanwhile
		}
	}
}

// cutWorst cuts connections, the worst first, until a little more than needed
// is free: so that with thousands of them, looking for the worst is rare.
func (b *Budget) cutWorst() (cut bool) {
	for _, w := range b.worst() {
		if b.waiting.Load() <= b.limit-b.limit/64 {
			break
		}
		if w.c.cutBehind(w.size) {
			b.shed.Add(1)
			cut = true
		}
	}
	return cut
}

// ranked is a connection and what waited for it at one moment.
type ranked struct {
	c    *Conn
	size int64
}

// worst lists those with a backlog, the largest first.
func (b *Budget) worst() []ranked {
	b.mu.Lock()
	list := make([]ranked, 0, len(b.behind))
	for c := range b.behind {
		list = append(list, ranked{c, c.counted.Load()})
	}
	b.mu.Unlock()
	slices.SortFunc(list, func(x, y ranked) int { return cmp.Compare(y.size, x.size) })
	return list
}

// cutBehind cuts the connection for the others' sake, unless it is closing or
// has caught up by half since size bytes were seen to wait. A torn frame that is
// large itself is not kept for the sake of a close frame behind it.
func (c *Conn) cutBehind(size int64) bool {
	c.mu.Lock()
	if c.state.Load() != stateOpen || int64(c.queued()) < size/2 {
		c.mu.Unlock()
		return false
	}
	torn := c.rest > flushPiece
	if torn {
		c.die(codeTooSlow, "too slow")
	} else {
		c.tooSlow()
	}
	c.mu.Unlock()
	if torn {
		c.hangUp(true)
	}
	return true
}
