package redis

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Core is a broker in the core format of channels_redis: a sorted set for each
// process, and one for each group with the names of its members. See New.
//
// This process is one member of a group, however many connections it has in it,
// so an event comes once and is small. What Django sends to a connection by its
// name, or to a group Django made it a member of, arrives too; who is reached
// both ways gets the event once. Django cannot make a connection leave a group
// that it joined here.
//
// A process that dies is taken out of its groups by the others within seconds.
// Memberships that a flush of Django's or a restart of Redis took away are
// restored, and told as a gap.
//
// Events of channels that belong to no process are given out at most once among
// Go processes.
type Core struct {
	// fixed
	settings settings
	codec    *codec
	names    names
	scripts  scripts
	timing   timing

	// fixed by Start
	node     channels.Node
	servers  []*server // one for each host
	key      string    // what others write to
	capacity int       // of key
	home     *server   // where Django writes what is for groups

	aliases aliases
	taps    taps
	turn    atomic.Uint64 // of hosts for channels of no process

	// of goroutines
	life    context.Context // ends with Close
	end     context.CancelFunc
	runners sync.WaitGroup
	lookers sync.WaitGroup
	writers sync.WaitGroup
}

// timing is how often a Core looks after itself.
type timing struct {
	tick  time.Duration // between looks at the memberships, and renewals of the lease
	lease time.Duration // after which a silent process is taken for dead
}

var _ interface {
	channels.Broker
	channels.Queuer
	channels.Enroller
	channels.Pipeliner
} = (*Core)(nil)

// NewCore returns a broker of the core format, whatever o.PubSub says. It
// connects to nothing before Start.
func NewCore(o Options) (*Core, error) {
	o.PubSub = false
	s, err := o.checked()
	if err != nil {
		return nil, err
	}
	c := &Core{
		settings: s,
		codec:    newCodec(s),
		names:    names{s.Prefix},
		scripts:  newScripts(),
		timing:   timing{tick: 2 * time.Second, lease: 15 * time.Second},
	}
	c.aliases.groups, c.aliases.left = make(map[string]string), make(map[string]time.Time)
	c.taps.open = make(map[string]*tap)
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Start begins to receive. It is channels.NewLayer that calls it.
func (c *Core) Start(n channels.Node) {
	c.node = n
	for _, h := range c.settings.hosts {
		c.servers = append(c.servers, newServer(c, newConn(h, c.settings.TLS, n.Logger)))
	}
	c.codec.maxAge = n.Expiry + 10*time.Second // upstream's
	owner := c.channel("")
	c.key = c.names.channel(owner)
	c.capacity = n.Capacity(owner)
	c.home = c.serverOf(owner)
	c.timing.tick = min(c.timing.tick, max(n.GroupExpiry/4, 10*time.Millisecond))
	for _, s := range c.servers {
		c.runners.Go(func() { s.roster.run(c.life) })
		c.runners.Go(func() { s.reader.pop(c.life) })
		c.runners.Go(func() { s.reader.deliver(c.life) })
	}
}

// Follow makes this process a member of groups. It returns when Redis has
// acknowledged that or, while Redis cannot be reached, at once: then it is done
// later, and told as a gap.
func (c *Core) Follow(ctx context.Context, groups []string) error {
	if err := c.order(ctx, groups, true); err != nil {
		_ = c.order(ctx, groups, false) // only noted: ctx has ended
		return fmt.Errorf("redis: join groups: %w", err)
	}
	return nil
}

// Unfollow ends this process's membership of groups.
func (c *Core) Unfollow(ctx context.Context, groups []string) error {
	if err := c.order(ctx, groups, false); err != nil {
		return fmt.Errorf("redis: leave groups: %w", err)
	}
	return nil
}

// order tells the rosters, and waits for them.
func (c *Core) order(ctx context.Context, groups []string, follow bool) error {
	if c.life.Err() != nil {
		return errClosed
	}
	on := make(map[*server][]string, 1)
	for _, group := range groups {
		s := c.serverOf(safe(group))
		on[s] = append(on[s], group)
	}
	var waits []<-chan struct{}
	for s, some := range on {
		waits = append(waits, s.roster.order(some, follow))
	}
	for _, done := range waits {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.life.Done():
			return errClosed
		}
	}
	return nil
}

// GroupAdd makes a channel of another process, or of none, a member of a group,
// or renews that.
func (c *Core) GroupAdd(ctx context.Context, group, channel string) error {
	if err := checkChannel(channel); err != nil {
		return err
	}
	s, key := c.serverOf(safe(group)), c.names.group(group)
	err := s.do(ctx,
		command{"ZADD", key, formatScore(seconds(s.clock.now())), channel},
		command{"EXPIRE", key, fmt.Sprint(wholeSeconds(c.node.GroupExpiry))})
	if err != nil {
		return fmt.Errorf("redis: add a channel to a group: %w", err)
	}
	return nil
}

// GroupDiscard ends what GroupAdd began.
func (c *Core) GroupDiscard(ctx context.Context, group, channel string) error {
	err := c.serverOf(safe(group)).do(ctx, command{"ZREM", c.names.group(group), channel})
	if err != nil {
		return fmt.Errorf("redis: take a channel from a group: %w", err)
	}
	return nil
}

// States are the states of the hosts, in their order.
func (c *Core) States() []State {
	states := make([]State, len(c.servers))
	for i, s := range c.servers {
		states[i] = s.now()
	}
	return states
}

// Close leaves all groups, waits for what is being sent, and ends the
// goroutines. Close the layer first.
func (c *Core) Close() error {
	for _, s := range c.servers {
		s.looks.close()
	}
	c.lookers.Wait()
	for _, s := range c.servers {
		s.writes.close()
	}
	c.writers.Wait()
	c.taps.mu.Lock() // no puller starts any more
	c.end()
	c.taps.mu.Unlock()
	c.runners.Wait()
	for _, s := range c.servers {
		s.close()
	}
	return nil
}

// channel is the name of a channel of this process.
func (c *Core) channel(local string) string { return "specific." + c.node.Process + "!" + local }

// serverOf is the host of a name.
func (c *Core) serverOf(name string) *server { return c.servers[shard(name, len(c.servers))] }

// mine understands the name of a channel of this process: one that stands for a
// group, which is "" if it is not followed any more, or a channel itself.
func (c *Core) mine(name string) (group string, isAlias, ok bool) {
	owner, local, owned := strings.Cut(name, "!")
	if !owned || !strings.HasSuffix(owner, "."+c.node.Process) {
		return "", false, false
	}
	if owner == "specific."+c.node.Process {
		group, isAlias = c.aliases.group(local)
	}
	return group, isAlias, true
}

func (c *Core) isPeer(process string) bool {
	return process != c.node.Process && c.servers[0].isPeer(process)
}

// encode is an event without a destination.
func (c *Core) encode(e channels.Event) ([]byte, error) {
	m, err := outgoing(e)
	if err == nil {
		var b []byte
		if b, err = c.codec.marshal(m); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("redis: write an event of type %.64q: %w", e.Type, err)
}

// open is the event of a blob, and the channels it is for.
func (c *Core) open(blob []byte) (e channels.Event, to []string, err error) {
	m, err := c.codec.decode(blob)
	if err != nil {
		return channels.Event{}, nil, err
	}
	switch names := m[keyDest].(type) {
	case string:
		to = []string{names}
	case []any:
		for _, name := range names {
			if text, ok := name.(string); ok {
				to = append(to, text)
			}
		}
	}
	e, err = incoming(m)
	return e, to, err
}
