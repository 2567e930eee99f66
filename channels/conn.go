package channels

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// Conn is one connection, from the side of the server. All methods but Request
// and Accept may be called by any goroutine.
//
// The client sees frames in the order in which they were given to the
// connection, be it by Send, SendWait or the rounds of a group. None of these
// waits for a slow client, except SendWait; what the socket does not take at
// once waits in the connection's backlog, and beyond Options.Backlog the
// connection is cut with CloseTooSlow.
type Conn struct {
	// fixed once Connect begins
	endpoint *Endpoint
	consumer Consumer
	sock     socket
	ctx      context.Context
	cancel   context.CancelFunc

	// owned by the goroutine of Connect; nil afterwards
	opening *opening

	// fixed after Connect
	subprotocol string
	connected   bool // Connect returned nil

	closing atomic.Bool // Close was called: no more events; frames end with the socket

	// guarded by mu
	mu      sync.Mutex
	turn    sync.Cond // of mu: signalled when taken ends
	taken   bool      // a method of the consumer runs
	ended   bool      // no more groups, no more events
	name    string    // of the channel; empty until asked for
	groups  []*member
	inbox   []Event       // for the consumer's Event
	missed  int           // events dropped since the consumer was last told
	pumping chan struct{} // closed by the goroutine for events; nil when there is none
}

// socket is what a Conn and the rounds need of a websocket.Conn.
type socket interface {
	Write(run []byte) error
	WriteWait(ctx context.Context, run []byte) error
	Close(code int, reason string)
	Cut()
	RemoteAddr() net.Addr
}

// opening is what only a connection that is not yet accepted needs.
type opening struct {
	ws       *websocket.Conn
	request  *http.Request
	accepted bool
	failed   error // of the handshake, once accepted
	stop     func() bool
}

// Request is the handshake's request. It is only there during Connect: keep
// what is needed of it, a connection does not. Afterwards it is nil.
func (c *Conn) Request() *http.Request {
	if c.opening == nil {
		return nil
	}
	return c.opening.request
}

// Accept completes the handshake at once, with further headers; what has been
// sent so far follows it. It is for a Connect that chooses the subprotocol
// itself ("" is none) or goes on for longer than the handshake may take.
func (c *Conn) Accept(subprotocol string, h http.Header) error {
	o := c.opening
	if o == nil || o.accepted {
		return errors.New("channels: accept a connection: not in Connect, or done before")
	}
	if subprotocol != "" && !slices.Contains(o.ws.Subprotocols(), subprotocol) {
		return fmt.Errorf("%w: %q", ErrSubprotocol, subprotocol)
	}
	if !c.endpoint.add(c) {
		return &Refusal{Status: http.StatusServiceUnavailable, Header: retryAfter(), Text: "The server is stopping."}
	}
	o.accepted = true
	o.stop()
	c.subprotocol = subprotocol
	if err := o.ws.Open(subprotocol, h); err != nil {
		o.failed = fmt.Errorf("channels: accept a connection: %w", err)
		return o.failed
	}
	if c.endpoint.observer != nil {
		c.endpoint.observer.Opened(c)
	}
	return nil
}

// Subprotocol is the one accepted, or empty.
func (c *Conn) Subprotocol() string { return c.subprotocol }

// RemoteAddr is the client's address, or that of the proxy in front of it.
func (c *Conn) RemoteAddr() net.Addr { return c.sock.RemoteAddr() }

// Context ends with the connection, before Disconnect.
func (c *Conn) Context() context.Context { return c.ctx }

// Layer is that of Options, or nil.
func (c *Conn) Layer() *Layer { return c.endpoint.layer }

// ChannelName is the connection's address in the layer: what is sent there
// comes to the consumer's Event. It is empty without a layer.
func (c *Conn) ChannelName() string {
	l := c.endpoint.layer
	if l == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.channelName()
}

// channelName is ChannelName where there is a layer. The caller holds mu.
func (c *Conn) channelName() string {
	if c.name == "" {
		l := c.endpoint.layer
		c.name = l.NewChannel("")
		if !c.ended {
			l.post.addConn(c.name, c)
		}
	}
	return c.name
}

