package live

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// crowd is what a node knows of the others with the same log, besides their
// rolls, which are with the rooms.
type crowd struct {
	// fixed
	self    string                 // this node's id
	started time.Time              // of this node
	seal    *seal                  // of all nodes
	publish func(e channels.Event) // to the others
	cancel  context.CancelFunc     // of running
	running sync.WaitGroup

	telling sync.Mutex // what has numbers goes out in their order; taken before presence.mu

	// guarded by presence.mu
	peers   map[string]*peer // the others, by id
	said    int64            // the last number of what this node says
	version int64            // the last number given to a roll, in any room, or to an ask
	listed  int              // people in rolls
	greet   pace             // of beats that only answer
	due     bool             // a beat is due with the next tick
	asking  bool             // which asks for those of the others
	ticked  time.Time
	beaten  time.Time

	sent, heard, refused, forgotten uint64
}

// RollStats is what nodes with the same log have told each other of who is here.
type RollStats struct {
	Nodes     int    // others that are alive
	Listed    int    // people of theirs, once for each of their rooms that somebody here is in too
	Sent      uint64 // rolls called since the start; each is one event
	Heard     uint64 // rolls of others that brought something new
	Refused   uint64 // what could not be read, was old or above the bounds
	Forgotten uint64 // rolls of nodes that fell silent
}

// share has a presence tell the other nodes, of which all are in a group, and
// listen to them, until stop.
func (p *presence) share(layer *channels.Layer, group string, s *seal, log *slog.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &crowd{
		self: rand.Text(), started: time.Now(), seal: s, cancel: cancel,
		peers: make(map[string]*peer), greet: pace{every: helloEvery},
	}
	c.publish = func(e channels.Event) {
		if err := layer.GroupSend(context.Background(), group, e); err != nil {
			log.Warn("tell other nodes", "type", e.Type, "err", err)
		}
	}
	p.crowd = c
	c.running.Go(func() { p.listen(ctx, layer, group, log) })
	c.running.Go(func() { p.tick(ctx) })
}

// rendering is renderers that also listen to what other nodes say in a room.
func (p *presence) rendering(r renderers) renderers {
	if p.crowd == nil {
		return r
	}
	with := renderers{eventRoll: p.hearRoll, eventTypists: p.hearTypists}
	for typ, render := range r {
		with[typ] = render
	}
	return with
}

// end says goodbye to the others.
func (p *presence) end() {
	c := p.crowd
	c.cancel()
	c.running.Wait()
	c.tell(func() []channels.Event {
		p.mu.Lock()
		defer p.mu.Unlock()
		return []channels.Event{c.seal.carry(eventBeat, beat{Node: c.self, Sent: c.next(), Bye: true})}
	})
}

func (c *crowd) nextVersion() int64 {
	c.version++
	return c.version
}

// listen hears the other nodes until ctx ends.
func (p *presence) listen(ctx context.Context, layer *channels.Layer, group string, log *slog.Logger) {
	for ctx.Err() == nil {
		events, err := layer.Subscribe(ctx, group)
		if err != nil {
			if ctx.Err() == nil {
				log.Error("other nodes cannot be heard: who is there is not shown", "err", err)
			}
			select {
			case <-time.After(forgetAfter):
			case <-ctx.Done():
			}
			continue
		}
		p.askAll()
		p.begin()
		for e, err := range events {
			if errors.Is(err, channels.ErrMissed) {
				p.askAll()
				continue
			}
			if err := p.hear(e); err != nil {
				log.Debug("what another node said is not understood", "err", err)
			}
		}
	}
}

// askAll has the next beat ask for those of the others.
func (p *presence) askAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.crowd.due, p.crowd.asking = true, true
}

// begin makes this node known.
func (p *presence) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hello()
}

// hear takes an event of the group of all nodes.
func (p *presence) hear(e channels.Event) (err error) {
	if _, own := e.Payload.(carried); own {
		return nil
	}
	switch e.Type {
	case eventName:
		var n naming
		var u chat.User
		if n, u, err = readName(p.crowd.seal, e); err == nil {
			err = p.hearName(n, u)
		}
	case eventBeat:
		var b beat
		if b, err = readBeat(p.crowd.seal, e); err == nil {
			err = p.hearBeat(b)
		}
	}
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.crowd.refused++
	}
	return err
}

