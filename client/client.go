package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

// Options of Dial. All may be left out.
type Options struct {
	Token  string       // identity from an earlier Client.Token; empty is a new guest
	Epoch  string       // of the positions given to Join, from an earlier Client.Epoch
	Name   string       // name and version of the program, for the server's log
	Locale string       // BCP 47 language of a new guest's name
	Header http.Header  // of the handshake, such as Cookie
	HTTP   *http.Client // for the handshake
	Outbox Outbox       // nil is a Memory
	Logger *slog.Logger // told of lost connections; nil is nobody

	// Observe is given every frame that is best effort: wire.TypingFrame,
	// wire.Here and wire.Renamed. It runs on the client's reading goroutine and
	// must return at once.
	Observe func(wire.Frame)

	jitter func(most time.Duration) time.Duration // nil is fullJitter; tests do not wait
}

const (
	opening = 15 * time.Second // for the handshake and the welcome
	writing = 10 * time.Second // for one frame
	silence = 20 * time.Second // between signs of life that are asked for
	answer  = 10 * time.Second // for each of those
	steady  = 5 * time.Second  // connected, before failures are forgotten
	longest = 30 * time.Second // between two tries, unless the server asks for more
)

// Client is one person at one server. See the package for what it promises.
type Client struct {
	// fixed
	address string // ws://host/ws
	options Options
	log     *slog.Logger
	outbox  Outbox
	jitter  func(most time.Duration) time.Duration
	stop    context.CancelCauseFunc
	ctx     context.Context // of the client's goroutines
	wg      sync.WaitGroup
	unsent  chan struct{} // holds a token when the sender has something to look at
	space   chan struct{} // holds a token when a replay may go on

	mu      sync.Mutex
	session *session            // guarded by mu; nil while not connected
	changed chan struct{}       // guarded by mu; closed and made anew when session changes
	welcome wire.Welcome        // guarded by mu
	token   string              // guarded by mu
	epoch   string              // guarded by mu; of all positions
	rooms   []*Room             // guarded by mu
	stored  []Entry             // guarded by mu; in the outbox, of rooms that are not joined
	asked   map[string]*request // guarded by mu; unanswered, by ref
	refs    int                 // guarded by mu
	err     error               // guarded by mu; why the client ended for good
}

// request is what happens with the answer to a request.
type request struct {
	do      func(wire.Frame) // runs with Client.mu held
	awaited bool             // by a call that has not returned
}

// Dial connects to the server at an address such as https://chat.example.org and
// says hello. It tries once; after it has succeeded the client comes back by
// itself until Close. Errors: *HandshakeError, *CloseError, ErrReset when the epoch is not the server's any more, or of the network.
func Dial(ctx context.Context, address string, o *Options) (*Client, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("teahouse client: the address: %w", err)
	}
	u.Scheme = strings.Replace(u.Scheme, "http", "ws", 1)
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Host == "" {
		return nil, fmt.Errorf("teahouse client: %q is not an address such as https://chat.example.org", address)
	}
	c := &Client{
		address: u.JoinPath("ws").String(), options: *o, log: o.Logger, outbox: o.Outbox, jitter: o.jitter,
		changed: make(chan struct{}), token: o.Token, epoch: o.Epoch, asked: make(map[string]*request),
		unsent: make(chan struct{}, 1), space: make(chan struct{}, 1),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.jitter == nil {
		c.jitter = fullJitter
	}
	if c.outbox == nil {
		c.outbox = &Memory{}
	}
	if c.stored, err = c.outbox.Entries(); err != nil {
		return nil, fmt.Errorf("teahouse client: read the outbox: %w", err)
	}
	c.ctx, c.stop = context.WithCancelCause(context.WithoutCancel(ctx))
	s, err := c.open(ctx)
	if err != nil {
		c.stop(err)
		end := final(err)
		switch {
		case foreign(err):
			return nil, fmt.Errorf("dial again without an epoch: %w", ErrReset)
		case end != nil:
			return nil, end
		}
		return nil, err
	}
	c.wg.Go(func() { c.run(s) })
	return c, nil
}

// fullJitter is a random time up to most.
func fullJitter(most time.Duration) time.Duration { return rand.N(most) }

// You is the client's person.
func (c *Client) You() wire.Person {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.welcome.You
}

// Token brings the same person back in a later Dial. It is a secret, and empty
// for a person that came by a cookie.
func (c *Client) Token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// Epoch is what positions belong to: keep it with them.
func (c *Client) Epoch() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// Err is why the client ended for good, nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits for all of the client's goroutines. What is
// in the outbox stays there.
func (c *Client) Close() {
	c.mu.Lock()
	s := c.session
	c.note(ErrClosed)
	c.mu.Unlock()
	if s != nil {
		_ = s.conn.Close(websocket.StatusNormalClosure, "") // a courtesy, bounded by the library
	}
	c.stop(ErrClosed)
	c.wg.Wait()
}

