package websocket

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// Handler takes what a connection receives.
type Handler interface {
	// Message is called by the connection's reader with one whole message of
	// opcode OpText (valid UTF-8) or OpBinary, one call at a time. p is valid
	// only during the call. Nothing more is read before it returns.
	Message(op Opcode, p []byte)

	// Closed is called once, after the last Message, with what ended the
	// connection: the code and reason of whichever side closed first, 1005 for
	// a close frame without a code, 1006 when the connection just broke.
	Closed(code int, reason string)
}

// Conn is one connection. Its methods may be called by any goroutine; those of
// the opening (Subprotocols, then Open or Refuse, then Start) by one.
type Conn struct {
	// fixed after Start
	o  *Options
	nc net.Conn
	h  Handler
	fd int32 // of nc where it can be tried without waiting, else -1; guarded by mu, because it ends as -1

	// written under mu, read by anyone
	state atomic.Uint32

	// guarded by mu
	mu       sync.Mutex
	corked   bool          // not opened yet: everything goes to the backlog
	flushing bool          // the flusher runs, or is about to
	code     uint16        // of the close, 0 before
	gone     int32         // bytes of the backlog's array that lie before it: they are sent, but take memory
	backlog  []byte        // what the socket did not take
	rest     int32         // bytes at the head of backlog that end a frame partly written
	flight   int32         // bytes being written by the flusher, not in backlog any more
	room     chan struct{} // closed when the backlog has drained by half; nil when nobody waits
	timer    *time.Timer   // ends a connection that does not finish closing
	reason   string

	flushers sync.WaitGroup

	counted atomic.Int64 // bytes waiting that the budget knows of; written under mu, read by anyone

	// owned by whoever opens, then by the reader
	hs *handshake // nil once the reader runs
	in *incoming  // an unfinished message

	// owned by the reader
	ctlSecond uint32 // the second in which
	ctlCount  uint32 // this many control frames came
	deep      bool   // this goroutine has called the handler, or crypto/tls: its stack may have grown
	waiting   bool   // and has a limited time to wait for more
	talked    bool   // in which something has come
	dry       bool   // all that has been read has been taken: TLS holds no more of it

	// guarded by the wheel's mutex
	slot, place int32
	due         uint32

	// shared by the reader and the wheel
	seen  atomic.Uint32 // tick of the last sign of life, or seenPinged, seenReading
	began atomic.Uint32 // tick at which an unfinished message began, 0 without one
}

// States of a connection; they only rise.
const (
	stateOpen    = iota
	stateClosing // our close frame is queued; waiting for the peer's
	stateFailed  // the same, but what the peer sends is no longer understood
	stateDead    // nothing can be sent; the reader is ending
)

// Subprotocols returns what the client offers, in its order; nil after Open.
func (c *Conn) Subprotocols() []string {
	if c.hs == nil {
		return nil
	}
	return c.hs.protocols
}

// RemoteAddr returns the peer's address: before Open what the request says,
// nil when that is not an address.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc == nil {
		return c.hs.remote
	}
	return c.nc.RemoteAddr()
}

// Refuse answers the request with an HTTP status, further headers and a text
// instead of opening the connection.
func (c *Conn) Refuse(status int, h http.Header, body string) {
	for name, values := range h {
		c.hs.w.Header()[name] = values
	}
	http.Error(c.hs.w, body, status)
	c.mu.Lock()
	c.die(codeAbnormal, "refused")
	c.mu.Unlock()
}

// Open answers 101, with the subprotocol unless it is empty, the headers
// already set on the ResponseWriter, and h; what was corked goes out behind
// that. After Open, Start must be called, even when the connection has been
// closed meanwhile. On error the request has been answered, or the client is
// gone, and there is nothing to start.
func (c *Conn) Open(subprotocol string, h http.Header) error {
	hs := c.hs
	if subprotocol != "" && !hs.offers(subprotocol) {
		c.Refuse(http.StatusInternalServerError, nil, "subprotocol was not offered")
		return fmt.Errorf("websocket: subprotocol %q was not offered", subprotocol)
	}
	answer := hs.answer(subprotocol, h)
	nc, err := hs.hijack()
	if err != nil {
		c.Refuse(http.StatusInternalServerError, nil, "cannot take over the connection")
		return fmt.Errorf("websocket: taking over the connection: %w", err)
	}
	defer c.o.Budget.hold()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hs = &handshake{early: hs.early} // the rest belongs to the request
	c.nc, c.fd = nc, int32(descriptor(nc))
	boundKernel(descriptor(bare(nc)))
	c.corked = false
	lead := len(answer)
	run := append(answer, c.backlog...)
	c.keep(nil)
	c.send(run, lead)
	if c.state.Load() == stateClosing {
		c.timer = time.AfterFunc(closeWait, c.expire)
	}
	return nil
}

