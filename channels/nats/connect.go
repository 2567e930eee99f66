package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Times of connections.
const (
	connectTimeout = 3 * time.Second // of each server
	writeTimeout   = 3 * time.Second // a server that reads nothing for so long is taken for lost
	replyTimeout   = 5 * time.Second // and one that answers nothing
	pingAfter      = 5 * time.Second // of silence
	minBackoff     = 100 * time.Millisecond
	maxBackoff     = 5 * time.Second
)

// hostsOf are servers for people: they have no credentials.
func hostsOf(servers []string) string { return strings.Join(servers, ",") }

// login are the options of nats.go that say who we are.
func (b *Broker) login() (nats.Options, error) {
	o := nats.GetDefaultOptions()
	o.User, o.Password, o.Token = b.options.User, b.options.Password, b.options.Token
	if file := b.options.Creds; file != "" {
		if err := nats.UserCredentials(file)(&o); err != nil {
			return o, fmt.Errorf("nats: read the creds: %w", err)
		}
	}
	if file := b.options.NKey; file != "" {
		set, err := nats.NkeyOptionFromSeed(file)
		if err == nil {
			err = set(&o)
		}
		if err != nil {
			return o, fmt.Errorf("nats: read the nkey: %w", err)
		}
	}
	return o, nil
}

// link is one connection. nats.go could find the next by itself, but then it
// would not say which messages came by which.
type link struct {
	conn     *nats.Conn
	arrivals chan *nats.Msg // of all subscriptions
	gone     chan struct{}  // closed when there is no connection any more
	failed   chan error     // holds 1: why it is of no use
}

// maxUnread bounds arrivals, which are read at once.
const maxUnread = 1 << 14

// connect tries each server once.
func (b *Broker) connect(ctx context.Context) (*link, error) {
	o, err := b.login()
	if err != nil {
		return nil, err
	}
	l := &link{arrivals: make(chan *nats.Msg, maxUnread), gone: make(chan struct{}), failed: make(chan error, 1)}
	d := &dialer{ctx: ctx}
	o.Servers, o.NoRandomize, o.IgnoreDiscoveredServers = b.servers(), true, false
	o.Name, o.NoEcho, o.AllowReconnect = "teahouse", true, false
	o.Timeout, o.FlusherTimeout = connectTimeout, writeTimeout
	o.PingInterval, o.MaxPingsOut = pingAfter, 1
	o.CustomDialer, o.SkipHostLookup = d, true
	if strings.HasPrefix(b.options.Servers[0], "tls://") {
		o.Secure, o.TLSConfig = true, &tls.Config{}
		if b.options.TLS != nil {
			o.TLSConfig = b.options.TLS.Clone()
		}
	}
	o.ClosedCB = func(*nats.Conn) { close(l.gone) }
	o.AsyncErrorCB = func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if !errors.Is(err, nats.ErrBadHeaderMsg) { // of a message that somebody else sent
			l.fail(err)
		}
	}
	nc, err := o.Connect()
	if failed := d.done(); errors.Is(err, nats.ErrNoServers) && failed != nil {
		err = failed // which says more
	}
	if err != nil {
		return nil, fmt.Errorf("nats: connect to %s: %w", b.host, err)
	}
	l.conn = nc
	b.discovered = nc.DiscoveredServers()
	return l, nil
}

// fail notes that the connection is of no use: a permission is missing, or
// something was dropped before it could be read.
func (l *link) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

// servers are those to try, each list in an order of its own.
func (b *Broker) servers() []string {
	ours, theirs := slices.Clone(b.options.Servers), slices.Clone(b.discovered)
	for _, list := range [][]string{ours, theirs} {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return append(ours, theirs...)
}

// dialer opens TCP connections that end with ctx until one is in use.
type dialer struct {
	ctx context.Context

	mu    sync.Mutex
	stops []func() bool
	err   error // the last
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: connectTimeout, KeepAlive: pingAfter}).DialContext(d.ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err = err; err != nil {
		return nil, err
	}
	d.stops = append(d.stops, context.AfterFunc(d.ctx, func() { _ = c.Close() }))
	return c, nil
}

// done leaves the connections alone, and is why the last could not be made.
func (d *dialer) done() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, stop := range d.stops {
		stop()
	}
	return d.err
}

// pause waits before the next attempt, longer after each failure in a row, and
// differently from process to process; or until ctx ends.
func pause(ctx context.Context, failures int) {
	d := maxBackoff
	if failures < 7 {
		d = min(d, minBackoff<<(failures-1))
	}
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
