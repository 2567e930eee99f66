package redis

import (
	"context"
	"errors"
	"fmt"
	"net"

	redigo "github.com/gomodule/redigo/redis"
)

// connectMaster opens a link to the server that the Sentinels call the master,
// if that one says so too.
func (c *conn) connectMaster(ctx context.Context) (*link, error) {
	c.keepWatch()
	addr, err := c.master(ctx)
	if err != nil {
		return nil, err
	}
	l, err := c.open(ctx, addr, greeting(c.host.user, c.host.password, c.host.db))
	if err == nil {
		if err = l.isMaster(); err != nil {
			l.close()
		}
	}
	if err != nil {
		c.mu.Lock()
		c.sentinel++ // another one may know better
		c.mu.Unlock()
		return nil, fmt.Errorf("the master is %s: %w", addr, err)
	}
	return l, nil
}

func (l *link) isMaster() error {
	answers, err := l.ask(dialTimeout, command{"ROLE"})
	if err != nil {
		return err
	}
	role, err := redigo.Values(answers[0], nil)
	if err != nil || len(role) == 0 {
		return fmt.Errorf("ask for its role: %w", err)
	}
	if name, _ := redigo.String(role[0], nil); name != "master" {
		return fmt.Errorf("it takes itself for a %.16q", name)
	}
	return nil
}

// master is the address of the server, by the first Sentinel that knows it.
func (c *conn) master(ctx context.Context) (string, error) {
	c.mu.Lock()
	first := c.sentinel
	c.mu.Unlock()
	var failed error
	for i := range c.host.addrs {
		at := (first + i) % len(c.host.addrs)
		addr, err := c.askSentinel(ctx, c.host.addrs[at])
		if err == nil {
			c.mu.Lock()
			c.sentinel = at
			c.mu.Unlock()
			return addr, nil
		}
		failed = errors.Join(failed, fmt.Errorf("ask the Sentinel %s: %w", c.host.addrs[at], err))
	}
	return "", failed
}

func (c *conn) askSentinel(ctx context.Context, at string) (string, error) {
	l, err := c.open(ctx, at, greeting(c.host.sentinelUser, c.host.sentinelPassword, 0))
	if err != nil {
		return "", err
	}
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()
	defer context.AfterFunc(c.ctx, l.close)()
	answers, err := l.ask(dialTimeout, command{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", c.host.master})
	if err != nil {
		return "", err
	}
	place, err := redigo.Strings(answers[0], nil)
	switch {
	case errors.Is(err, redigo.ErrNil):
		return "", fmt.Errorf("it knows no %.64q", c.host.master)
	case err != nil:
		return "", err
	case len(place) != 2:
		return "", fmt.Errorf("an answer of %d values", len(place))
	}
	return net.JoinHostPort(place[0], place[1]), nil
}

// keepWatch has the Sentinels asked every few seconds from now on: a master that
// hangs breaks no connection when another takes its place.
func (c *conn) keepWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watching || c.closed {
		return
	}
	c.watching = true
	c.running.Go(func() {
		for wait(c.ctx, c.ctx, pingAfter) {
			c.recheck()
		}
	})
}

// recheck closes the links to a server that is not the master any more.
func (c *conn) recheck() {
	addr, err := c.master(c.ctx)
	if err != nil || len(c.elsewhere(addr)) == 0 {
		return
	}
	l, err := c.connect(c.ctx)
	if err != nil {
		return // who needs one finds out
	}
	old := c.elsewhere(l.addr)
	for _, other := range old {
		other.close()
	}
	c.giveBack(l)
	if len(old) > 0 {
		c.log.Info("redis: the Sentinels have another master", "host", c.host.name, "master", l.addr)
	}
}

// elsewhere are the links that do not go to an address.
func (c *conn) elsewhere(addr string) []*link {
	c.mu.Lock()
	defer c.mu.Unlock()
	var others []*link
	for l := range c.links {
		if l.addr != addr {
			others = append(others, l)
		}
	}
	return others
}