// Start begins to read and returns. The reader is a goroutine of its own, so
// that the caller's, with all that serving the request has made of its stack,
// can end. It ends with Handler.Closed.
func (c *Conn) Start(h Handler) {
	c.h = h
	c.o.wheel.join(c)
	go c.run()
}

// Close starts the closing handshake: a close frame goes out behind what is
// queued, the peer has 5 s to answer, then the connection is cut. Messages that
// arrive meanwhile are dropped. Close never waits; only the first call counts.
// A code that must not be sent (RFC 6455 section 7.4) becomes 1011; the reason
// is clipped to 123 bytes at a code point.
func (c *Conn) Close(code int, reason string) {
	if !validCloseCode(code) {
		code = codePanic
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginClose(stateClosing, &closeError{code: code, reason: clipReason(reason)}, closeWait)
}

// fail tells the peer its mistake and stops listening to it.
func (c *Conn) fail(code int, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginClose(stateFailed, &closeError{code: code, reason: reason}, lingerWait)
}

// answerClose answers the peer's close frame with the same code.
func (c *Conn) answerClose(said *closeError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.beginClose(stateFailed, said, closeWait)
}

// beginClose queues a close frame and gives it, and the peer, some time. It
// does nothing when the connection is closing already. Called with mu held.
func (c *Conn) beginClose(state uint32, why *closeError, wait time.Duration) {
	if c.state.Load() != stateOpen {
		return
	}
	c.code, c.reason = uint16(why.code), why.reason
	sent := why.reason
	if why.peer {
		sent = ""
	}
	c.send(appendClose(nil, why.code, sent), 0)
	if c.state.Load() == stateDead {
		return
	}
	c.state.Store(state)
	c.wake()
	if c.queued() == 0 {
		c.drained()
	}
	if !c.corked {
		c.timer = time.AfterFunc(wait, c.expire)
	}
}

// tooSlow drops what waits for the peer, except the end of a frame it has begun
// to receive, and closes with 4408. Called with mu held.
func (c *Conn) tooSlow() {
	c.keep(bytes.Clone(c.backlog[:c.rest])) // the rest is not held until the end
	c.account()
	c.beginClose(stateClosing, &closeError{code: codeTooSlow, reason: "too slow"}, lingerWait)
}

// expire is for a connection that took too long to close.
func (c *Conn) expire() { c.end(codeAbnormal, "") }

// end drops the connection: what the kernel has taken may still arrive, unless
// the peer was too slow even for that.
func (c *Conn) end(code int, reason string) {
	c.mu.Lock()
	unsent := c.queued() > 0
	c.die(code, reason)
	c.mu.Unlock()
	c.hangUp(unsent)
}

// Cut drops the TCP connection at once; the peer sees it reset.
func (c *Conn) Cut() {
	c.mu.Lock()
	c.die(codeAbnormal, "")
	c.mu.Unlock()
	c.hangUp(true)
}

// die is the last state: nothing can be sent any more. The first cause of the
// end is the one that is told. Called with mu held.
func (c *Conn) die(code int, reason string) {
	if c.state.Load() == stateDead {
		return
	}
	c.state.Store(stateDead)
	if c.code == 0 {
		c.code, c.reason = uint16(code), reason
	}
	c.keep(nil)
	c.rest = 0
	c.account()
	c.wake()
}

// finish is the reader's last act. A close frame on its way is let go; the
// timer limits that.
func (c *Conn) finish() {
	if s := c.state.Load(); s == stateClosing || s == stateFailed {
		c.flushers.Wait()
	}
	c.mu.Lock()
	c.die(codeAbnormal, "")
	if c.timer != nil {
		c.timer.Stop()
	}
	c.fd = -1
	code, reason := int(c.code), c.reason
	c.mu.Unlock()
	_ = c.nc.Close() // it may be closed or broken already
	c.flushers.Wait()
	c.mu.Lock()
	c.keep(nil)
	c.flight = 0
	c.account()
	c.mu.Unlock()
	c.o.wheel.leave(c)
	defer func() {
		if v := recover(); v != nil {
			c.logPanic(v)
		}
	}()
	c.h.Closed(code, reason)
}

func (c *Conn) logPanic(v any) {
	c.o.Logger.Error("websocket: panic in a handler", "panic", v, "remote", c.nc.RemoteAddr(), "stack", string(debug.Stack()))
}
