package live

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	typingDelay  = 200 * time.Millisecond // a digest of typing waits this long for others
	digestEvery  = time.Second            // between two digests of one room
	digestNames  = 20                     // people listed in a digest of changes
	typingNames  = 4                      // people listed in a digest of typing
	typingShed   = 500                    // rooms with more people are told nothing of typing
	hereInJoined = joinedPage
)

// presence is who is in which room: on this node, and on the others with the
// same log as far as they have told, see roll. It knows of the rooms that
// somebody is in here. Changes are gathered and published by a timer per room
// that runs only while there are some.
type presence struct {
	// fixed
	publish  func(room string, e channels.Event)
	occupied func(room string, somebody bool) // called with mu held, which keeps the order
	crowd    *crowd                           // nil: no other node has the log

	// guarded by mu, as is what crowd has
	mu      sync.Mutex
	byRoom  map[string]*attendance
	names   map[chat.UserID]named // given since the start: older sockets of a person hold another one
	stopped bool
}

// named is a name, and when it was the person's at least.
type named struct {
	name string
	at   time.Time
}

// namesMax bounds presence.names; beyond it a second tab may show an old name.
const namesMax = 1 << 16

// attendance is one room's people. Guarded by presence.mu.
type attendance struct {
	people  []*attendee          // by id, here and listed in rolls
	here    int                  // of people, with sockets on this node
	changed map[chat.UserID]bool // since the last digest; whether the person was in that digest
	typing  []chat.UserID        // since the last digest, each once
	renamed []chat.UserID        // the same
	count   int                  // in the last digest
	adrift  bool                 // the changes do not lead from the last digest to what is
	tell    pace                 // of digests

	// of nodes with the same log
	call     pace             // of this node's roll
	version  int64            // of the roll last called, 0 before
	dirty    bool             // people here have changed since
	typists  []chat.User      // typing there since the last digest
	ask      bool             // the next roll asks for theirs
	rolls    map[string]heard // theirs, by node
	unlisted int              // people whom these count and do not list
}

type attendee struct {
	user    chat.User
	read    time.Time // when that was their name at least; zero when only rolls tell it
	sockets int       // on this node
	rolls   int       // that list the person
}

// pace has something done soon, and never twice within digestEvery.
type pace struct {
	every time.Duration // fixed: instead of digestEvery, unless 0
	timer *time.Timer   // runs while something is to be done, else nil
	round int           // of timers: one that was stopped too late is known by it
	due   time.Time     // when timer fires
	last  time.Time     // that it was done
}

// within has it done after at most delay.
func (c *pace) within(delay time.Duration, do func(round int)) {
	now := time.Now()
	due := now.Add(delay)
	if soonest := c.last.Add(cmp.Or(c.every, digestEvery)); due.Before(soonest) {
		due = soonest
	}
	if c.timer != nil && !due.Before(c.due) {
		return
	}
	c.stop()
	c.due = due
	round := c.round
	c.timer = time.AfterFunc(due.Sub(now), func() { do(round) })
}

// begin tells whether it is to be done in a round, which then is this one.
func (c *pace) begin(round int) bool {
	if c.round != round {
		return false
	}
	c.timer, c.last = nil, time.Now()
	return true
}

func (c *pace) stop() {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.round++
}

func newPresence(publish func(string, channels.Event)) *presence {
	return &presence{
		publish: publish, occupied: func(string, bool) {}, byRoom: make(map[string]*attendance),
	}
}

func byID(a *attendee, id chat.UserID) int { return cmp.Compare(a.user.ID, id) }

// join counts a socket in and returns the first page of who is here. The socket
// has the person's name from the store, where it was read after a time: a name
// that was heard of before that may have been given up since, unheard.
func (p *presence) join(room string, u chat.User, read time.Time) wire.Here {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch known, renamed := p.names[u.ID]; {
	case renamed && known.at.After(read):
		u.Name, read = known.name, known.at
	case renamed && known.name != u.Name:
		p.renamed(u, read)
	}
	a := p.byRoom[room]
	if a == nil {
		a = &attendance{ask: true} // to be told of those who are there already
		p.byRoom[room] = a
		p.occupied(room, true)
	}
	i, found := slices.BinarySearchFunc(a.people, u.ID, byID)
	if !found {
		a.people = slices.Insert(a.people, i, &attendee{user: u})
		p.change(room, a, u.ID, false)
	}
	someone := a.people[i]
	if someone.sockets++; someone.sockets == 1 {
		a.here++
		someone.read = time.Time{} // other nodes may have told another name
		p.recall(room, a, joinDelay)
	}
	p.name(room, a, someone, u, read)
	return a.page("", hereInJoined)
}

