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

// presence is who is in which room on this server. Changes are gathered and
// published by a timer per room that runs only while there are some.
type presence struct {
	// fixed
	publish  func(room string, e channels.Event)
	occupied func(room string, somebody bool) // called with mu held, which keeps the order

	mu      sync.Mutex
	byRoom  map[string]*attendance
	names   map[chat.UserID]string // given since the start: other sockets of a person hold the old one
	stopped bool
}

// namesMax bounds presence.names; beyond it a second tab may show an old name.
const namesMax = 1 << 16

// attendance is one room's people. Guarded by presence.mu.
type attendance struct {
	people  []*attendee          // by id
	changed map[chat.UserID]bool // since the last digest; whether the person was in that digest
	typing  []chat.UserID        // since the last digest, each once
	renamed []chat.UserID        // the same
	timer   *time.Timer          // runs while something waits to be told, else nil
	round   int                  // of timers: one that was stopped too late is known by it
	due     time.Time            // when timer fires
	last    time.Time            // of the last digest
}

type attendee struct {
	user    chat.User
	sockets int
}

func newPresence(publish func(string, channels.Event)) *presence {
	return &presence{
		publish: publish, occupied: func(string, bool) {}, byRoom: make(map[string]*attendance),
	}
}

func byID(a *attendee, id chat.UserID) int { return cmp.Compare(a.user.ID, id) }

// join counts a socket in and returns the first page of who is here.
func (p *presence) join(room string, u chat.User) wire.Here {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name, renamed := p.names[u.ID]; renamed {
		u.Name = name
	}
	a := p.byRoom[room]
	if a == nil {
		a = &attendance{}
		p.byRoom[room] = a
		p.occupied(room, true)
	}
	i, found := slices.BinarySearchFunc(a.people, u.ID, byID)
	if found {
		a.people[i].sockets++
	} else {
		a.people = slices.Insert(a.people, i, &attendee{user: u, sockets: 1})
		p.change(room, a, u.ID, false)
	}
	return a.page("", hereInJoined)
}

// leave counts a socket out.
func (p *presence) leave(room string, id chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.byRoom[room]
	if a == nil {
		return
	}
	i, found := slices.BinarySearchFunc(a.people, id, byID)
	if !found {
		return
	}
	if a.people[i].sockets--; a.people[i].sockets > 0 {
		return
	}
	a.people = slices.Delete(a.people, i, i+1)
	if len(a.people) == 0 { // nobody is left to be told
		if a.timer != nil {
			a.timer.Stop()
		}
		delete(p.byRoom, room)
		p.occupied(room, false)
		return
	}
	p.change(room, a, id, true)
}

// change notes that a person came or went; was says where they stood before.
func (p *presence) change(room string, a *attendance, id chat.UserID, was bool) {
	if a.changed == nil {
		a.changed = make(map[chat.UserID]bool)
	}
	if _, noted := a.changed[id]; !noted {
		a.changed[id] = was
	}
	p.schedule(room, a, digestEvery)
}

// typing notes that a person is writing.
func (p *presence) typing(room string, id chat.UserID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.byRoom[room]
	if a == nil || len(a.people) > typingShed || len(a.typing) == typingNames || slices.Contains(a.typing, id) {
		return
	}
	a.typing = append(a.typing, id)
	p.schedule(room, a, typingDelay)
}

// schedule makes sure that a digest goes out after at most delay, but never
// two within digestEvery.
func (p *presence) schedule(room string, a *attendance, delay time.Duration) {
	if p.stopped {
		return
	}
	now := time.Now()
	due := now.Add(delay)
	if soonest := a.last.Add(digestEvery); due.Before(soonest) {
		due = soonest
	}
	if a.timer != nil && !due.Before(a.due) {
		return
	}
	a.due = due
	if a.timer != nil {
		a.timer.Stop()
	}
	a.round++
	round := a.round
	a.timer = time.AfterFunc(due.Sub(now), func() { p.digest(room, a, round) })
}

// digest publishes what has gathered in a room.
func (p *presence) digest(room string, a *attendance, round int) {
	p.mu.Lock()
	if p.byRoom[room] != a || a.round != round || p.stopped {
		p.mu.Unlock() // the room emptied, or another timer took over
		return
	}
	a.timer, a.last = nil, time.Now()
	here := a.changes(room)
	typing := wire.TypingFrame{Room: room, People: a.listed(a.typing)}
	renamed := a.listed(a.renamed)
	clear(a.changed)
	a.typing, a.renamed = a.typing[:0], nil
	p.mu.Unlock()

	if len(here.Joined)+len(here.Left) > 0 || here.More {
		p.publish(room, channels.Event{Type: eventHere, Payload: here})
	}
	for _, someone := range renamed {
		p.publish(room, channels.Event{Type: eventRenamed, Payload: shared{wire.Renamed{Person: someone}}})
	}
	if len(typing.People) > 0 {
		p.publish(room, channels.Event{Type: eventTyping, Payload: shared{typing}})
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
	here := wire.Here{Room: room, Count: len(a.people)}
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
// with their next digest.
func (p *presence) rename(u chat.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names == nil || len(p.names) >= namesMax {
		p.names = make(map[chat.UserID]string)
	}
	p.names[u.ID] = u.Name
	for room, a := range p.byRoom {
		i, found := slices.BinarySearchFunc(a.people, u.ID, byID)
		if !found {
			continue
		}
		a.people[i].user = u
		if len(a.renamed) < digestNames && !slices.Contains(a.renamed, u.ID) {
			a.renamed = append(a.renamed, u.ID)
		}
		p.schedule(room, a, typingDelay)
	}
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
	here := wire.Here{Count: len(a.people)}
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

// stop ends all timers.
func (p *presence) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	for _, a := range p.byRoom {
		if a.timer != nil {
			a.timer.Stop()
		}
	}
}