// hearName takes a new name.
func (p *presence) hearName(n naming, u chat.User) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.crowd.peers[n.Node]
	switch {
	case !q.alive(): // its rolls tell the name later
		return nil
	case n.Sent <= q.named || q.age(n.Sent) > forgetAfter:
		return errOld
	}
	q.named = n.Sent
	p.renamed(u, time.Now().Add(-q.age(n.Sent)))
	return nil
}

// hearBeat compares what a node says of its rooms with what is known of them.
func (p *presence) hearBeat(b beat) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.crowd
	if b.Node == c.self || p.stopped {
		return nil
	}
	hears, err := p.meet(b)
	if err != nil {
		return err
	}
	if c.peers[b.Node].gone {
		for room, a := range p.byRoom {
			if _, known := a.rolls[b.Node]; known {
				p.dismiss(room, a, b.Node)
			}
		}
	}
	if !hears {
		return nil
	}
	now := time.Now()
	for room, version := range b.Rooms {
		a := p.byRoom[room]
		if a == nil {
			continue
		}
		h, called := a.rolls[b.Node]
		if called {
			h.at = now
			a.rolls[b.Node] = h
		}
		if !called || version != h.version {
			a.ask = true
			p.callWithin(room, a, 0)
		}
	}
	return nil
}

// tick forgets who is silent and beats, until ctx ends.
func (p *presence) tick(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.crowd.tell(func() (events []channels.Event) {
				for _, b := range p.look(time.Now()) {
					events = append(events, p.crowd.seal.carry(eventBeat, b))
				}
				return events
			})
		}
	}
}

// look is what has to be done now and then; it returns the beats that are due.
func (p *presence) look(now time.Time) []beat {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.crowd
	stood := time.Duration(0)
	if late := now.Sub(c.ticked) - tickEvery; !c.ticked.IsZero() && late > beatEvery {
		// This process stood still. It cannot say whether others were silent,
		// and they have forgotten it.
		stood, c.due, c.asking = late, true, true
	}
	c.ticked = now
	p.forget(now, stood)
	if !c.due && now.Sub(c.beaten) < beatEvery-tickEvery/2 {
		return nil
	}
	beats := p.beats()
	c.beaten, c.due, c.asking = now, false, false
	return beats
}

// forget drops nodes that have been silent for too long, not counting the time
// that this process stood still.
func (p *presence) forget(now time.Time, stood time.Duration) {
	c := p.crowd
	for node, q := range c.peers {
		q.came = q.came.Add(stood)
		if !q.shown.IsZero() {
			q.shown = q.shown.Add(stood)
		}
		if now.Sub(q.since()) > forgetAfter {
			delete(c.peers, node)
		}
	}
	for room, a := range p.byRoom {
		for node, h := range a.rolls {
			if h.at = h.at.Add(stood); now.Sub(h.at) > forgetAfter || c.peers[node] == nil {
				c.forgotten++
				p.dismiss(room, a, node)
			} else if stood > 0 {
				a.rolls[node] = h
			}
		}
	}
}

// beats are this node's. The rooms are for others, if there are any.
func (p *presence) beats() []beat {
	c := p.crowd
	heard := c.numbers()
	b := beat{Node: c.self, Sent: c.next(), Heard: heard, Ask: c.asking}
	if c.living() == 0 {
		return []beat{b}
	}
	var all []beat
	for room, a := range p.byRoom {
		if len(b.Rooms) == beatRooms {
			all = append(all, b)
			b = beat{Node: c.self, Sent: c.next(), Heard: heard}
		}
		if b.Rooms == nil {
			b.Rooms = make(map[string]int64)
		}
		b.Rooms[room] = a.version
	}
	return append(all, b)
}

// rollStats counts.
func (p *presence) rollStats() RollStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.crowd
	if c == nil {
		return RollStats{}
	}
	return RollStats{
		Nodes: c.living(), Listed: c.listed,
		Sent: c.sent, Heard: c.heard, Refused: c.refused, Forgotten: c.forgotten,
	}
}
