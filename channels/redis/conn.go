package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// Times of connections.
const (
	dialTimeout  = 3 * time.Second
	replyTimeout = 10 * time.Second // a server that answers nothing for so long is taken for lost
	pingAfter    = 5 * time.Second  // of silence
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

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
// which they were sent, unless that connection was lost between them.
type conn struct {
	// fixed
	host   host
	option rueidis.ClientOption
	ctx    context.Context // of dialling, ends with close
	end    context.CancelFunc
	log    *slog.Logger
	opens  chan struct{} // holds 1: who opens the client

	odd sync.Once // the first message that could not be read

	// guarded by mu
	mu     sync.Mutex
	open   rueidis.Client // nil before it is asked for
	closed bool
	dials  map[string]*dialing // by address
	state  State
	told   bool // that the host is down is in the log
}

// dialing is what is known of an address that could not be reached.
type dialing struct {
	failures int
	again    time.Time // not to be dialled before
	err      error
}

var errClosed = errors.New("redis: the broker is closed")

func newConn(h host, config *tls.Config, log *slog.Logger) *conn {
	c := &conn{
		host: h, log: log,
		opens: make(chan struct{}, 1),
		dials: make(map[string]*dialing),
		state: State{Host: h.name},
	}
	c.ctx, c.end = context.WithCancel(context.Background())
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: pingAfter}
	c.option = rueidis.ClientOption{
		InitAddress: h.addrs, Username: h.user, Password: h.password, SelectDB: h.db,
		ClientName: "teahouse", Dialer: dialer, DialCtxFn: c.dial, ConnWriteTimeout: replyTimeout,
		ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
		ForceSingleClient: true, PipelineMultiplex: -1, // one connection: order
		AlwaysPipelining: true, // who always reads learns at once that a connection is lost
		DisableCache:     true, DisableRetry: true,
	}
	if h.tls {
		if config == nil {
			config = &tls.Config{}
		}
		c.option.TLSConfig = config
	}
	if h.master != "" {
		c.option.Sentinel = rueidis.SentinelOption{
			MasterSet: h.master, Username: h.sentinelUser, Password: h.sentinelPassword,
			Dialer: dialer, TLSConfig: c.option.TLSConfig, TopologyRefreshInterval: pingAfter,
		}
	}
	return c
}

// client is the host's client, opened if need be. That fails at once when the
// last attempt failed and the time for the next has not come.
func (c *conn) client(ctx context.Context) (rueidis.Client, error) {
	if open, err := c.opened(); open != nil || err != nil {
		return open, err
	}
	select {
	case c.opens <- struct{}{}:
		defer func() { <-c.opens }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if open, err := c.opened(); open != nil || err != nil {
		return open, err
	}
	open, err := rueidis.NewClient(c.option)
	if err != nil {
		if open != nil {
			open.Close()
		}
		return nil, fmt.Errorf("redis: connect to %s: %w", c.host.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		open.Close()
		return nil, errClosed
	}
	c.open = open
	return open, nil
}

func (c *conn) opened() (rueidis.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	return c.open, nil
}

// dial opens a connection of the client. An address that failed is left alone
// for a while, which grows, and differs from process to process.
func (c *conn) dial(ctx context.Context, addr string, d *net.Dialer, config *tls.Config) (net.Conn, error) {
	c.mu.Lock()
	last := c.dials[addr]
	if last != nil && time.Now().Before(last.again) {
		c.mu.Unlock()
		return nil, last.err
	}
	c.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	var nc net.Conn
	var err error
	if config != nil {
		nc, err = (&tls.Dialer{NetDialer: d, Config: config}).DialContext(ctx, c.host.network, addr)
	} else {
		nc, err = d.DialContext(ctx, c.host.network, addr)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.dials, addr)
		return nc, nil
	}
	failed := &dialing{failures: 1, err: err}
	if last != nil {
		failed.failures += last.failures
	}
	failed.again = time.Now().Add(backoff(failed.failures))
	c.dials[addr] = failed
	return nil, err
}

// backoff is how long to wait after so many failures in a row.
func backoff(failures int) time.Duration {
	d := maxBackoff
	if failures < 7 {
		d = min(d, minBackoff<<(failures-1))
	}
	return d/2 + rand.N(d/2)
}

// pause waits as long as backoff says, or until ctx ends.
func pause(ctx context.Context, failures int) error {
	t := time.NewTimer(backoff(failures))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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

// close ends what uses the connection with errors.
func (c *conn) close() {
	c.end()
	c.mu.Lock()
	open := c.open
	c.open, c.closed = nil, true
	c.state.Connected, c.state.Err = false, errClosed
	c.mu.Unlock()
	if open != nil {
		open.Close()
	}
}

// ignored logs why a message that came could not be read: of the first for all to
// see, since it may be that the two sides have other keys or formats.
func (c *conn) ignored(err error) {
	level, first := slog.LevelDebug, ""
	c.odd.Do(func() { level, first = slog.LevelWarn, ", more of that is logged at the level debug" })
	c.log.Log(c.ctx, level, "redis: what another process sent is ignored"+first, "host", c.host.name, "err", err)
}
