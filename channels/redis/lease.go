package redis

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// Hold has f run in one of all the processes that call it with the same name:
// the one that holds the lease. When that one stops or dies, another takes over
// within ttl, which is at least a second. The context of f ends before the lease
// does for others; f must return soon then. A process that stood still, and goes
// on when another one has the lease, learns of it at once by Held. Only if Redis
// forgets everything may two run for a moment, a third of ttl at most.
//
// When f returns the lease is given up. Hold then asks for it anew, until ctx
// ends, whose error it returns. It may be called between Start and Close.
func (c *Core) Hold(ctx context.Context, name string, ttl time.Duration, f func(ctx context.Context)) error {
	key := c.names.lease(name)
	return hold(ctx, c.serverOf(key).conn, lease{key, ttl}, f)
}

// Held tells whether a lease is surely held at this moment; ctx is that of
// Hold's f, or made from it, and of any other it is false. Unlike the end of ctx
// it depends on nothing that has to run: who stood still for longer than the
// lease learns of it here, before anything else.
func Held(ctx context.Context) bool {
	t, _ := ctx.Value(termKey{}).(*term)
	return t != nil && t.covers(time.Now())
}

// Hold is that of Core.
func (p *PubSub) Hold(ctx context.Context, name string, ttl time.Duration, f func(ctx context.Context)) error {
	key := names{p.settings.Prefix}.lease(name)
	return hold(ctx, p.feeds[shard(key, len(p.feeds))].conn, lease{key, ttl}, f)
}

// lease is a key that exists while somebody holds it.
type lease struct {
	key string
	ttl time.Duration
}

// term is the time until which a lease is held.
type term struct{ until atomic.Pointer[time.Time] }

type termKey struct{}

func (t *term) set(until time.Time) { t.until.Store(&until) }

// covers looks at both clocks, since one stands still while a machine sleeps.
func (t *term) covers(now time.Time) bool {
	until := *t.until.Load()
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// holder is one who wants a lease.
type holder struct {
	lease
	via     *conn
	scripts scripts
	token   string
}

func hold(ctx context.Context, via *conn, l lease, f func(ctx context.Context)) error {
	if l.ttl < time.Second {
		return fmt.Errorf("redis: a lease of %s; it must be 1s or more", l.ttl)
	}
	h := &holder{lease: l, via: via, scripts: newScripts(), token: crand.Text()}
	failures := 0
	for {
		until, err := h.take(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case via.ctx.Err() != nil:
			return errClosed
		case err != nil && !errors.Is(err, redigo.ErrNil):
			if failures++; failures == 1 {
				via.log.Warn("redis: a lease cannot be taken, trying again", "lease", l.key, "err", err)
			}
			_ = pause(ctx, failures)
			continue
		}
		failures = 0
		if err == nil {
			h.run(ctx, until, f)
		}
		if !wait(ctx, via.ctx, l.ttl/3+rand.N(l.ttl/8)) && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// take asks for the lease. It is held until a time that is counted from before
// the question, so that it is over here before it is for others.
func (h *holder) take(ctx context.Context) (until time.Time, err error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err = redigo.String(h.via.one(ctx, command{"SET", h.key, h.token, "NX", "PX", milliseconds(h.ttl)}))
	return began.Add(h.ttl), err
}

// run runs f while the lease is held.
func (h *holder) run(ctx context.Context, until time.Time, f func(ctx context.Context)) {
	t := new(term)
	t.set(until)
	held, stop := context.WithCancel(context.WithValue(ctx, termKey{}, t))
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer stop()
		h.renew(held, t)
	})
	f(held)
	stop()
	renewing.Wait()

	// Whether the lease was lost or not: the script looks.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	_, _ = h.via.run(end, h.scripts.release, []string{h.key}, []string{h.token})
}

// renew keeps the lease until ctx ends, or it is lost or can no longer be held
// for certain.
func (h *holder) renew(ctx context.Context, t *term) {
	until := *t.until.Load()
	for wait(ctx, h.via.ctx, min(h.ttl/3, time.Until(until))) && t.covers(time.Now()) {
		began := time.Now()
		try, cancel := context.WithDeadline(ctx, until)
		mine, err := redigo.Int(h.via.run(try, h.scripts.extend, []string{h.key}, []string{h.token, milliseconds(h.ttl)}))
		cancel()
		if err == nil && mine == 0 {
			t.set(time.Time{})
			return // it is somebody else's
		}
		if err == nil {
			until = began.Add(h.ttl)
			t.set(until)
		}
	}
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// wait is false if one of two contexts ended first.
func wait(a, b context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.Done():
	case <-b.Done():
	}
	return false
}
