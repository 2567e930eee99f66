package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// Times of connections.
const (
	dialTimeout  = 3 * time.Second  // until a server has answered the greeting
	replyTimeout = 10 * time.Second // a server that answers nothing for so long is taken for lost
	pingAfter    = 5 * time.Second  // of silence
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// maxIdle bounds the links that are kept for the next who has to wait in Redis.
const maxIdle = 8

// State is what a broker knows of one of its hosts.
type State struct {
	Host      string // its URL without credentials
	Connected bool   // events arrive from it
	Err       error  // why not, unless it is connected or was not tried yet
}

// conn is the way to one host. Nothing is opened before it is asked for. It may
// be used by any goroutine.
//
// A command is sent once: one that failed may or may not have been done. All
// commands that do not block share one connection and are done in the order in
// which they were sent, unless that connection was lost between them. Who waits
// in Redis, or listens, has a link of its own.
type conn struct {
	// fixed
	host    host
	tls     *tls.Config     // nil without TLS
	ctx     context.Context // of dialling, ends with close
	end     context.CancelFunc
	log     *slog.Logger
	opens   chan struct{} // holds 1: who opens the shared connection
	running sync.WaitGroup

	odd sync.Once // the first message that could not be read

	// guarded by mu
	mu       sync.Mutex
	shared   *pipe          // nil before it is asked for; it may be broken
	links    map[*link]bool // all that are open to the server
	idle     []*link        // those of them that nobody uses, the latest last
	closed   bool
	dials    map[string]*dialing // by address
	sentinel int                 // index of the one to ask first
	watching bool                // the Sentinels are asked now and then
	state    State
	told     bool // that the host is down is in the log
}

var errClosed = errors.New("redis: the broker is closed")

func newConn(h host, config *tls.Config, log *slog.Logger) *conn {
	c := &conn{
		host: h, log: log,
		opens: make(chan struct{}, 1),
		links: make(map[*link]bool),
		dials: make(map[string]*dialing),
		state: State{Host: h.name},
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	if h.tls {
		if c.tls = config; config == nil {
			c.tls = &tls.Config{}
		}
	}
	return c
}

// do sends commands together, after those of earlier calls, and waits for the
// answers; one of them may be an error of the server, a redigo.Error. An error is
// that of the connection.
func (c *conn) do(ctx context.Context, commands ...command) ([]any, error) {
	if len(commands) == 0 {
		return nil, nil
	}
	r, err := c.begin(ctx, commands)
	if err != nil {
		return nil, err
	}
	return r.wait()
}

// begin is the first half of do: the commands have their place.
func (c *conn) begin(ctx context.Context, commands []command) (*request, error) {
	p, err := c.pipe(ctx)
	if err != nil {
		return nil, err
	}
	return p.add(ctx, commands)
}

// one is do with one command, where an error of the server is an error.
func (c *conn) one(ctx context.Context, cmd command) (any, error) {
	answers, err := c.do(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if told, failed := answers[0].(redigo.Error); failed {
		return nil, told
	}
	return answers[0], nil
}

// pipe is the shared connection, opened if need be. That fails at once when the
// last attempt failed and the time for the next has not come.
func (c *conn) pipe(ctx context.Context) (*pipe, error) {
	if p, err := c.sound(); p != nil || err != nil {
		return p, err
	}
	select {
	case c.opens <- struct{}{}:
		defer func() { <-c.opens }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p, err := c.sound(); p != nil || err != nil {
		return p, err
	}
	l, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	p := newPipe(l)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed // and the link is, too
	}
	c.shared = p
	c.running.Go(p.write)
	c.running.Go(p.read)
	return p, nil
}

// sound is the shared connection unless it is broken.
func (c *conn) sound() (*pipe, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if c.shared == nil || c.shared.broken() {
		return nil, nil
	}
	return c.shared, nil
}

// borrow is a link for one that waits in Redis for a moment; giveBack returns it
// if it is whole.
func (c *conn) borrow(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		n := len(c.idle)
		if n == 0 {
			c.mu.Unlock()
			return c.connect(ctx)
		}
		l := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		if time.Since(l.idle) < pingAfter {
			return l, nil
		}
		l.close() // it may be lost, and nobody would have noticed
	}
}

func (c *conn) giveBack(l *link) {
	c.mu.Lock()
	keep := len(c.idle) < maxIdle && c.links[l]
	if keep {
		l.idle = time.Now()
		c.idle = append(c.idle, l)
	}
	c.mu.Unlock()
	if !keep {
		l.close()
	}
}

// enter counts a link among those that close closes, and forget does no more.
func (c *conn) enter(l *link) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.links[l] = true
	return nil
}

func (c *conn) forget(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, l)
	c.idle = slices.DeleteFunc(c.idle, func(other *link) bool { return other == l })
}

// up and down note, and log when it changes, whether events arrive.
func (c *conn) up() {
	c.mu.Lock()
	c.state.Connected, c.state.Err = true, nil
	tell := c.told
	c.told = false
	c.mu.Unlock()
	if tell {
		c.log.Info("redis: connected again", "host", c.host.name)
	}
}

func (c *conn) down(err error) {
	c.mu.Lock()
	c.state.Connected, c.state.Err = false, err
	tell := !c.told
	c.told = true
	c.mu.Unlock()
	if tell {
		c.log.Warn("redis: no connection, trying again", "host", c.host.name, "err", err)
	}
}

func (c *conn) now() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// close ends what uses the connection with errors, and waits for the goroutines.
func (c *conn) close() {
	c.end()
	c.mu.Lock()
	c.closed = true
	c.state.Connected, c.state.Err = false, errClosed
	open := slices.Collect(maps.Keys(c.links))
	c.mu.Unlock()
	for _, l := range open {
		l.close()
	}
	c.running.Wait()
}

// ignored logs why a message that came could not be read: of the first for all to
// see, since it may be that the two sides have other keys or formats.
func (c *conn) ignored(err error) {
	level, first := slog.LevelDebug, ""
	c.odd.Do(func() { level, first = slog.LevelWarn, ", more of that is logged at the level debug" })
	c.log.Log(c.ctx, level, "redis: what another process sent is ignored"+first, "host", c.host.name, "err", err)
}
