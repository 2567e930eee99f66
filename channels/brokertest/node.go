package brokertest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// limits are what a node tells its broker.
type limits struct {
	capacity int // of every channel
}

// node stands for a process: what a Layer is to its broker.
type node struct {
	// fixed
	process string
	broker  channels.Broker
	closed  bool // owned by the test's goroutine

	// guarded by mu
	mu      sync.Mutex
	got     []channels.Delivery // but those of warm-ups
	warm    bool                // a warm-up came
	last    map[string]int      // by sender and target, the last number that came
	wrong   []string
	gaps    [][]string
	dropped map[string]int
	over    bool          // Close has returned
	held    chan struct{} // Deliver waits until it is closed; nil: it does not
	calls   int           // of Deliver
}

// Keys of the payloads of numbered events, which every delivery is checked by.
const (
	keyFrom   = "from"   // the sender: process/name
	keyTo     = "to"     // the group or channel
	keyNumber = "number" // of this sender to this target, from 1
)

const warmUp = "warm.up"

// start starts a broker; deliver is its Node's, or nil for that of the node.
func start(b channels.Broker, l limits, deliver func(context.Context, channels.Delivery) error) *node {
	var id [16]byte
	_, _ = rand.Read(id[:])
	n := &node{process: hex.EncodeToString(id[:]), broker: b, last: map[string]int{}, dropped: map[string]int{}}
	if deliver == nil {
		deliver = n.deliver
	}
	b.Start(channels.Node{
		Process:     n.process,
		Capacity:    func(string) int { return l.capacity },
		Expiry:      time.Minute,
		GroupExpiry: time.Hour,
		Deliver:     deliver,
		Gap:         n.gap,
		Dropped:     n.drop,
		Logger:      slog.New(slog.DiscardHandler),
	})
	return n
}

// channel is the name of a channel of this process.
func (n *node) channel(local string) string { return "specific." + n.process + "!" + local }

// deliver is Node.Deliver.
func (n *node) deliver(ctx context.Context, d channels.Delivery) error {
	n.mu.Lock()
	n.calls++
	held := n.held
	n.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if d.Event.Type == warmUp {
		n.warm = true
		return nil
	}
	n.check(d)
	n.got = append(n.got, d)
	return nil
}

// gap is Node.Gap.
func (n *node) gap(groups ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gaps = append(n.gaps, slices.Clone(groups))
}

// drop is Node.Dropped.
func (n *node) drop(cause string, k int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dropped[cause] += k
}

// check notes what is wrong with any delivery. n.mu is held.
func (n *node) check(d channels.Delivery) {
	complain := func(format string, args ...any) {
		if len(n.wrong) < 10 {
			n.wrong = append(n.wrong, fmt.Sprintf(format, args...))
		}
	}
	if n.over {
		complain("delivered after Close: %+v", d)
	}
	if d.Group == "" && len(d.Channels) == 0 {
		complain("a delivery to nobody: %+v", d)
	}
	for _, c := range d.Channels {
		if !strings.HasPrefix(c, "specific."+n.process+"!") {
			complain("a delivery to %q, a channel of another process", c)
		}
	}
	payload, ok := d.Event.Payload.(map[string]any)
	if !ok {
		complain("a payload of %T, EventFromMap makes a map", d.Event.Payload)
		return
	}
	from, to, number := numbered(payload)
	if from == "" {
		return
	}
	if strings.HasPrefix(from, n.process) {
		complain("its own event came back: %s to %s, number %d", from, to, number)
	}
	if key := from + " " + to; number <= n.last[key] {
		complain("%s to %s: number %d after %d", from, to, number, n.last[key])
	} else {
		n.last[key] = number
	}
	if to != d.Group && !slices.Contains(d.Channels, to) && len(d.Channels) == 0 {
		complain("what was sent to %q came for the group %q", to, d.Group)
	}
}

// numbered reads the payload of a numbered event; from is empty for others.
func numbered(payload map[string]any) (from, to string, number int) {
	from, _ = payload[keyFrom].(string)
	to, _ = payload[keyTo].(string)
	number, _ = strconv.Atoi(plainNumber(payload[keyNumber]))
	return from, to, number
}

func (n *node) violations() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.wrong)
}

// numbersOf are the numbers that came from a sender to a target, in their order.
func (n *node) numbersOf(p *publisher, target string) []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []int
	for _, d := range n.got {
		from, to, number := numbered(d.Event.Payload.(map[string]any))
		if from == p.name && to == target {
			all = append(all, number)
		}
	}
	return all
}

// lastOf is the last number that came from a sender to a target.
func (n *node) lastOf(p *publisher, target string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[p.name+" "+target]
}

func (n *node) deliveries() []channels.Delivery {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.got)
}

// gapTold says whether a gap was told that includes a group.
func (n *node) gapTold(group string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.gaps, func(groups []string) bool {
		return len(groups) == 0 || slices.Contains(groups, group)
	})
}

// drops is how many events the broker says it dropped.
func (n *node) drops() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := 0
	for _, k := range n.dropped {
		sum += k
	}
	return sum
}

// hold makes Deliver wait until free.
func (n *node) hold() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = make(chan struct{})
}

func (n *node) free() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held != nil {
		close(n.held)
		n.held = nil
	}
}

// publisher is one sender: its events to one target are numbered.
type publisher struct {
	node *node
	name string
	sent map[string]int // by target, the number of the last
}

func (n *node) publisher(name string) *publisher {
	return &publisher{node: n, name: n.process + "/" + name, sent: map[string]int{}}
}

// toGroup publishes the next event to a group. One that failed has no number.
func (p *publisher) toGroup(ctx context.Context, group string, more map[string]any) error {
	return p.publish(ctx, channels.Delivery{Group: group}, group, more)
}

// toChannel publishes the next event to a channel.
func (p *publisher) toChannel(ctx context.Context, channel string) error {
	return p.publish(ctx, channels.Delivery{Channels: []string{channel}}, channel, nil)
}

func (p *publisher) publish(ctx context.Context, d channels.Delivery, target string, more map[string]any) error {
	if err := p.node.broker.Publish(ctx, p.next(d, target, more)); err != nil {
		return fmt.Errorf("publish number %d to %.100q: %w", p.sent[target], target, err)
	}
	return nil
}

// next is d with the next event to a target.
func (p *publisher) next(d channels.Delivery, target string, more map[string]any) channels.Delivery {
	payload := map[string]any{keyFrom: p.name, keyTo: target, keyNumber: p.sent[target] + 1}
	for k, v := range more {
		payload[k] = v
	}
	d.Event = channels.Event{Type: "test.event", Payload: payload}
	p.sent[target]++ // even of one that failed, since it may have arrived
	return d
}

// await waits until ok says true.
func (s *suite) await(what string, ok func() bool) {
	s.Helper()
	for end := time.Now().Add(s.patience()); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("%s: not so within %v", what, s.patience())
		}
	}
}

// reach waits until a channel of n is reached by others: a broker connects when
// it likes to, and may not know of n before.
func (s *suite) reach(from, n *node) {
	s.Helper()
	s.await("a channel of a process that has just begun is reached", func() bool {
		d := channels.Delivery{Channels: []string{n.channel("warm")}, Event: channels.Event{Type: warmUp}}
		if err := from.broker.Publish(s.Context(), d); err != nil {
			return false
		}
		for range 20 {
			n.mu.Lock()
			warm := n.warm
			n.mu.Unlock()
			if warm {
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	})
}
