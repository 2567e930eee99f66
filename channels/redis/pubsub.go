package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	redigo "github.com/gomodule/redigo/redis"

	"github.com/teahouse-chat/teahouse/channels"
)

// PubSub is the broker of the pub/sub format, that of channels_redis's
// RedisPubSubChannelLayer: nothing is stored, a group is one Redis channel, and
// an event to a group is one message for each process that follows it, however
// many members it has there.
//
// A channel of a process is a Redis channel of the same name, so that Django can
// send to one; it cannot make one a member of a group. Channels have no
// capacity, and Publish does not tell whether anybody received.
//
// Channels of no process ([channels.Queuer]) are as upstream has them: every
// process that receives from one gets every event, and its receivers take turns.
// Work to be done once needs Core. A process listens from the first Receive to
// the last, and for the layer's expiry after it.
//
// Who has had an event from a process can send to its channels: nothing is
// published or delivered before all hosts are listened to, but for those that
// could not be reached.
//
// Redis brings a process's own messages back to it. They are known by a message
// that goes before each in one transaction, on a Redis channel that only their
// process hears: {prefix}.{process}!own. So Django gets exactly the bytes that
// it would from Django.
//
// Redis users with an ACL need all channels (&*) and the commands PUBLISH,
// SUBSCRIBE, PSUBSCRIBE, UNSUBSCRIBE, MULTI, EXEC and PING.
//
// An event that goes to a group and to channels, both in one Delivery, comes
// twice to who is among both.
type PubSub struct {
	// fixed
	settings settings
	codec    *codec

	// fixed by Start
	node  channels.Node
	feeds []*feed // one for each host
	own   string  // the Redis channel that announces our own messages

	ctx     context.Context // of all goroutines, ends with Close
	end     context.CancelFunc
	running sync.WaitGroup
}

var _ interface {
	channels.Broker
	channels.Queuer
	channels.Pipeliner
} = (*PubSub)(nil)

