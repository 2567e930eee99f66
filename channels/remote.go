package channels

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// publish hands an event to the broker; err is what went wrong before. What the
// broker does not take is counted, except that a channel is full, which is for
// the sender to know.
func (l *Layer) publish(ctx context.Context, d Delivery, err error) error {
	switch e := l.interest.broker.Publish(ctx, d); {
	case e == nil:
		return err
	case errors.Is(e, ErrChannelFull):
		return errors.Join(err, fmt.Errorf("channels: send to another process: %w", e))
	default:
		l.drop("unpublished", 1, e)
		return errors.Join(err, fmt.Errorf("%w: %w", ErrUnpublished, e))
	}
}

// elsewhere tells whether a channel belongs to another process, or to none.
func (l *Layer) elsewhere(channel string) bool {
	owner, _, owned := strings.Cut(channel, "!")
	if !owned {
		return l.queuer != nil
	}
	return l.interest != nil && !strings.HasSuffix(owner, "."+l.process)
}

// receiveElsewhere is Receive for a channel of no process.
func (l *Layer) receiveElsewhere(ctx context.Context, channel string) (Event, error) {
	if strings.Contains(channel, "!") {
		return Event{}, fmt.Errorf("%w: %.64q is another process's, which alone receives from it", ErrBadName, channel)
	}
	for {
		e, err := l.queuer.Receive(ctx, channel)
		if err != nil {
			return Event{}, fmt.Errorf("channels: receive from %.64q: %w", channel, err)
		}
		if legalType(e.Type) {
			return e, nil
		}
		l.lost(lossIllegal, 1)
	}
}

// enroll calls GroupAdd or GroupDiscard of a broker for a channel that is not
// this process's.
func (l *Layer) enroll(channel string, f func(Enroller) error) error {
	if l.enroller == nil {
		return fmt.Errorf("channels: membership of %.64q, which is not this process's: %w by the broker", channel, errors.ErrUnsupported)
	}
	if err := f(l.enroller); err != nil {
		return fmt.Errorf("channels: membership of %.64q: %w", channel, err)
	}
	return nil
}

// deliver takes what another process has sent.
func (l *Layer) deliver(ctx context.Context, d Delivery) error {
	if d.Group == "" && len(d.Channels) == 0 {
		return fmt.Errorf("%w: a delivery needs a group or a channel", ErrBadName)
	}
	if !legalType(d.Event.Type) {
		l.lost(lossIllegal, 1)
		return fmt.Errorf("%w of type %.64q, which is not for events", ErrNoHandler, d.Event.Type)
	}
	var err error
	others := d.Channels
	if len(others) > 1 {
		others = slices.Compact(slices.Sorted(slices.Values(others))) // each once
	}
	switch g := l.group(d.Group); {
	case g == nil:
	case len(others) == 0:
		err = g.send(ctx, d.Event, nil)
	default:
		b := &beside{layer: l, channels: others}
		err = g.send(ctx, d.Event, b)
		others = b.others()
	}
	weight := 0
	if len(others) > 0 {
		weight = eventCost + weigh(d.Event.Payload)
	}
	for _, channel := range others {
		err = errors.Join(err, l.sendHere(channel, d.Event, weight+len(channel)))
	}
	return err
}

const (
	maxForeign  = 64 << 20 // bytes that wait in channels because other processes sent them there
	valueWeight = 64       // bytes a value in a payload counts as, beside its text
)

// weigh is the bytes that a payload takes, roughly.
func weigh(v any) int {
	n := valueWeight
	switch v := v.(type) {
	case string:
		n += len(v)
	case []byte:
		n += len(v)
	case []any:
		for _, e := range v {
			n += weigh(e)
		}
	case map[string]any:
		for k, e := range v {
			n += len(k) + weigh(e)
		}
	}
	return n
}

// beside is the channels that an event to a group goes to as well. Those that
// are members when the event takes its place in the group get it as such.
type beside struct {
	layer    *Layer
	channels []string
	members  []*member // for each channel its membership when looked up, or nil
	joins    uint64    // of the group at that time
	queued   bool      // the members have it
}

// find looks the memberships up. Nothing is locked by the caller.
func (b *beside) find(g *group) {
	g.mu.Lock()
	b.joins = g.joins
	g.mu.Unlock()
	b.members = make([]*member, len(b.channels))
	for i, channel := range b.channels {
		b.members[i] = b.layer.post.membership(channel, g)
	}
}

// current tells whether what find found still holds, but for members that have
// left. The caller holds g.mu.
func (b *beside) current(g *group) bool { return b.members != nil && b.joins == g.joins }

// queue marks the event as given to the group. The caller holds g.mu.
func (b *beside) queue() {
	b.queued = true
	for i, m := range b.members {
		if m != nil && m.left {
			b.members[i] = nil
		}
	}
}

// others is the channels that did not get the event as members.
func (b *beside) others() []string {
	if !b.queued {
		return b.channels
	}
	var others []string
	for i, channel := range b.channels {
		if b.members[i] == nil {
			others = append(others, channel)
		}
	}
	return others
}

// membership finds that of a channel in a group, or nil.
func (p *post) membership(channel string, g *group) *member {
	if c := p.conn(channel); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if i := slices.IndexFunc(c.groups, func(m *member) bool { return m.group == g }); i >= 0 {
			return c.groups[i]
		}
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.boxes[channel]; b != nil {
		for _, m := range b.groups {
			if m.member.group == g {
				return m.member
			}
		}
	}
	return nil
}

// gap is the loss of an unknown number of events of some groups, on its way to
// those it concerns: each is told once, however many of its groups it is about.
type gap struct {
	// guarded by mu
	mu    sync.Mutex
	conns map[*Conn][]string
	boxes map[*mailbox]struct{}
}

// gapped takes a broker's word that events of groups, or of all, may be missing.
func (l *Layer) gapped(groups ...string) {
	c := &l.count
	total := c.gaps.Add(1)
	c.mu.Lock()
	tell := c.tell("gap")
	c.mu.Unlock()
	if tell {
		l.log.Warn("channels: events of other processes may be missing", "groups", len(groups), "all", len(groups) == 0, "total", total)
	}
	if l.onGap != nil {
		l.onGap(groups)
	}
	var concerned []*group
	l.mu.RLock()
	if len(groups) == 0 {
		for _, g := range l.groups {
			concerned = append(concerned, g)
		}
	}
	for _, name := range groups {
		if g := l.groups[name]; g != nil {
			concerned = append(concerned, g)
		}
	}
	l.mu.RUnlock()
	x := &gap{conns: map[*Conn][]string{}, boxes: map[*mailbox]struct{}{}}
	var found sync.WaitGroup
	for _, g := range concerned {
		g.gap(x, &found)
	}
	found.Wait() // rounds wait for nobody
	for c, names := range x.conns {
		c.gapped(names)
	}
	for b := range x.boxes {
		b.gapped()
	}
}

// gap has all parts add their members to x.
func (g *group) gap(x *gap, found *sync.WaitGroup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead {
		return
	}
	for _, p := range g.parts {
		found.Add(1)
		p.put(item{kind: itemGap, pub: &published{gap: x}, done: found.Done})
	}
}

// add notes the members of a set. It is called by the part's runner.
func (x *gap) add(s *set) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range [...][]*member{s.members, s.late, s.held} {
		for _, m := range l {
			if m.conn == nil {
				x.boxes[m.box] = struct{}{}
				continue
			}
			x.conns[m.conn] = append(x.conns[m.conn], m.group.name)
		}
	}
}
