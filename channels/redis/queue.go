package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/teahouse-chat/teahouse/channels"
)

// spareTime is how long an event that was taken off a channel waits for somebody
// here to receive it, before it is put back.
const spareTime = time.Second

// taps are the channels of no process that somebody here receives from.
type taps struct {
	// guarded by mu
	mu   sync.Mutex
	open map[string]*tap
}

// tap is one of them. All hosts are read, since upstream's senders write to one
// after the other. So several events may be taken where one was asked for; what
// is too much waits a moment for the next Receive, and is then put back.
//
// A command that waits in Redis is never abandoned, for its answer may be an
// event: it waits a second at most, and outlives the Receive that began it.
type tap struct {
	// fixed
	name string

	// guarded by taps.mu
	waiting []chan channels.Event // of capacity 1
	spare   []spare
	pullers int
}

type spare struct {
	entry
	event channels.Event
	from  *server
}

// Receive takes the oldest event of a channel that belongs to no process. With
// several hosts, that is the oldest of one of them.
func (c *Core) Receive(ctx context.Context, channel string) (channels.Event, error) {
	if err := checkChannel(channel); err != nil {
		return channels.Event{}, err
	}
	got := make(chan channels.Event, 1)
	c.taps.mu.Lock()
	if c.life.Err() != nil {
		c.taps.mu.Unlock()
		return channels.Event{}, errClosed
	}
	t := c.taps.open[channel]
	if t == nil {
		t = &tap{name: channel}
		c.taps.open[channel] = t
	}
	if len(t.spare) > 0 {
		got <- t.spare[0].event
		t.spare = slices.Delete(t.spare, 0, 1)
	} else {
		t.waiting = append(t.waiting, got)
	}
	if t.pullers == 0 {
		t.pullers = len(c.servers)
		for _, s := range c.servers {
			c.runners.Go(func() { c.pull(t, s) })
		}
	}
	c.taps.mu.Unlock()

	var err error
	select {
	case e := <-got:
		return e, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.life.Done():
		err = errClosed
	}
	c.taps.mu.Lock()
	defer c.taps.mu.Unlock()
	if i := slices.Index(t.waiting, got); i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
		return channels.Event{}, err
	}
	return <-got, nil
}

// pull takes events of a tap off one host while somebody waits for them.
func (c *Core) pull(t *tap, s *server) {
	failures := 0
	for c.wanted(t) {
		next, err := c.popOne(t, s)
		switch {
		case rueidis.IsRedisNil(err):
			failures = 0
		case errors.Is(err, errBody):
			s.ignored(err)
		case err != nil:
			failures++
			s.down(fmt.Errorf("receive from a channel: %w", err))
			_ = pause(c.life, failures)
		case s.stale(next.score):
			c.node.Dropped(dropExpired, 1)
		default:
			failures = 0
			c.give(t, next)
		}
	}
	c.leave(t)
}

func (c *Core) wanted(t *tap) bool {
	c.taps.mu.Lock()
	defer c.taps.mu.Unlock()
	return len(t.waiting) > 0 && c.life.Err() == nil
}

func (c *Core) popOne(t *tap, s *server) (spare, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	client, err := s.client(ctx)
	if err != nil {
		return spare{}, err
	}
	e, err := poppedOne(client.Do(ctx, client.B().Bzpopmin().Key(c.names.channel(t.name)).Timeout(1).Build()))
	if err != nil {
		return spare{}, err
	}
	event, _, err := c.open([]byte(e.blob))
	return spare{entry: e, event: event, from: s}, err
}

// poppedOne is the entry in an answer to BZPOPMIN.
func poppedOne(answer rueidis.RedisResult) (entry, error) {
	values, err := answer.ToArray()
	if err != nil {
		return entry{}, err
	}
	if len(values) != 3 {
		return entry{}, fmt.Errorf("an answer of %d values", len(values))
	}
	blob, err := values[1].ToString()
	if err != nil {
		return entry{}, err
	}
	score, err := values[2].AsFloat64()
	return entry{score, blob}, err
}

func (c *Core) give(t *tap, s spare) {
	c.taps.mu.Lock()
	defer c.taps.mu.Unlock()
	if len(t.waiting) == 0 {
		t.spare = append(t.spare, s)
		return
	}
	t.waiting[0] <- s.event
	t.waiting = slices.Delete(t.waiting, 0, 1)
}

// leave ends a puller. The last one puts back what nobody came for, and stays if
// somebody did.
func (c *Core) leave(t *tap) {
	c.taps.mu.Lock()
	if t.pullers > 1 {
		t.pullers--
		c.taps.mu.Unlock()
		return
	}
	idle := len(t.spare) == 0
	c.taps.mu.Unlock()
	if !idle {
		moment, cancel := context.WithTimeout(c.life, spareTime)
		<-moment.Done()
		cancel()
	}
	c.taps.mu.Lock()
	left := t.spare
	t.spare = nil
	t.pullers = 0
	if again := len(t.waiting) > 0 && c.life.Err() == nil; again {
		t.pullers = len(c.servers)
		for _, s := range c.servers {
			c.runners.Go(func() { c.pull(t, s) })
		}
	} else if c.taps.open[t.name] == t {
		delete(c.taps.open, t.name)
	}
	c.taps.mu.Unlock()
	for _, s := range left {
		c.putBack(t, s)
	}
}

func (c *Core) putBack(t *tap, s spare) {
	key := c.names.channel(t.name)
	err := s.from.do(context.Background(),
		command{"ZADD", key, formatScore(s.score), s.blob},
		command{"EXPIRE", key, fmt.Sprint(wholeSeconds(c.node.Expiry))})
	if err != nil {
		c.node.Logger.Warn("redis: an event of a channel could not be put back", "channel", t.name, "err", err)
	}
}
