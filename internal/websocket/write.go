package websocket

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/teahouse-chat/teahouse/internal/planted"
)

// flushPiece is how much the flusher writes at a time.
const flushPiece = 64 << 10

const (
	maxSlack = 3        // how many times as large as the backlog its array may be
	fitAbove = 16 << 10 // and is not worth moving below
)

// Write sends a run of whole server frames (see [AppendFrame]). It never waits:
// the socket is tried once, and only when nothing is queued; what it does not
// take is copied to the backlog. The run is not changed and not kept.
//
// A run that finds something queued and would take the backlog over its bound
// cuts the connection with 4408 and returns [ErrTooSlow]. After the connection
// has begun to close Write returns [ErrClosed]. A nil error is no promise that
// the peer has received anything, nor that this connection is not about to be
// cut because all backlogs together passed [Options.Budget].
func (c *Conn) Write(run []byte) error {
	c.mu.Lock()
	err := c.write(run)
	c.mu.Unlock()
	c.o.Budget.hold()
	return err
}

func (c *Conn) write(run []byte) error {
	if c.state.Load() != stateOpen {
		return ErrClosed
	}
	if n := c.queued(); n > 0 && n+len(run) > c.o.Backlog {
		if planted.DropOnFull {
			return nil
		}
		c.tooSlow()
		return ErrTooSlow
	}
	c.send(run, 0)
	return nil
}

