package websocket

import (
	"runtime"
	"sync/atomic"
	"time"
)

// ringsAgain is how long after a failure rings are tried again: the system may
// have been short of memory or descriptors for a moment, or may never have any.
const ringsAgain = time.Minute

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
	rings  chan *ring   // at rest; nil is one that is yet to be made
	failed atomic.Int64 // when the system last had no ring for us, in Unix nanoseconds; 0 is never
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
	i := 0
	if n >= sendTogether && len(run) > 0 {
		i = s.together(run, n, to)
	}
	for ; i < n; i++ {
		_ = to(i).Write(run)
	}
}

// together writes through a ring, if there is one, and returns the first
// connection that it has not dealt with.
func (s *Sender) together(run []byte, n int, to func(i int) RunWriter) (next int) {
	r := s.take()
	if r == nil {
		return 0
	}
	var err error
	for next < n && err == nil {
		next, err = r.write(run, next, n, to)
	}
	if err != nil {
		r.close()
		r = s.without()
	}
	s.rings <- r
	return next
}

// batch is what one call to the system is for.
type batch struct {
	conns  []*Conn     // of the writes added, locked
	alone  []RunWriter // to be written to when conns are let go
	behind []*Budget   // of those of conns whose socket did not take all
}

// take returns a ring that nobody uses, nil when there is none.
func (s *Sender) take() *ring {
	if at := s.failed.Load(); at != 0 && time.Now().UnixNano() < at+int64(ringsAgain) {
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
		s.rings <- s.without()
	default: // all are in use
	}
	return nil
}

// without notes that the system has no ring for us, and is none.
func (s *Sender) without() *ring {
	s.failed.Store(time.Now().UnixNano())
	return nil
}

// write gives the run to the connections from i on, as many as the ring has room
// for, and returns the first that it has not dealt with. Those that are written
// to together are locked together, in an order that nobody shares: until the
// last is let go nothing may be waited for. So a connection that is in use by
// others, or has something queued, is written to by itself, after the others.
// After an error the ring is of no more use; nobody has missed anything.
func (r *ring) write(run []byte, i, n int, to func(i int) RunWriter) (next int, err error) {
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
	err = r.submit(run)
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
	return i, err
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

// took ends what ready began: the socket took so many bytes of the run, or gave
// an error, and then the flusher tries again and sees for itself. It reports
// whether something had to be queued.
func (c *Conn) took(run []byte, result int32) (behind bool) {
	defer c.mu.Unlock()
	n := max(int(result), 0)
	if n == len(run) {
		return false
	}
	c.afterTry(run, n, nil, 0)
	c.account()
	return true
}
