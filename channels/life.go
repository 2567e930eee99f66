package channels

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// connect asks the consumer about the client and begins the connection, or
// refuses it. Either way c.end is the last that happens to it.
func (c *Conn) connect() {
	o := c.opening
	ctx, cancel := context.WithCancelCause(o.request.Context())
	defer cancel(nil)
	timer := time.AfterFunc(c.endpoint.connectTimeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	o.stop = timer.Stop

	err := c.joinGroups(ctx)
	if err == nil {
		err = c.consume(func() error {
			err := c.consumer.Connect(ctx, c)
			c.connected = err == nil
			return err
		})
	}
	if c.connected && !o.accepted {
		err = c.Accept(c.endpoint.choose(o.ws.Subprotocols()), nil)
	}
	c.opening = nil
	switch {
	case o.failed != nil: // the client went away
		c.end(CloseAbnormal, "")
	case !o.accepted:
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			err = errors.Join(err, context.DeadlineExceeded)
		}
		c.refuse(o.ws, err)
		c.end(CloseAbnormal, "")
	default:
		if err != nil {
			c.fail("connect", err)
		}
		o.ws.Start((*reader)(c))
	}
}

// joinGroups joins the groups of every connection of the endpoint.
func (c *Conn) joinGroups(ctx context.Context) error {
	for _, group := range c.endpoint.groups {
		if err := c.GroupAdd(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// refuse answers the handshake of a client that is turned away.
func (c *Conn) refuse(ws *websocket.Conn, err error) {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		ws.Refuse(r.Status, r.Header, r.Text)
	case errors.Is(err, context.DeadlineExceeded):
		c.report("connect", err)
		ws.Refuse(http.StatusServiceUnavailable, retryAfter(), "The server is busy.")
	default:
		c.report("connect", err)
		ws.Refuse(http.StatusInternalServerError, nil, "Something went wrong.")
	}
}

// reader is a Conn as the websocket.Handler of its connection.
type reader Conn

func (r *reader) Message(op websocket.Opcode, p []byte) {
	c := (*Conn)(r)
	f := Frame{Kind: Text, Data: p}
	if op == websocket.OpBinary {
		f.Kind = Binary
	}
	if err := c.receive(f); err != nil {
		c.fail("receive", err)
	}
}

func (r *reader) Closed(code int, reason string) { (*Conn)(r).end(code, reason) }

// receive is consume for Receive, without a closure: it is on the way of every frame.
func (c *Conn) receive(f Frame) (err error) {
	c.begin()
	defer c.finish()
	defer recovered(&err)
	if c.closing.Load() {
		return nil // another method of the consumer closed the connection while this frame waited
	}
	return c.consumer.Receive(c.ctx, c, f)
}

// consume runs a method of the consumer, no other running, and turns its panic
// into an error.
func (c *Conn) consume(f func() error) (err error) {
	c.begin()
	defer c.finish()
	defer recovered(&err)
	return f()
}

// begin waits until no method of the consumer runs. It is a condition and not a
// mutex, for a consumer may take long, and in a synctest bubble only waiting for
// a mutex is not waiting.
func (c *Conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.taken {
		c.turn.Wait()
	}
	c.taken = true
}

func (c *Conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = false
	c.turn.Signal()
}

func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &panicError{value: v, stack: debug.Stack()}
	}
}

// fail closes the connection for an error of the consumer, unless that is about
// other processes alone.
func (c *Conn) fail(doing string, err error) {
	if c.closing.Load() && (errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled)) {
		return // a consequence, not a cause
	}
	var ce *CloseError
	if errors.As(err, &ce) {
		c.Close(ce.Code, ce.Reason)
		return
	}
	if errors.Is(err, ErrUnpublished) {
		return // counted and logged already, and no fault of this client
	}
	if !errors.Is(err, ErrClosed) {
		c.report(doing, err)
	}
	c.Close(CloseFailed, "")
}

func (c *Conn) report(doing string, err error) {
	args := []any{"doing", doing, "err", err}
	var p *panicError
	if errors.As(err, &p) {
		args = append(args, "stack", string(p.stack))
	}
	c.endpoint.log.Error("channels: consumer failed", args...)
}