// end ends the client for good.
func (c *Client) end(err error) {
	c.mu.Lock()
	c.note(err)
	c.mu.Unlock()
	c.stop(err)
}

// note tells everybody why the client ends; the first error counts. c.mu is held.
func (c *Client) note(err error) {
	if c.err == nil {
		c.err = err
		close(c.changed)
		c.changed = make(chan struct{})
		for _, r := range c.rooms {
			r.wake()
		}
	}
}

// run is the client's own goroutine: it reads, and comes back, until the end.
func (c *Client) run(s *session) {
	for s != nil {
		began := time.Now()
		err := c.serve(s)
		if c.Err() != nil {
			return
		}
		if end := final(err); end != nil {
			c.end(end)
			return
		}
		c.log.Info("connection lost", "err", err)
		s = c.comeBack(err, c.after(err, time.Since(began) < steady))
	}
}

// comeBack tries to connect until it succeeds; nil is the end of the client.
func (c *Client) comeBack(err error, p pauses) *session {
	for {
		if foreign(err) {
			c.reset()
		}
		select {
		case <-c.ctx.Done():
			return nil
		case <-time.After(p.next(asked(err))):
		}
		var s *session
		if s, err = c.open(c.ctx); err == nil {
			return s
		}
		if c.ctx.Err() != nil {
			return nil
		}
		if end := final(err); end != nil {
			c.end(end)
			return nil
		}
		c.log.Info("not connected", "err", err)
	}
}

// reset forgets all positions.
func (c *Client) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch = ""
	for _, r := range c.rooms {
		r.reset()
	}
}

// connected waits for a session that is not the one given.
func (c *Client) connected(ctx context.Context, other *session) (*session, error) {
	for {
		c.mu.Lock()
		s, changed, err := c.session, c.changed, c.err
		c.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case s != nil && s != other:
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// set makes a session the current one; nil says that there is none. c.mu is held.
func (c *Client) set(s *session) {
	c.session = s
	close(c.changed)
	c.changed = make(chan struct{})
	if s == nil {
		clear(c.asked) // whoever waits sees the end of the session
	}
}

// expect registers what happens with the answer to a request, and returns the
// ref that the request must carry. c.mu must be held; do runs with it held. Who
// waits for the answer says so, and calls desert in the end.
func (c *Client) expect(awaited bool, do func(wire.Frame)) (ref string) {
	c.refs++
	ref = strconv.Itoa(c.refs)
	c.asked[ref] = &request{do: do, awaited: awaited}
	if awaited {
		signal(c.space) // the answer must be read
	}
	return ref
}

// desert says that nobody waits for the answer to a request any more, which is
// handled all the same when it comes.
func (c *Client) desert(ref string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.asked[ref]; ok {
		r.awaited = false
	}
}

// awaited says whether somebody waits for an answer. It may be the goroutine that
// would call Next, so that the reader must not wait for it. c.mu is held.
func (c *Client) awaited() bool {
	for _, r := range c.asked {
		if r.awaited {
			return true
		}
	}
	return slices.ContainsFunc(c.rooms, func(r *Room) bool { return len(r.posts) > 0 })
}

// ask sends a request and waits for its answer, on as many connections as it
// takes and as often as the server says "not now". The request must be one that
// may be repeated.
func (c *Client) ask(ctx context.Context, request wire.Frame) (wire.Frame, error) {
	var s *session
	for {
		var err error
		if s, err = c.connected(ctx, nil); err != nil {
			return nil, err
		}
		got := make(chan wire.Frame, 1)
		c.mu.Lock()
		ref := c.expect(true, func(f wire.Frame) { got <- f })
		c.mu.Unlock()
		f, err := s.exchange(ctx, ref, request, got)
		c.mu.Lock()
		delete(c.asked, ref)
		c.mu.Unlock()
		var refused *Error
		switch {
		case errors.Is(err, errSessionEnded):
			if _, err := c.connected(ctx, s); err != nil {
				return nil, err
			}
		case errors.As(err, &refused) && refused.passing():
			if err := pause(ctx, refused.Retry); err != nil {
				return nil, err
			}
		default:
			return f, err
		}
	}
}

// pause waits for a while, at least a moment.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 10*time.Millisecond))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Rename changes the name of the client's person.
func (c *Client) Rename(ctx context.Context, name string) (wire.Person, error) {
	f, err := c.ask(ctx, wire.Rename{Name: name})
	renamed, ok := f.(wire.Renamed)
	if err != nil || !ok {
		return wire.Person{}, unexpected(f, err)
	}
	c.mu.Lock()
	c.welcome.You = renamed.Person
	c.mu.Unlock()
	return renamed.Person, nil
}

// unexpected is the error of an answer of the wrong type.
func unexpected(f wire.Frame, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("teahouse client: the server answered with a frame of type %q", f.FrameType())
}
