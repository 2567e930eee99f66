package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	redigo "github.com/gomodule/redigo/redis"

	"github.com/teahouse-chat/teahouse/channels"
)

// An event to a group goes two steps: a lookup of the group's members, on its
// host, and a write to each process that has some, on that one's host. Each host
// has a line for each step, which keeps the order in which Publish was called
// and joins whatever waits into one request.

const (
	lookupBatch = 256     // groups looked up in one request
	writeBatch  = 256     // entries in one run of the script
	writeBytes  = 4 << 20 // bytes of them, roughly
)

// sending is an event on its way.
type sending struct {
	// fixed
	ctx   context.Context
	group string   // or ""
	named []string // channels, members or not
	body  []byte   // the event without a destination
	done  chan error

	// guarded by mu
	mu    sync.Mutex
	parts int
	err   error
}

// finish ends one part of a sending.
func (s *sending) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
	if s.parts--; s.parts == 0 {
		s.done <- s.err
	}
}

// write is one entry for one sorted set.
type write struct {
	sending  *sending
	key      string
	to       []string
	blob     string
	capacity int
	named    bool // a refusal is an error, as it is of a channel
}

// wait is for the end of all parts.
func (s *sending) wait() error {
	select {
	case err := <-s.done:
		return err
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// Publish sends an event to the members of a group that are not of this process,
// and to channels. That a member's process has no room for it is counted, and no
// error, as with Django; that a channel of Delivery.Channels has none is one.
func (c *Core) Publish(ctx context.Context, d channels.Delivery) error { return c.Begin(ctx, d)() }

// Begin is Publish without the wait for Redis, which is two round trips for an
// event to a group. Events that are begun meanwhile share them.
func (c *Core) Begin(ctx context.Context, d channels.Delivery) (end func() error) {
	s, err := c.begin(ctx, d)
	if err != nil {
		return failed(err)
	}
	return s.wait
}

func (c *Core) begin(ctx context.Context, d channels.Delivery) (*sending, error) {
	body, err := c.encode(d.Event)
	if err != nil {
		return nil, err
	}
	s := &sending{ctx: ctx, group: d.Group, body: body, done: make(chan error, 1), parts: 1}
	for _, name := range d.Channels {
		if _, _, mine := c.mine(name); mine {
			continue // the layer's
		}
		if err := checkChannel(name); err != nil {
			return nil, err
		}
		s.named = append(s.named, name)
	}
	switch {
	case s.group == "":
		c.route(s, nil)
	case !c.serverOf(safe(s.group)).looks.add(s):
		return nil, errClosed
	}
	return s, nil
}

// lookup finds the members of groups and sends the events on.
func (c *Core) lookup(on *server, batch []*sending) {
	for some := range slices.Chunk(batch, lookupBatch) {
		some = slices.DeleteFunc(some, func(s *sending) bool { return s.ctx.Err() != nil })
		var groups []string
		for _, s := range some {
			if !slices.Contains(groups, s.group) {
				groups = append(groups, s.group)
			}
		}
		members, err := c.members(on, groups)
		for _, s := range some {
			of := members[s.group]
			if err := cmp.Or(err, of.err); err != nil {
				s.finish(err)
				continue
			}
			c.route(s, of.names)
		}
	}
}

// membership is who is in a group, or why that cannot be read: its key is
// something else.
type membership struct {
	names []string
	err   error
}

// members reads who is in groups, after dropping those who did not renew it. It
// tries twice, since a connection that broke while idle shows by an error.
func (c *Core) members(on *server, groups []string) (map[string]membership, error) {
	var err error
	for range 2 {
		ctx, cancel := context.WithTimeout(c.life, requestTimeout)
		old := cut(on.clock.now(), c.node.GroupExpiry)
		todo := make([]command, 0, 2*len(groups))
		for _, group := range groups {
			key := c.names.group(group)
			todo = append(todo,
				command{"ZREMRANGEBYSCORE", key, "0", old},
				command{"ZRANGE", key, "0", "-1"})
		}
		var answers []any
		answers, err = on.conn.do(ctx, todo...)
		cancel()
		if err != nil {
			continue
		}
		members := make(map[string]membership, len(groups))
		for i, group := range groups {
			names, e := redigo.Strings(answers[2*i+1], nil)
			switch {
			case isWrongType(e):
				members[group] = membership{err: fmt.Errorf("redis: read the members of a group: %s: %w", c.names.group(group), e)}
			case e != nil:
				err = e
			default:
				members[group] = membership{names: names}
			}
		}
		if err == nil {
			return members, nil
		}
	}
	return nil, fmt.Errorf("redis: read the members of groups: %w", err)
}

// route makes one entry for each process, or channel of none, and puts it in its
// line. It is the only place where a sending gets its parts.
func (c *Core) route(s *sending, members []string) {
	var writes []*write
	add := func(name string, named bool) {
		key := c.keyOf(name)
		i := slices.IndexFunc(writes, func(w *write) bool { return w.key == key })
		if i < 0 {
			i = len(writes)
			writes = append(writes, &write{sending: s, key: key, capacity: c.node.Capacity(name)})
		}
		w := writes[i]
		if named && slices.Contains(w.to, name) {
			return // Redis names each member once, and there may be thousands
		}
		w.to = append(w.to, name)
		w.named = w.named || named
	}
	for _, name := range members {
		if _, _, mine := c.mine(name); !mine && utf8.ValidString(name) {
			add(name, false)
		}
	}
	for _, name := range s.named {
		add(name, true)
	}
	s.parts = max(len(writes), 1)
	if len(writes) == 0 {
		s.finish(nil)
		return
	}
	for _, w := range writes {
		blob, err := c.codec.addressed(s.body, w.destination())
		if err != nil {
			s.finish(err)
			continue
		}
		w.blob = string(blob)
		if !c.serverFor(w).writes.add(w) {
			s.finish(errClosed)
		}
	}
}

// destination is what stands in an entry: nothing for a channel of no process, a
// name for one channel, a list for members of a group.
func (w *write) destination() any {
	if w.sending.group == "" && len(w.to) == 1 {
		if !strings.Contains(w.to[0], "!") {
			return nil
		}
		return w.to[0]
	}
	list := make([]any, len(w.to))
	for i, name := range w.to {
		list[i] = name
	}
	return list
}

// keyOf is the sorted set of a channel. Those of another Go process are all in
// one, whatever stands before the process in their names.
func (c *Core) keyOf(name string) string {
	owner, _, owned := strings.Cut(name, "!")
	if !owned {
		return c.names.channel(name)
	}
	if dot := strings.LastIndexByte(owner, '.'); dot >= 0 && owner[:dot] != "specific" && c.isPeer(owner[dot+1:]) {
		owner = "specific" + owner[dot:]
	}
	return c.names.channel(owner + "!")
}

// serverFor is the host where a write belongs: where its readers look or, for
// a channel of no process, where many look, the next one.
func (c *Core) serverFor(w *write) *server {
	if w.sending.group == "" && !strings.Contains(w.to[0], "!") {
		return c.servers[int(c.turn.Add(1)-1)%len(c.servers)]
	}
	return c.serverOf(strings.TrimPrefix(w.key, c.names.prefix))
}

// push writes entries to one host.
func (c *Core) push(on *server, batch []*write) {
	batch = slices.DeleteFunc(batch, func(w *write) bool {
		err := w.sending.ctx.Err() // or a server that hangs would gather what nobody waits for any more
		if err != nil {
			w.sending.finish(err)
		}
		return err != nil
	})
	for len(batch) > 0 {
		n := together(batch)
		c.pushSome(on, batch[:n])
		batch = batch[n:]
	}
}

// together is how many of a batch, at least one, are written in one run. Of one
// set it is a quarter of what may wait there: its reader can take that before
// the next run, while a burst in one would be refused however fast it reads.
func together(batch []*write) int {
	n, size, of := 0, 0, make(map[string]int)
	for n < len(batch) && n < writeBatch && size < writeBytes {
		w := batch[n]
		if of[w.key]++; of[w.key] > max(w.capacity/4, 1) {
			break
		}
		size += len(w.blob)
		n++
	}
	return n
}

func (c *Core) pushSome(on *server, some []*write) {
	var keys []string
	args := make([]string, 2, 2+4*len(some))
	args[0] = cut(on.clock.now(), c.node.Expiry)
	args[1] = strconv.FormatInt(wholeSeconds(c.node.Expiry), 10)
	for _, w := range some {
		k := slices.Index(keys, w.key)
		if k < 0 {
			k = len(keys)
			keys = append(keys, w.key)
		}
		args = append(args, strconv.Itoa(k+1), strconv.Itoa(w.capacity), formatScore(on.clock.score()), w.blob)
	}
	refused, err := redigo.Int64s(on.run(c.life, c.scripts.push, keys, args))
	if err != nil {
		err = fmt.Errorf("redis: write events: %w", err)
	}
	for i, w := range some {
		full := slices.Contains(refused, int64(i))
		switch {
		case err != nil:
			w.sending.finish(err)
		case full && w.named:
			w.sending.finish(fmt.Errorf("redis: %.64q: %w", w.to[0], channels.ErrChannelFull))
		default:
			if full {
				c.node.Dropped(dropFull, 1)
			}
			w.sending.finish(nil)
		}
	}
}