// WriteWait is Write for bulk such as history: as long as half of the
// backlog's bound is taken it waits, for ctx at most, and so never cuts the
// connection on its own account, though it may be the one to go when all
// backlogs together pass their budget. Between the frames of its run those of other
// writers may be sent. Before Open nothing drains, and WriteWait is Write.
func (c *Conn) WriteWait(ctx context.Context, run []byte) error {
	for len(run) > 0 {
		piece := wholeFrames(run, c.o.Backlog/2)
		room, err := c.writeOrWait(run[:piece])
		c.o.Budget.hold()
		if err != nil {
			return err
		}
		if room == nil {
			run = run[piece:]
			continue
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// wholeFrames returns the length of the frames at the head of run that fit
// into limit, of one frame at least.
func wholeFrames(run []byte, limit int) int {
	n := frameLen(run)
	for n < len(run) {
		more := frameLen(run[n:])
		if n+more > limit {
			break
		}
		n += more
	}
	return n
}

// writeOrWait writes, or returns a channel that is closed when it is worth
// trying again.
func (c *Conn) writeOrWait(run []byte) (<-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	queued, bound := c.queued(), c.o.Backlog
	if c.corked || c.state.Load() != stateOpen || queued == 0 || queued < bound/2 && queued+len(run) <= bound {
		return nil, c.write(run)
	}
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room, nil
}

// Buffered returns how many bytes wait for the peer.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queued()
}

// The rest is called with mu held, unless it says otherwise.

func (c *Conn) queued() int { return len(c.backlog) + int(c.flight) }

// wake lets those in WriteWait look again.
func (c *Conn) wake() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// send writes run or queues it. Its first lead bytes are no frames but must
// not be torn either.
func (c *Conn) send(run []byte, lead int) {
	c.sendOrQueue(run, lead)
	c.account()
}

func (c *Conn) sendOrQueue(run []byte, lead int) {
	if c.corked {
		c.backlog = append(c.backlog, run...)
		return
	}
	if c.fd >= 0 && c.queued() == 0 {
		n, err := trySend(int(c.fd), run)
		c.afterTry(run, n, err, lead)
		return
	}
	if lead > 0 {
		c.rest = int32(lead)
	}
	c.wait(run)
}

// afterTry queues what the socket has left of a run.
func (c *Conn) afterTry(run []byte, n int, err error, lead int) {
	switch {
	case err != nil:
		c.broken()
	case n < len(run):
		c.rest = int32(restOfFrame(run, n, lead))
		c.wait(run[n:])
	}
}

// wait queues a run and sees to it that there is a flusher.
func (c *Conn) wait(run []byte) {
	c.queue(run)
	if !c.flushing {
		c.flushing = true
		c.flushers.Add(1)
		go c.flush()
	}
}

// queue puts run behind the backlog. It doubles the room for it, up to the
// bound, where append would add a quarter at a time: on the way to the bound
// that leaves five times as much garbage, and the collector's work is everybody's.
func (c *Conn) queue(run []byte) {
	need := len(c.backlog) + len(run)
	if room := cap(c.backlog); room > 0 && need > room {
		c.keep(append(make([]byte, 0, max(need, min(2*room, c.o.Backlog))), c.backlog...))
	}
	c.backlog = append(c.backlog, run...)
}

// keep puts b, in an array of its own, in place of the backlog.
func (c *Conn) keep(b []byte) { c.backlog, c.gone = b, 0 }

// fit moves the backlog to a smaller array when it has become small in its own:
// else who takes almost all, and then no more, would hold a bound's worth of
// memory that no budget counts. Between two moves half of what is moved is sent.
func (c *Conn) fit() {
	if array := int(c.gone) + cap(c.backlog); array > fitAbove && array > maxSlack*len(c.backlog) {
		c.keep(bytes.Clone(c.backlog))
	}
}

// sent notes that n bytes at the head of the backlog are on their way.
func (c *Conn) sent(n int) {
	c.rest = int32(restOfFrame(c.backlog, n, int(c.rest)))
	c.backlog = c.backlog[n:]
	c.gone += int32(n)
	if len(c.backlog) == 0 {
		c.keep(nil)
	}
}

// drained is called when nothing is queued any more: to a peer that has been
// told its mistake, or has said goodbye, that was all.
func (c *Conn) drained() {
	if c.fd >= 0 && c.state.Load() == stateFailed {
		endSending(int(c.fd))
	}
}

// broken notes that the socket takes no more and wakes the reader.
func (c *Conn) broken() {
	c.die(codeAbnormal, "")
	if c.fd >= 0 {
		hangUp(int(c.fd), false)
	}
}

// hangUp ends the socket of a dead connection so that reader and flusher
// notice. Called without mu, because closing waits for those who use it.
func (c *Conn) hangUp(reset bool) {
	c.mu.Lock()
	fd, nc := int(c.fd), c.nc
	if fd >= 0 {
		hangUp(fd, reset)
	}
	c.mu.Unlock()
	if fd >= 0 || nc == nil {
		return
	}
	if inner, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = inner.NetConn() // closing a TLS connection would wait to say so
	}
	_ = nc.Close()
}

// flush is the flusher: it empties the backlog and ends. Called without mu.
func (c *Conn) flush() {
	defer c.flushers.Done()
	c.mu.Lock()
	fd := c.fd
	c.mu.Unlock()
	step := c.flushPlain
	if fd >= 0 {
		if raw, err := c.nc.(syscall.Conn).SyscallConn(); err == nil {
			step = func() bool { return c.flushRaw(raw) }
		}
	}
	for step() {
		// each step has made progress and is given WriteTimeout anew
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.flushing { // else the next flusher has set its own
		_ = c.nc.SetWriteDeadline(time.Time{}) // leaves no timer behind
	}
}

// flushRaw waits until the socket takes something and reports whether there is
// more to write. What is sent is taken from the backlog under mu, so that
// tooSlow knows at any time where a frame ends.
func (c *Conn) flushRaw(raw syscall.RawConn) (more bool) {
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout))
	err := raw.Write(func(fd uintptr) (done bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.state.Load() == stateDead {
			return true
		}
		n, err := trySend(int(fd), c.backlog[:min(len(c.backlog), flushPiece)])
		if err != nil {
			c.broken()
			return true
		}
		c.sent(n)
		c.fit()
		more = c.flushed()
		return n > 0 || !more
	})
	if err != nil {
		c.stalled(err)
		return false
	}
	return more
}

// flushPlain writes a piece of the backlog to a connection that can only wait.
func (c *Conn) flushPlain() (more bool) {
	c.mu.Lock()
	if c.state.Load() == stateDead {
		c.mu.Unlock()
		return false
	}
	c.fit() // before the piece, which holds its array
	piece := c.backlog[:min(len(c.backlog), flushPiece)]
	c.flight = int32(len(piece))
	c.sent(len(piece))
	c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout))
	_, err := c.nc.Write(piece)
	if err != nil {
		c.stalled(err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight = 0
	return c.flushed()
}

// flushed lets go what waits for the backlog to drain and reports whether the
// flusher must go on.
func (c *Conn) flushed() (more bool) {
	c.account()
	n := c.queued()
	if n < c.o.Backlog/2 {
		c.wake()
	}
	if n > 0 {
		return true
	}
	c.flushing = false
	c.drained()
	return false
}

// stalled ends a connection that took nothing for WriteTimeout, or broke while
// the flusher wrote. Called without mu.
func (c *Conn) stalled(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.end(codeTooSlow, "too slow")
		return
	}
	c.end(codeAbnormal, "")
}
