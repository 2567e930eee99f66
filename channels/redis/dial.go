package redis

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// dialing is what is known of an address that could not be used.
type dialing struct {
	failures int
	again    time.Time // not to be dialled before
	err      error
}

// connect opens a link to the server.
func (c *conn) connect(ctx context.Context) (*link, error) {
	l, err := c.connectServer(ctx)
	if err != nil {
		return nil, fmt.Errorf("redis: connect to %s: %w", c.host.name, err)
	}
	if err := c.enter(l); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (c *conn) connectServer(ctx context.Context) (*link, error) {
	if c.host.master != "" {
		return c.connectMaster(ctx)
	}
	return c.open(ctx, c.host.addrs[0], greeting(c.host.user, c.host.password, c.host.db))
}

// greeting are the commands that a connection begins with.
func greeting(user, password string, db int) []command {
	var todo []command
	switch {
	case user != "":
		todo = append(todo, command{"AUTH", user, password})
	case password != "":
		todo = append(todo, command{"AUTH", password})
	}
	if db != 0 {
		todo = append(todo, command{"SELECT", strconv.Itoa(db)})
	}
	return append(todo, command{"CLIENT", "SETNAME", "teahouse"})
}

// open opens a link to an address. One that failed is left alone for a while,
// which grows, and differs from process to process.
func (c *conn) open(ctx context.Context, addr string, greeting []command) (*link, error) {
	c.mu.Lock()
	last := c.dials[addr]
	if last != nil && time.Now().Before(last.again) {
		c.mu.Unlock()
		return nil, last.err
	}
	c.mu.Unlock()

	within, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	l, err := c.dial(within, addr)
	if err == nil {
		if err = l.greet(within, greeting); err != nil {
			l.close()
		}
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		delete(c.dials, addr)
		return l, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // says nothing about the address
	}
	failed := &dialing{failures: 1, err: err}
	if last != nil {
		failed.failures += last.failures
	}
	failed.again = time.Now().Add(backoff(failed.failures))
	c.dials[addr] = failed
	return nil, err
}

func (c *conn) dial(ctx context.Context, addr string) (*link, error) {
	dialer := &net.Dialer{KeepAlive: pingAfter}
	var nc net.Conn
	var err error
	if c.tls != nil {
		nc, err = (&tls.Dialer{NetDialer: dialer, Config: c.tls}).DialContext(ctx, c.host.network, addr)
	} else {
		nc, err = dialer.DialContext(ctx, c.host.network, addr)
	}
	if err != nil {
		return nil, err
	}
	return newLink(addr, nc, c.forget), nil
}

// greet makes a link ready. That it has no name is no harm: a user may not be
// allowed to give it one.
func (l *link) greet(ctx context.Context, greeting []command) error {
	defer context.AfterFunc(ctx, l.close)()
	answers, err := l.ask(dialTimeout, greeting...)
	if err != nil {
		return err
	}
	for i, a := range answers {
		told, failed := a.(redigo.Error)
		if failed && (greeting[i][0] != "CLIENT" || strings.HasPrefix(told.Error(), "NOAUTH")) {
			return told
		}
	}
	return nil
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
