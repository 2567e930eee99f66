package websocket

import (
	"runtime"
	"sync/atomic"
)

// sendTogether is the fewest connections that are worth a ring.
const sendTogether = 16

// Sender writes the same run to many connections. Where the system can do many
// writes in one call (io_uring on Linux), it does: entering the kernel is a
// fifth of the cost of a write. Elsewhere, and where a container forbids it, a
// Sender writes to one after the other.
//
// Its methods may be called by any goroutine; each writes through a ring of its
// own, of which there are as many as processors.
type Sender struct {
	rings chan *ring  // at rest; nil is one that is yet to be made
	off   atomic.Bool // the system has no rings for us
}

// NewSender returns a Sender; end it with Close.
func NewSender() *Sender {
	n := runtime.GOMAXPROCS(0)
	s := &Sender{rings: make(chan *ring, n)}
	for range n {
		s.rings <- nil
	}
	return s
}

// Close gives back what the system holds for s. Nothing may be written through
// it any more, or at the same time.
func (s *Sender) Close() {
	for range cap(s.rings) {
		if r := <-s.rings; r != nil {
			r.close()
		}
	}
}

// RunWriter is a Conn, or stands for one.
type RunWriter interface{ Write(run []byte) error }

// Write is Write of each of n connections; their errors are their own business.
func (s *Sender) Write(run []byte, n int, to func(i int) RunWriter) {
	var r *ring
	if n >= sendTogether && len(run) > 0 {
		r = s.take()
	}
	if r == nil {
		for i := range n {
			_ = to(i).Write(run)
		}
		return
	}
	for i := 0; i < n; {
		i = r.write(run, i, n, to)
	}
	s.rings <- r
}

// batch is what one call to the system is for.
type batch struct {
	conns  []*Conn     // of the writes added, locked
	alone  []RunWriter // to be written to when conns are let go
	behind []*Budget   // of those of conns whose socket did not take all
}

// take returns a ring that nobody uses, nil when there is none.
func (s *Sender) take() *ring {
	if s.off.Load() {
		return nil
	}
	select {
	case r := <-s.rings:
		if r != nil {
			return r
		}
		r, err := newRing()
		if err == nil {
			return r
		}
		s.off.Store(true)
		s.rings <- nil
	default: // all are in use
	}
	return nil
}

// write gives the run to the connections from i on, as many as the ring has room
// for, and returns the first that it has not dealt with. Those that are written
// to together are locked together, in an order that nobody shares: until the
// last is let go nothing may be waited for. So a connection that is in use by
// others, or has something queued, is written to by itself, after the others.
func (r *ring) write(run []byte, i, n int, to func(i int) RunWriter) (next int) {
	for ; i < n && len(r.conns) < ringSize && len(r.alone) < ringSize; i++ {
		w := to(i)
		c, ok := w.(*Conn)
		if !ok || !c.ready() {
			r.alone = append(r.alone, w)
			continue
		}
		r.add(int(c.fd), run)
		r.conns = append(r.conns, c)
	}
	r.submit(run)
	for k, c := range r.conns {
		if c.took(run, r.results[k]) {
			r.behind = append(r.behind, c.o.Budget)
		}
	}
	for _, b := range r.behind {
		b.hold()
	}
	for _, w := range r.alone {
		_ = w.Write(run)
	}
	r.conns, r.behind, r.alone = emptied(r.conns), emptied(r.behind), emptied(r.alone)
	return i
}

// emptied returns l without its elements, and lets go of what they point to.
func emptied[T any](l []T) []T {
	clear(l)
	return l[:0]
}

// ready locks a connection whose socket is to be tried with a whole run next,
// and is false for every other.
func (c *Conn) ready() bool {
	if !c.mu.TryLock() {
		return false
	}
	if c.state.Load() == stateOpen && !c.corked && c.fd >= 0 && c.queued() == 0 {
		return true
	}
	c.mu.Unlock()
	return false
}

// took ends what ready began: the socket took so many bytes of the run, or
// failed. It reports whether something had to be queued.
func (c *Conn) took(run []byte, result int32) (behind bool) {
	defer c.mu.Unlock()
	if int(result) == len(run) {
		return false
	}
	n, err := sendResult(result)
	c.afterTry(run, n, err, 0)
	c.account()
	return true
}
