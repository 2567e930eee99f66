package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"

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
	pulling map[*server]bool
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
		t = &tap{name: channel, pulling: make(map[*server]bool)}
		c.taps.open[channel] = t
	}
	if len(t.spare) > 0 {
		got <- t.spare[0].event
		t.spare = slices.Delete(t.spare, 0, 1)
	} else {
		t.waiting = append(t.waiting, got)
	}
	for _, s := range c.servers {
		if !t.pulling[s] {
			t.pulling[s] = true
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

// pull takes events of a tap off one host while somebody waits for them, and
// puts back those that nobody came for.
func (c *Core) pull(t *tap, s *server) {
	failures, rested := 0, false
	for {
		more, left := c.wanted(t, s, rested)
		switch {
		case more && len(left) == 0:
			failures = c.pullOne(t, s, failures)
			rested = false
		case more:
			moment, cancel := context.WithTimeout(c.life, spareTime)
			<-moment.Done()
			cancel()
			rested = true
		default:
			for _, one := range left {
				c.putBack(t, one)
			}
			return
		}
	}
}

// wanted tells whether a puller has more to do, and which events it took that
// nobody has received. Those are its to put back when it has rested or the
// broker is closed.
func (c *Core) wanted(t *tap, s *server, rested bool) (more bool, left []spare) {
	c.taps.mu.Lock()
	defer c.taps.mu.Unlock()
	if len(t.waiting) > 0 && c.life.Err() == nil {
		return true, nil
	}
	for _, one := range t.spare {
		if one.from == s {
			left = append(left, one)
		}
	}
	if len(left) > 0 && !rested && c.life.Err() == nil {
		return true, left
	}
	t.spare = slices.DeleteFunc(t.spare, func(one spare) bool { return one.from == s })
	delete(t.pulling, s)
	if len(t.pulling) == 0 && c.taps.open[t.name] == t {
		delete(c.taps.open, t.name)
	}
	return false, left
}

// pullOne waits for an event, for a second, and counts failures in a row.
func (c *Core) pullOne(t *tap, s *server, failures int) int {
	next, err := c.popOne(t, s)
	switch {
	case errors.Is(err, redigo.ErrNil):
	case errors.Is(err, errBody):
		s.ignored(err)
	case isWrongType(err):
		c.node.Logger.Warn("redis: the key of a channel is something else", "channel", t.name, "host", s.host.name, "err", err)
		_ = pause(c.life, failures+1)
		return failures + 1
	case err != nil:
		s.broke(fmt.Errorf("receive from a channel: %w", err))
		_ = pause(c.life, failures+1)
		return failures + 1
	case s.stale(next.score):
		c.node.Dropped(dropExpired, 1)
	default:
		c.give(t, next)
	}
	return 0
}

func (c *Core) popOne(t *tap, s *server) (spare, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTimeout)
	defer cancel()
	l, err := s.borrow(ctx)
	if err != nil {
		return spare{}, err
	}
	answers, err := l.ask(requestTimeout, command{"BZPOPMIN", c.names.channel(t.name), "1"})
	if err != nil {
		l.close()
		return spare{}, err
	}
	s.giveBack(l)
	e, err := poppedOne(answers[0])
	if err != nil {
		return spare{}, err
	}
	event, _, err := c.open(e.blob)
	return spare{entry: e, event: event, from: s}, err
}

// poppedOne is the entry in an answer to BZPOPMIN.
func poppedOne(answer any) (entry, error) {
	values, err := redigo.Values(answer, nil)
	if err != nil {
		return entry{}, err
	}
	if len(values) != 3 {
		return entry{}, fmt.Errorf("an answer of %d values", len(values))
	}
	return asEntry(values[1], values[2])
}

// asEntry is the entry that a member and its score are.
func asEntry(member, score any) (entry, error) {
	blob, err := redigo.Bytes(member, nil)
	if err != nil {
		return entry{}, err
	}
	at, err := redigo.Float64(score, nil)
	return entry{at, blob}, err
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

func (c *Core) putBack(t *tap, s spare) {
	key := c.names.channel(t.name)
	err := s.from.do(context.Background(),
		command{"ZADD", key, formatScore(s.score), string(s.blob)},
		command{"EXPIRE", key, fmt.Sprint(wholeSeconds(c.node.Expiry))})
	if err != nil {
		c.node.Logger.Warn("redis: an event of a channel could not be put back", "channel", t.name, "err", err)
	}
}