// Send sends a frame to this client, without waiting for it. An error is
// ErrClosed, also for the frame that was too much for the backlog, or ErrTooLarge.
func (c *Conn) Send(f Frame) error {
	return c.send(f, c.sock.Write)
}

// SendJSON sends v, encoded by encoding/json, in a text frame.
func (c *Conn) SendJSON(v any) error {
	f, err := JSONFrame(v)
	if err != nil {
		return err
	}
	return c.Send(f)
}

// SendWait is Send for bulk, such as a replay: it waits while more than half of
// the backlog's bound is taken.
func (c *Conn) SendWait(ctx context.Context, f Frame) error {
	return c.send(f, func(run []byte) error { return c.sock.WriteWait(ctx, run) })
}

func (c *Conn) send(f Frame, write func([]byte) error) error {
	if len(f.Data) > maxFrame {
		return ErrTooLarge
	}
	var r run
	r.encode(f)
	defer r.reset()
	err := write(r.bytes)
	if errors.Is(err, websocket.ErrClosed) || errors.Is(err, websocket.ErrTooSlow) {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return err
}

// Close ends the connection with a code and a reason of up to 123 bytes, behind
// what has been sent. It does not wait: Disconnect follows when the client has
// answered, or after 5 s. Only the first call counts. The context of a method
// that still runs ends at once, so that one which waits does not hold up the end.
func (c *Conn) Close(code int, reason string) {
	c.closing.Store(true)
	c.sock.Close(code, reason)
	c.cancel()
}

// GroupAdd makes the connection a member of a group until GroupDiscard or its
// end: everything sent to the group from here on comes to it. Joining twice is
// joining once.
func (c *Conn) GroupAdd(ctx context.Context, group string) error {
	_, err := c.join(ctx, group, itemJoin)
	if errors.Is(err, ErrMember) {
		return nil
	}
	return err
}

// GroupJoin is GroupAdd with the group's events held back until Hold.Release.
// In a group joined before it is ErrMember.
func (c *Conn) GroupJoin(ctx context.Context, group string) (*Hold, error) {
	m, err := c.join(ctx, group, itemHold)
	if m == nil {
		return nil, err
	}
	return &Hold{member: m}, err
}

// join returns the membership it made, also with an error of the broker: it
// stands in this process.
func (c *Conn) join(ctx context.Context, group string, how itemKind) (*member, error) {
	l := c.endpoint.layer
	if l == nil {
		return nil, ErrNoLayer
	}
	if err := checkName("group", group); err != nil {
		return nil, err
	}
	m := &member{conn: c, sock: c.sock, endpoint: c.endpoint}
	if err := c.addMember(group, m, how); err != nil {
		return nil, err
	}
	return m, l.settled(ctx, group)
}

func (c *Conn) addMember(group string, m *member, how itemKind) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return ErrClosed
	}
	// Memberships that a flush of the layer ended are still in the list.
	c.groups = slices.DeleteFunc(c.groups, func(o *member) bool {
		return o.group.name == group && !o.alive()
	})
	if slices.ContainsFunc(c.groups, func(o *member) bool { return o.group.name == group }) {
		return ErrMember
	}
	if len(c.groups) >= c.endpoint.maxGroups {
		return fmt.Errorf("%w: %d", ErrTooMany, len(c.groups))
	}
	if err := c.endpoint.layer.join(group, m, how); err != nil {
		return err
	}
	c.groups = append(c.groups, m)
	return nil
}

// GroupDiscard leaves a group. When it returns, what was sent to the group
// before has been given to the connection, and nothing else will be. Leaving a
// group that was not joined does nothing.
func (c *Conn) GroupDiscard(ctx context.Context, group string) error {
	return wait(ctx, c.dropMember(group))
}

// dropMember ends a membership; see group.leave for the result.
func (c *Conn) dropMember(group string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.groups, func(m *member) bool { return m.group.name == group })
	if i < 0 {
		return nil
	}
	m := c.groups[i]
	c.groups = slices.Delete(c.groups, i, i+1)
	return m.group.leave(m) // under mu: who is not listed has left
}