// leave counts a socket out.
func (p *presence) leave(room string, id chat.UserID) {
	if goodbye := p.left(room, id); goodbye != nil {
		p.publish(room, *goodbye)
	}
}

// left is leave, and returns what other nodes are to be told of that at once.
func (p *presence) left(room string, id chat.UserID) (goodbye *channels.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.byRoom[room]
	if a == nil {
		return nil
	}
	i, found := slices.BinarySearchFunc(a.people, id, byID)
	if !found || a.people[i].sockets == 0 {
		return nil
	}
	someone := a.people[i]
	if someone.sockets--; someone.sockets > 0 {
		return nil
	}
	if a.here--; a.here == 0 { // nobody is left to be told
		a.tell.stop()
		a.call.stop()
		delete(p.byRoom, room)
		p.occupied(room, false)
		return p.goodbye(room, a)
	}
	if someone.rolls == 0 {
		a.people = slices.Delete(a.people, i, i+1)
		p.change(room, a, id, true)
	}
	p.recall(room, a, digestEvery)
	return nil
}

// change notes that a person came or went; was says where they stood before.
func (p *presence) change(room string, a *attendance, id chat.UserID, was bool) {
	a.note(id, was)
	p.schedule(room, a, digestEvery)
}

func (a *attendance) note(id chat.UserID, was bool) {
	if a.changed == nil {
		a.changed = make(map[chat.UserID]bool)
	}
	if _, noted := a.changed[id]; !noted {
		a.changed[id] = was
	}
}

// typing notes that a person is writing.
func (p *presence) typing(room string, id chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.byRoom[room]
	if a == nil || a.all() > typingShed || len(a.typing) == typingNames || slices.Contains(a.typing, id) {
		return
	}
	a.typing = append(a.typing, id)
	p.schedule(room, a, typingDelay)
}

// all is how many people are in the room, here and elsewhere.
func (a *attendance) all() int { return len(a.people) + a.unlisted }

// schedule makes sure that a digest goes out after at most delay, but never
// two within digestEvery.
func (p *presence) schedule(room string, a *attendance, delay time.Duration) {
	if !p.stopped {
		a.tell.within(delay, func(round int) { p.digest(room, a, round) })
	}
}

// digest publishes what has gathered in a room.
func (p *presence) digest(room string, a *attendance, round int) {
	p.mu.Lock()
	if p.byRoom[room] != a || p.stopped || !a.tell.begin(round) {
		p.mu.Unlock() // the room emptied, or another timer took over
		return
	}
	here, before := a.changes(room), a.count
	typing, elsewhere := a.listed(a.typing), a.typists
	renamed := a.listed(a.renamed)
	said := int64(0)
	if len(typing) > 0 && len(a.rolls) > 0 { // other nodes are told too
		said = p.crowd.next()
	}
	clear(a.changed)
	a.typing, a.typists, a.renamed, a.count, a.adrift = a.typing[:0], nil, nil, here.Count, false
	p.mu.Unlock()

	if len(here.Joined)+len(here.Left) > 0 || here.More || here.Count != before {
		p.publish(room, channels.Event{Type: eventHere, Payload: here})
	}
	for _, someone := range renamed { // other nodes have heard it, see rename
		p.publish(room, channels.Event{Type: eventRenamed, Payload: wire.Renamed{Person: someone}})
	}
	if said > 0 {
		c := p.crowd
		p.publish(room, c.seal.carry(eventTypists, typists{Node: c.self, Sent: said, Room: room, People: attenders(typing)}))
	}
	for _, u := range elsewhere {
		if len(typing) < typingNames && !slices.Contains(typing, person(u)) {
			typing = append(typing, person(u))
		}
	}
	if len(typing) > 0 {
		p.publish(room, channels.Event{Type: eventTyping, Payload: wire.TypingFrame{Room: room, People: typing}})
	}
}