// NewPubSub returns a broker of the pub/sub format, whatever o.PubSub says. It
// connects to nothing before Start.
func NewPubSub(o Options) (*PubSub, error) {
	o.PubSub = true
	s, err := o.checked()
	if err != nil {
		return nil, err
	}
	p := &PubSub{settings: s, codec: newCodec(s)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p, nil
}

// Start begins to listen, and to connect until that succeeds.
func (p *PubSub) Start(n channels.Node) {
	p.node = n
	p.own = p.settings.Prefix + "." + n.Process + "!own"
	for _, h := range p.settings.hosts {
		p.feeds = append(p.feeds, newFeed(p, newConn(h, p.settings.TLS, n.Logger)))
	}
	for _, f := range p.feeds {
		p.running.Go(func() { f.run(p.ctx) })
		p.running.Go(func() { f.deliver(p.ctx) })
	}
}

// Follow subscribes to groups. It waits until that is so, or until their host
// turns out not to be reachable: then they are subscribed to later, and told as
// a gap.
func (p *PubSub) Follow(ctx context.Context, groups []string) error {
	for f, of := range p.byFeed(groups) {
		if err := f.follow(ctx, of); err != nil {
			p.unfollow(groups)
			return fmt.Errorf("redis: subscribe: %w", err)
		}
	}
	return nil
}

// Unfollow ends the delivery at once. It waits until Redis has unsubscribed, so
// that nothing that is published afterwards comes if a group is followed again.
func (p *PubSub) Unfollow(ctx context.Context, groups []string) error {
	for _, done := range p.unfollow(groups) {
		if err := settled(ctx, done); err != nil {
			return fmt.Errorf("redis: unsubscribe: %w", err)
		}
	}
	return nil
}

// unfollow gives what is closed when that is done.
func (p *PubSub) unfollow(groups []string) (done []<-chan struct{}) {
	for f, of := range p.byFeed(groups) {
		done = append(done, f.unfollow(of))
	}
	return done
}

// byFeed deals groups to the hosts of their Redis channels.
func (p *PubSub) byFeed(groups []string) map[*feed][]string {
	dealt := make(map[*feed][]string, 1)
	for _, g := range groups {
		f := p.feed(p.topic(g))
		dealt[f] = append(dealt[f], g)
	}
	return dealt
}

// feed is what comes from the host of a Redis channel.
func (p *PubSub) feed(topic string) *feed { return p.feeds[shard(topic, len(p.feeds))] }

// topic is the Redis channel of a group.
func (p *PubSub) topic(group string) string {
	return p.settings.Prefix + "__group__" + channels.SafeName(group)
}

// Publish sends an event. Its error may be about one destination of several.
func (p *PubSub) Publish(ctx context.Context, d channels.Delivery) error { return p.Begin(ctx, d)() }

// Begin is Publish without the wait for Redis to answer, unless it is still to be
// connected to.
func (p *PubSub) Begin(ctx context.Context, d channels.Delivery) (end func() error) {
	m, err := outgoing(d.Event)
	if err != nil {
		return failed(fmt.Errorf("redis: %w", err))
	}
	body, err := p.codec.encode(m)
	if err != nil {
		return failed(fmt.Errorf("redis: encode an event: %w", err))
	}
	if err := p.begun(ctx); err != nil {
		return failed(fmt.Errorf("redis: publish: %w", err))
	}
	var ends []func() error
	if d.Group != "" {
		ends = append(ends, p.publishOwn(ctx, p.topic(d.Group), string(body)))
	}
	for _, channel := range d.Channels {
		if owner, _, owned := strings.Cut(channel, "!"); owned && strings.HasSuffix(owner, "."+p.node.Process) {
			continue // the layer has done that
		}
		ends = append(ends, p.publish(ctx, channel, string(body)))
	}
	return func() error {
		var err error
		for _, end := range ends {
			err = errors.Join(err, end())
		}
		return err
	}
}

// failed is the end of what did not begin.
func failed(err error) (end func() error) { return func() error { return err } }

// begun waits until all hosts are listened to, or could not be reached.
func (p *PubSub) begun(ctx context.Context) error {
	for _, f := range p.feeds {
		select {
		case <-f.tried:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *PubSub) publish(ctx context.Context, topic, body string) (end func() error) {
	return p.feed(topic).conn.publish(ctx, command{"PUBLISH", topic, body})
}

// publishOwn publishes to a Redis channel that this process may be subscribed
// to, and lets it know that the message is its own.
func (p *PubSub) publishOwn(ctx context.Context, topic, body string) (end func() error) {
	return p.feed(topic).conn.publish(ctx,
		command{"MULTI"},
		command{"PUBLISH", p.own, topic},
		command{"PUBLISH", topic, body},
		command{"EXEC"})
}

// publish sends commands; end waits for the answers, and fails if one is an error.
func (c *conn) publish(ctx context.Context, commands ...command) (end func() error) {
	r, err := c.begin(ctx, commands)
	return func() error {
		var answers []any
		if err == nil {
			answers, err = r.wait()
		}
		for _, a := range answers {
			if told, failed := a.(redigo.Error); failed && err == nil {
				err = told
			}
		}
		if err != nil {
			return fmt.Errorf("redis: publish by %s: %w", c.host.name, err)
		}
		return nil
	}
}

// Receive takes the oldest event of a channel of no process.
func (p *PubSub) Receive(ctx context.Context, channel string) (channels.Event, error) {
	return p.feed(channel).receive(ctx, channel)
}

// States are the states of the hosts, in their order.
func (p *PubSub) States() []State {
	states := make([]State, len(p.feeds))
	for i, f := range p.feeds {
		states[i] = f.conn.now()
	}
	return states
}

// Close ends all connections and waits until nothing is delivered any more.
// Publish and Receive fail from then on.
func (p *PubSub) Close() error {
	p.end()
	for _, f := range p.feeds {
		p.running.Go(f.close) // which may take a second, if the host is silent
	}
	p.running.Wait()
	return nil
}
