package channels

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// maxFrame bounds one frame from the server to a client, in bytes.
const maxFrame = 1 << 20

// Options say how an endpoint treats its connections. Zero fields stand for the
// values in brackets.
type Options struct {
	// Layer carries events to the connections [none: groups are ErrNoLayer].
	Layer *Layer

	// Groups are joined before Connect, and left, like all others, before
	// Disconnect. They need a Layer.
	Groups []string

	// Render makes the frame for events of a type that look the same to every
	// member of a group. It is called once for each event, however many
	// connections get the frame. A Frame with nil Data sends nothing. Events of
	// other types go to each consumer's Event. It runs in the sender's
	// goroutine, so senders may run it at the same time.
	Render map[string]func(Event) (Frame, error)

	// Subprotocols are those the endpoint speaks. The first in the client's
	// order is taken; a client that offers only others gets none.
	Subprotocols []string

	// Origins tells whether a page from elsewhere may connect [SameOrigin]; see
	// AllowedOrigins. If not, the answer is 403.
	Origins func(*http.Request) bool

	ConnectTimeout time.Duration // for Connect, up to Accept [10s]; then its ctx ends
	MaxMessage     int           // bytes of a message from the client [64 KiB]; above: 1009
	MaxGroups      int           // groups of one connection [1024]
	Backlog        int           // bytes waiting for a slow client [1 MiB]; above: CloseTooSlow
	PingEvery      time.Duration // silence of the client before it is pinged [25s]
	PongWait       time.Duration // further silence before it is cut [10s]
	WriteTimeout   time.Duration // without progress before a slow client is cut [10s]
	RecheckEvery   time.Duration // between calls of Rechecker.Recheck [1m]

	Logger   *slog.Logger // errors and panics of consumers [slog.Default()]
	Observer Observer     // may be nil
}

// Observer sees connections come and go, for metrics. Its methods are called by
// many goroutines and must be quick.
type Observer interface {
	Opened(c *Conn)
	Closed(c *Conn, code int, reason string) // before Disconnect
}

// Endpoint is an http.Handler that makes every request a connection with a
// consumer of its own. Route and wrap it like any other handler; path values
// and what middleware left in the context are in Conn.Request.
type Endpoint struct {
	// fixed
	newConsumer    func() Consumer
	layer          *Layer
	groups         []string
	renderers      map[string]func(Event) (Frame, error) // by handlerName, and by the type as it was given
	subprotocols   []string
	origins        func(*http.Request) bool
	connectTimeout time.Duration
	maxGroups      int
	backlog        int
	recheckEvery   time.Duration
	websocket      *websocket.Options
	log            *slog.Logger
	observer       Observer

	// guarded by mu
	mu      sync.Mutex
	conns   map[*Conn]struct{} // accepted and not yet disconnected
	active  int                // these, requests not yet accepted, and held
	held    int                // connections that finish: see Finisher
	closing bool
	drained chan struct{} // closed when closing and nothing is active
	recheck rechecks
}

