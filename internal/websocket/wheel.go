package websocket

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	wheelSlots = 64
	minTick    = 5 * time.Millisecond
	maxTick    = time.Second
)

// wheel visits connections when they are due, so that none needs a timer. Its
// goroutine is started by the first connection that joins and ended, and
// waited for, by the last that leaves.
type wheel struct {
	// fixed after prepare
	tick  time.Duration
	start time.Time

	now atomic.Uint32 // ticks since start, 1 at first: what readers note as "seen"

	mu    sync.Mutex
	slots [wheelSlots][]*Conn // by due tick modulo wheelSlots; places noted in Conn.slot and Conn.place
	count int                 // connections joined
	stop  chan struct{}       // of the running goroutine, nil without one
	done  chan struct{}
}

// noSlot is the slot of a connection that is being visited; leftWheel of one that left.
const (
	noSlot    = -1
	leftWheel = -2
)

// prepare chooses the tick: a tenth of the shortest wait, within bounds. All
// waits are kept to within one tick, never later.
func (w *wheel) prepare(shortest time.Duration) {
	w.tick = min(max(shortest/10, minTick), maxTick)
	w.start = time.Now()
	w.now.Store(1)
}

// ticks converts a wait, rounding down, but not to nothing.
func (w *wheel) ticks(d time.Duration) uint32 { return uint32(max(d/w.tick, 1)) }

func (w *wheel) clock() uint32 { return uint32(time.Since(w.start)/w.tick) + 1 }

// join puts c on the wheel.
func (w *wheel) join(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		w.now.Store(w.clock())
		w.stop, w.done = make(chan struct{}), make(chan struct{})
		go w.run(w.stop, w.done)
	}
	w.count++
	c.seen.Store(w.now.Load())
	w.put(c, w.now.Load()+w.ticks(min(c.o.PingEvery, c.o.FragmentTimeout)))
}

// put files c under its due tick, or the farthest slot when that is too far.
func (w *wheel) put(c *Conn, due uint32) {
	now := w.now.Load()
	ahead := min(max(int64(due)-int64(now), 1), wheelSlots-1)
	slot := (now + uint32(ahead)) % wheelSlots
	c.due = due
	c.slot, c.place = int32(slot), int32(len(w.slots[slot]))
	w.slots[slot] = append(w.slots[slot], c)
}

// leave takes c off the wheel; the last to leave waits for the goroutine.
func (w *wheel) leave(c *Conn) {
	w.mu.Lock()
	if c.slot >= 0 {
		list := w.slots[c.slot]
		last := list[len(list)-1]
		list[c.place], last.place = last, c.place
		list[len(list)-1] = nil
		w.slots[c.slot] = list[:len(list)-1]
	}
	c.slot = leftWheel
	w.count--
	var done chan struct{}
	if w.count == 0 {
		close(w.stop)
		done = w.done
		w.slots = [wheelSlots][]*Conn{}
	}
	w.mu.Unlock()
	if done != nil {
		<-done
	}
}

func (w *wheel) run(stop, done chan struct{}) {
	defer close(done)
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	last := w.now.Load()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		// Ticks may have been missed, but a connection is given its time: all
		// that were due in between are visited as of now.
		now := w.clock()
		for last = max(last, now-min(now, wheelSlots)); last < now; last++ {
			w.turn((last+1)%wheelSlots, now, stop)
		}
	}
}

// turn visits the connections of one slot that are due. They are visited
// outside the lock, because a visit may write.
func (w *wheel) turn(slot, now uint32, stop chan struct{}) {
	w.mu.Lock()
	if w.stop != stop { // the wheel has been emptied, perhaps filled again
		w.mu.Unlock()
		return
	}
	w.now.Store(now)
	list := w.slots[slot]
	w.slots[slot] = nil
	for _, c := range list {
		c.slot = noSlot
	}
	w.mu.Unlock()
	for _, c := range list {
		due := c.due
		if due <= now {
			due = c.visit(now)
		}
		w.mu.Lock()
		if c.slot == noSlot {
			w.put(c, due)
		}
		w.mu.Unlock()
	}
}

// What Conn.seen holds besides a tick.
const (
	seenPinged  = 0         // nothing since the last ping
	seenReading = 1<<32 - 1 // the handler is at work: silence is ours
)

// visit does what is due for c and returns the tick of the next visit.
func (c *Conn) visit(now uint32) uint32 {
	o, w := c.o, &c.o.wheel
	every := w.ticks(o.PingEvery)
	next := now + every
	switch seen := c.seen.Load(); {
	case seen == seenReading:
		return next
	case seen == seenPinged:
		c.end(codeAbnormal, "no pong")
		return next
	case now-seen < every:
		next = seen + every
	default:
		// The reader may note a sign of life right here; then this ping was
		// one too many, no more.
		c.seen.Store(seenPinged)
		_ = c.Write(pingFrame)
		next = now + w.ticks(o.PongWait)
	}
	if began := c.began.Load(); began != 0 {
		limit := w.ticks(o.FragmentTimeout)
		if now-began >= limit {
			c.fail(codePolicy, "message not finished in time")
			return next
		}
		next = min(next, began+limit)
	}
	return next
}