// end is the end of every connection, called once, when nothing is read any more.
func (c *Conn) end(code int, reason string) {
	c.closing.Store(true)
	c.cancel() // a method still running sees it
	pumping := c.leave()
	if c.connected {
		c.count(code, reason)
		ctx := context.WithoutCancel(c.ctx)
		err := c.consume(func() error {
			c.consumer.Disconnect(ctx, c, code)
			return nil
		})
		if err != nil {
			c.report("disconnect", err)
		}
	}
	if pumping != nil {
		<-pumping
	}
	c.endpoint.exit(c)
}

func (c *Conn) count(code int, reason string) {
	if l := c.endpoint.layer; l != nil && code == CloseTooSlow {
		l.lost(lossSlow, 1)
	}
	if c.endpoint.observer != nil {
		c.endpoint.observer.Closed(c, code, reason)
	}
}

// leave ends everything the layer knows of the connection. It returns what is
// closed when the goroutine for events, if there is one, has ended.
func (c *Conn) leave() <-chan struct{} {
	c.mu.Lock()
	groups, name, pumping := c.groups, c.name, c.pumping
	c.groups, c.inbox, c.ended = nil, nil, true
	c.mu.Unlock()
	if name != "" {
		c.endpoint.layer.post.dropConn(name)
	}
	for _, m := range groups {
		m.group.leave(m)
	}
	return pumping
}

// push queues an event for the consumer's Event. False says that it was
// dropped, because as many as the layer's capacity are waiting.
func (c *Conn) push(e Event) bool {
	_, handles := c.consumer.(EventHandler)
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.endpoint.layer
	switch {
	case c.ended:
		return true
	case !handles:
		l.unhandled(e)
		return true
	case len(c.inbox) >= c.capacity():
		c.missed++
		l.lost(lossFull, 1)
		return false
	}
	c.enqueue(e)
	return true
}

// capacity is how many events may wait in the inbox. The caller holds mu.
func (c *Conn) capacity() int {
	l := c.endpoint.layer
	if len(l.capacities) == 0 {
		return l.capacity
	}
	return l.capacityOf(c.channelName())
}

// gapped queues the news of a gap, with what is not yet told.
func (c *Conn) gapped(groups []string) {
	if _, handles := c.consumer.(GapHandler); !handles {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	for i := range c.inbox {
		if told, ok := c.inbox[i].Payload.(gapNews); ok {
			all := append(slices.Clone(told), groups...)
			slices.Sort(all)
			c.inbox[i].Payload = slices.Compact(all)
			return
		}
	}
	c.enqueue(Event{Payload: gapNews(groups)})
}

// gapNews and recheckNews are payloads of events that this package puts into an
// inbox, in their order with the others and beyond the capacity.
type (
	gapNews     []string
	recheckNews struct{}
)

// enqueue appends to the inbox. The caller holds mu.
func (c *Conn) enqueue(e Event) {
	c.inbox = append(c.inbox, e)
	if c.pumping == nil {
		c.pumping = make(chan struct{})
		go c.pump(c.pumping)
	}
}

// handle gives what was queued to the consumer's method for it.
func (c *Conn) handle(e Event) error {
	switch news := e.Payload.(type) {
	case gapNews:
		return c.consumer.(GapHandler).Gap(c.ctx, c, news)
	case recheckNews:
		return c.consumer.(Rechecker).Recheck(c.ctx, c)
	}
	return c.consumer.(EventHandler).Event(c.ctx, c, e)
}

// pump hands the queued events to the consumer one by one, and ends when there
// are none: a connection at rest has no goroutine but its reader.
func (c *Conn) pump(done chan struct{}) {
	defer close(done)
	for {
		c.mu.Lock()
		if len(c.inbox) == 0 || c.ended {
			c.inbox, c.pumping = nil, nil
			c.mu.Unlock()
			return
		}
		e, missed := c.inbox[0], c.missed
		c.inbox[0] = Event{}
		c.inbox, c.missed = c.inbox[1:], 0
		c.mu.Unlock()

		err := c.consume(func() error {
			if c.closing.Load() {
				return nil
			}
			if h, ok := c.consumer.(LossHandler); ok && missed > 0 {
				h.Lost(c.ctx, c, missed)
			}
			return c.handle(e)
		})
		switch {
		case errors.Is(err, ErrNoHandler) && c.endpoint.layer != nil:
			c.endpoint.layer.unhandled(e)
		case err != nil:
			c.fail("event", err)
		}
	}
}