// Handler returns the endpoint of a kind of consumer. o may be nil. Options that
// no connection could be served with, such as Groups without a Layer, panic.
func Handler(newConsumer func() Consumer, o *Options) *Endpoint {
	if o == nil {
		o = &Options{}
	}
	e := &Endpoint{
		newConsumer:    newConsumer,
		layer:          o.Layer,
		groups:         slices.Clone(o.Groups),
		renderers:      make(map[string]func(Event) (Frame, error), len(o.Render)),
		subprotocols:   slices.Clone(o.Subprotocols),
		origins:        o.Origins,
		connectTimeout: cmp.Or(o.ConnectTimeout, 10*time.Second),
		maxGroups:      cmp.Or(o.MaxGroups, 1024),
		backlog:        cmp.Or(o.Backlog, 1<<20),
		recheckEvery:   cmp.Or(o.RecheckEvery, time.Minute),
		log:            o.Logger,
		observer:       o.Observer,
		conns:          make(map[*Conn]struct{}),
		drained:        make(chan struct{}),
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	if e.origins == nil {
		e.origins = SameOrigin
	}
	for typ, f := range o.Render {
		e.renderers[handlerName(typ)], e.renderers[typ] = f, f
	}
	for _, group := range e.groups {
		if err := checkName("group", group); err != nil || e.layer == nil {
			panic(fmt.Sprintf("channels: Handler: the group %q: %v", group, cmp.Or(err, ErrNoLayer)))
		}
	}
	e.websocket = &websocket.Options{
		MaxMessage: o.MaxMessage, Backlog: e.backlog,
		PingEvery: o.PingEvery, PongWait: o.PongWait, WriteTimeout: o.WriteTimeout,
		Logger: e.log,
	}
	if e.layer != nil {
		e.websocket.Budget = e.layer.budget
	}
	return e
}

// ServeHTTP does the handshake and asks a new consumer. It returns when the
// consumer has decided; an accepted connection lives on.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.enter() {
		w.Header().Set("Retry-After", retryAfter().Get("Retry-After"))
		http.Error(w, "The server is stopping.", http.StatusServiceUnavailable)
		return
	}
	var c *Conn
	defer func() {
		if c == nil { // refused, or newConsumer panicked
			e.exit(nil)
		}
	}()
	ws, err := websocket.Begin(w, r, e.websocket)
	if err != nil {
		e.log.Debug("channels: handshake refused", "err", err)
		return
	}
	if !e.origins(r) {
		ws.Refuse(http.StatusForbidden, nil, "This page may not connect here.")
		return
	}
	c = e.newConn(ws, &opening{ws: ws, request: r})
	c.connect()
}

func (e *Endpoint) newConn(s socket, o *opening) *Conn {
	c := &Conn{endpoint: e, consumer: e.newConsumer(), sock: s, opening: o}
	c.turn.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Len is the number of connections, from their acceptance to the end of their
// Disconnect.
func (e *Endpoint) Len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.conns)
}

// enter counts a request in, unless the endpoint is shutting down; exit counts
// it, or the connection made of it, out.
func (e *Endpoint) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closing {
		return false
	}
	e.active++
	return true
}

func (e *Endpoint) exit(c *Conn) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
	e.active--
	if len(e.conns) == 0 {
		e.recheck.stop()
	}
	if e.closing && e.active == 0 {
		close(e.drained)
	}
}

// add lists an accepted connection, unless the endpoint is shutting down.
func (e *Endpoint) add(c *Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closing {
		e.conns[c] = struct{}{}
		if _, rechecks := c.consumer.(Rechecker); rechecks {
			e.recheck.start(e)
		}
	}
	return !e.closing
}

// choose is the first of the client's subprotocols that the endpoint speaks.
func (e *Endpoint) choose(offered []string) string {
	for _, p := range offered {
		if slices.Contains(e.subprotocols, p) {
			return p
		}
	}
	return ""
}

// render makes the frame of an event for all members of this endpoint. After
// an error they get nothing.
func (e *Endpoint) render(ev *Event) (r rendered, err error) {
	r.endpoint = e
	f, known := e.renderers[ev.Type]
	if !known {
		f, known = e.renderers[handlerName(ev.Type)]
	}
	if !known {
		return r, nil
	}
	r.known = true
	defer func() {
		if v := recover(); v != nil {
			e.log.Error("channels: renderer failed", "type", ev.Type, "err", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("channels: render an event of type %.64q: panic: %v", ev.Type, v)
		}
	}()
	frame, err := f(*ev)
	switch {
	case err != nil:
		return r, fmt.Errorf("channels: render an event of type %.64q: %w", ev.Type, err)
	case len(frame.Data) > maxFrame:
		return r, fmt.Errorf("channels: render an event of type %.64q: %w", ev.Type, ErrTooLarge)
	case frame.Data != nil:
		r.frame = frame.encode(make([]byte, 0, len(frame.Data)+10))
	}
	return r, nil
}

// retryAfter is the header of answers that ask the client to come back.
func retryAfter() http.Header { return http.Header{"Retry-After": {"1"}} }