// listed is those of the ids that are here.
func (a *attendance) listed(ids []chat.UserID) (people []wire.Person) {
	for _, id := range ids {
		if i, found := slices.BinarySearchFunc(a.people, id, byID); found {
			people = append(people, person(a.people[i].user))
		}
	}
	return people
}

// changes is what is different from the last digest: who came and went again
// meanwhile is not in it.
func (a *attendance) changes(room string) wire.Here {
	here := wire.Here{Room: room, Count: a.all(), More: a.adrift}
	if here.More {
		return here
	}
	for _, id := range slices.Sorted(maps.Keys(a.changed)) {
		was := a.changed[id]
		i, is := slices.BinarySearchFunc(a.people, id, byID)
		switch {
		case is == was:
		case len(here.Joined)+len(here.Left) == digestNames:
			here.Joined, here.Left, here.More = nil, nil, true
			return here
		case is:
			here.Joined = append(here.Joined, person(a.people[i].user))
		default:
			here.Left = append(here.Left, id.String())
		}
	}
	return here
}

// rename gives a person their new name wherever they are; the rooms are told
// with their next digest, and so are other nodes, which tell theirs.
func (p *presence) rename(u chat.User) {
	p.mu.Lock()
	p.renamed(u, time.Now())
	p.mu.Unlock()
	if p.crowd != nil {
		p.crowd.tell(func() []channels.Event {
			p.mu.Lock()
			defer p.mu.Unlock()
			c := p.crowd
			return []channels.Event{c.seal.carry(eventName, naming{c.self, c.next(), attender{u.ID.String(), u.Name}})}
		})
	}
}

// renamed is rename on this node, unless a later name is known. The caller holds mu.
func (p *presence) renamed(u chat.User, read time.Time) {
	if p.names[u.ID].at.After(read) {
		return
	}
	if p.names == nil || len(p.names) >= namesMax {
		p.names = make(map[chat.UserID]named)
	}
	p.names[u.ID] = named{u.Name, read}
	for room, a := range p.byRoom {
		if i, found := slices.BinarySearchFunc(a.people, u.ID, byID); found {
			p.name(room, a, a.people[i], u, read)
		}
	}
}

// name gives somebody in a room a name, unless theirs was read later.
func (p *presence) name(room string, a *attendance, someone *attendee, u chat.User, read time.Time) {
	if read.Before(someone.read) {
		return
	}
	someone.read = read
	if someone.user.Name == u.Name {
		return
	}
	someone.user = u
	if someone.sockets > 0 {
		p.recall(room, a, joinDelay)
	}
	if len(a.renamed) < digestNames && !slices.Contains(a.renamed, u.ID) {
		a.renamed = append(a.renamed, u.ID)
	}
	p.schedule(room, a, typingDelay)
}

// page lists at most limit people after an id, "" for the first page.
func (p *presence) page(room, after string, limit int) wire.Here {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.byRoom[room]
	if a == nil {
		return wire.Here{}
	}
	return a.page(after, limit)
}

func (a *attendance) page(after string, limit int) wire.Here {
	here := wire.Here{Count: a.all()}
	from := 0
	if id, err := chat.ParseUserID(after); err == nil {
		var found bool
		if from, found = slices.BinarySearchFunc(a.people, id, byID); found {
			from++
		}
	}
	to := min(from+limit, len(a.people))
	for _, someone := range a.people[from:to] {
		here.People = append(here.People, person(someone.user))
	}
	if to < len(a.people) {
		here.Next = a.people[to-1].user.ID.String()
	}
	return here
}

func (p *presence) rooms() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.byRoom)
}

// stop ends all timers, and tells other nodes that nobody is here any more.
func (p *presence) stop() {
	p.mu.Lock()
	stopped := p.stopped
	p.stopped = true
	for _, a := range p.byRoom {
		a.tell.stop()
		a.call.stop()
	}
	if p.crowd != nil {
		p.crowd.greet.stop()
	}
	p.mu.Unlock()
	if p.crowd != nil && !stopped {
		p.end()
	}
}
