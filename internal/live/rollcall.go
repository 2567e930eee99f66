package live

import (
	"cmp"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// heard is the roll of another node as it is kept.
type heard struct {
	version int64
	sent    int64 // number of the roll
	count   int
	people  []chat.User // listed, ascending by id
	asked   int64       // the roll's Ask, or that of the last that had one
	at      time.Time   // when the node was last heard to be in the room
}

// whole tells whether the roll lists everybody.
func (h heard) whole() bool { return h.count == len(h.people) }

// recall sees to it that other nodes are told, after at most delay, that people
// here have changed, if there is one to tell.
func (p *presence) recall(room string, a *attendance, delay time.Duration) {
	a.dirty = true
	if len(a.rolls) > 0 || a.ask {
		p.callWithin(room, a, delay)
	}
}

// callWithin has the roll called after at most delay, but never twice within
// digestEvery.
func (p *presence) callWithin(room string, a *attendance, delay time.Duration) {
	if p.crowd != nil && !p.stopped {
		a.call.within(delay, func(round int) { p.callRoll(room, a, round) })
	}
}

// callRoll tells the other nodes who is in a room here.
func (p *presence) callRoll(room string, a *attendance, round int) {
	p.mu.Lock()
	if p.byRoom[room] != a || p.stopped || !a.call.begin(round) {
		p.mu.Unlock() // the room emptied, or another timer took over
		return
	}
	if a.dirty || a.version == 0 {
		a.version, a.dirty = p.crowd.nextVersion(), false
	}
	r := roll{Node: p.crowd.self, Sent: p.crowd.next(), Room: room, Version: a.version, Count: a.here}
	if a.ask {
		r.Ask, a.ask = p.crowd.nextVersion(), false
	}
	for _, someone := range a.people {
		if len(r.People) == rollPeople {
			break
		}
		if someone.sockets > 0 {
			r.People = append(r.People, attender{someone.user.ID.String(), someone.user.Name})
		}
	}
	p.crowd.sent++
	p.mu.Unlock()
	p.publish(room, p.crowd.seal.carry(eventRoll, r))
}

// goodbye is what other nodes are told when nobody is in a room here any more;
// nil when none needs to know.
func (p *presence) goodbye(room string, a *attendance) *channels.Event {
	for _, h := range a.rolls {
		p.crowd.listed -= len(h.people)
	}
	if len(a.rolls) == 0 || a.version == 0 || p.stopped {
		return nil
	}
	p.crowd.sent++
	c := p.crowd
	e := c.seal.carry(eventRoll, roll{Node: c.self, Sent: c.next(), Room: room, Version: c.nextVersion()})
	return &e
}

// hearRoll takes an event of another node; what this one calls means nothing to
// it. It is a renderer that renders nothing: that is where an event of a room
// arrives, once for each protocol spoken in it.
func (p *presence) hearRoll(e channels.Event) (channels.Frame, error) {
	if _, own := e.Payload.(carried); own {
		return channels.Frame{}, nil
	}
	r, people, err := readRoll(p.crowd.seal, e)
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.crowd.peers[r.Node]
	if err == nil && q.alive() && q.age(r.Sent) > forgetAfter {
		err = errOld
	}
	if err != nil {
		p.crowd.refused++
		return channels.Frame{}, err
	}
	a := p.byRoom[r.Room]
	if a == nil || !q.alive() || r.Sent < a.rolls[r.Node].sent || p.stopped {
		return channels.Frame{}, nil // a node that is not known yet is asked when it is
	}
	if r.Ask != 0 && r.Ask != a.rolls[r.Node].asked {
		p.callWithin(r.Room, a, 0)
	}
	p.enroll(r.Room, a, r, people)
	return channels.Frame{}, nil
}

// hearTypists is hearRoll for who is typing on another node. They are told with
// the next digest, which this node makes: a client gets nothing that another
// process wrote, and in no room but the one that was sealed.
func (p *presence) hearTypists(e channels.Event) (channels.Frame, error) {
	if _, own := e.Payload.(carried); own {
		return channels.Frame{}, nil
	}
	t, people, err := readTypists(p.crowd.seal, e)
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.crowd.peers[t.Node]
	if err == nil && q.alive() && q.age(t.Sent) > forgetAfter {
		err = errOld
	}
	if err != nil {
		p.crowd.refused++
		return channels.Frame{}, err
	}
	a := p.byRoom[t.Room]
	if a == nil || !q.alive() || a.all() > typingShed {
		return channels.Frame{}, nil
	}
	for _, u := range people {
		if len(a.typists) < typingNames && !slices.Contains(a.typists, u) {
			a.typists = append(a.typists, u)
			p.schedule(t.Room, a, typingDelay)
		}
	}
	return channels.Frame{}, nil
}

// enroll keeps the roll of another node.
func (p *presence) enroll(room string, a *attendance, r roll, people []chat.User) {
	c := p.crowd
	old, known := a.rolls[r.Node]
	now := heard{
		version: r.Version, sent: r.Sent, count: r.Count, people: people,
		asked: cmp.Or(r.Ask, old.asked), at: time.Now().Add(-c.peers[r.Node].age(r.Sent)),
	}
	switch {
	case known && old.version == now.version:
		if old.sent, old.asked = now.sent, now.asked; now.at.After(old.at) {
			old.at = now.at
		}
		a.rolls[r.Node] = old
		return
	case !known && now.count == 0:
		return
	case c.listed-len(old.people)+len(people) > listedMax:
		now.people = nil
	}
	c.heard++
	if a.rolls == nil {
		a.rolls = make(map[string]heard)
	}
	delay := typingDelay
	if now.count == 0 {
		delete(a.rolls, r.Node)
		delay = digestEvery // the last who was there may be back in a moment
	} else {
		a.rolls[r.Node] = now
	}
	p.replace(room, a, old, now)
	p.schedule(room, a, delay)
	if a.dirty {
		p.callWithin(room, a, joinDelay) // until now there was nobody to tell
	}
}

// dismiss forgets what a node told of a room.
func (p *presence) dismiss(room string, a *attendance, node string) {
	old := a.rolls[node]
	delete(a.rolls, node)
	p.replace(room, a, old, heard{})
	p.schedule(room, a, typingDelay)
}

// replace puts what a node tells now in the place of what it told before. Who
// comes or goes is told by name as long as both list everybody. A roll that does
// not is a page: who is not on it may be there, so what changes is the count.
func (p *presence) replace(room string, a *attendance, old, now heard) {
	named := old.whole() && now.whole()
	before, after := old.people, now.people
	for len(before)+len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].ID < after[0].ID:
			a.strike(before[0].ID, named)
			before = before[1:]
		case len(before) == 0 || after[0].ID < before[0].ID:
			a.enter(after[0], named)
			after = after[1:]
		default:
			if after[0].Name != before[0].Name {
				p.nameElsewhere(room, a, after[0])
			}
			before, after = before[1:], after[1:]
		}
	}
	a.unlisted += now.count - len(now.people) - (old.count - len(old.people))
	a.adrift = a.adrift || !old.whole() && now.whole()
	p.crowd.listed += len(now.people) - len(old.people)
}

// enter puts somebody on a roll.
func (a *attendance) enter(u chat.User, named bool) {
	i, found := slices.BinarySearchFunc(a.people, u.ID, byID)
	if !found {
		a.people = slices.Insert(a.people, i, &attendee{user: u})
		if named {
			a.note(u.ID, false)
		}
	}
	a.people[i].rolls++
}

// strike takes somebody off a roll.
func (a *attendance) strike(id chat.UserID, named bool) {
	i, _ := slices.BinarySearchFunc(a.people, id, byID) // enter put them there
	someone := a.people[i]
	if someone.rolls--; someone.rolls+someone.sockets > 0 {
		return
	}
	a.people = slices.Delete(a.people, i, i+1)
	if named {
		a.note(id, true)
	}
}

// nameElsewhere takes a new name from a roll, unless this node knows better.
func (p *presence) nameElsewhere(room string, a *attendance, u chat.User) {
	if i, _ := slices.BinarySearchFunc(a.people, u.ID, byID); a.people[i].sockets == 0 {
		a.people[i].read = time.Time{}
		p.name(room, a, a.people[i], u, time.Time{})
	}
}
