package channels

import (
	"sync"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// member is one membership. A connection has one for each of its groups.
type member struct {
	// fixed
	conn     *Conn     // nil for a channel
	sock     socket    // of conn, a copy that saves the round a step
	endpoint *Endpoint // of conn
	box      *mailbox  // nil for a connection

	// fixed once joined
	group *group
	part  *part

	// guarded by group.mu
	left bool

	// owned by the part's runner
	index int   // in the slice of the set that the state names
	state state // which slice that is
	from  int   // late: offset in the run of the first byte for it
	seen  int   // late: events of the run before it
	hold  *held // holding: what waits, and for what
}

type state uint8

const (
	out     state = iota // not in, or not any more
	flowing              // gets every run
	late                 // came in while the run was being built, gets the end of it
	holding              // waiting for Hold.Release, or for the first event behind it
)

// set is the members of a part that one endpoint serves, so that they all get
// the same bytes; endpoint nil is the channels. It is owned by the part's runner.
type set struct {
	endpoint *Endpoint
	members  []*member // flowing
	late     []*member // empty between rounds
	held     []*member // holding
	last     int64     // highest Seq so far
	run      run
}

// deliver takes the set through a batch: events grow the run, joins and leaves
// remember where in the run they happened, so they need no write of their own.
func (s *set) deliver(batch []item, w *work) {
	for i := range batch {
		it := &batch[i]
		switch {
		case it.kind == itemEvent:
			s.event(it.pub, w)
		case it.kind == itemFlush:
			s.write(w)
			s.empty()
		case it.kind == itemGap:
			it.pub.gap.add(s)
		case it.member.endpoint != s.endpoint:
			// for another set
		case it.kind == itemJoin:
			s.start(it.member)
		case it.kind == itemHold:
			it.member.hold = new(held)
			s.held = insert(s.held, it.member, holding)
		case it.kind == itemRelease:
			s.release(it.member, it.after, w)
		case it.kind == itemLeave:
			s.leave(it.member, w)
		}
	}
	s.write(w)
}

func (s *set) event(pub *published, w *work) {
	if s.endpoint == nil {
		for _, l := range [...][]*member{s.members, s.late} {
			for _, m := range l {
				m.box.deliver(pub.event)
			}
			w.delivered += uint64(len(l))
		}
		return
	}
	r, ok := pub.on(s.endpoint)
	if !ok {
		return // queued before the first member of this endpoint joined
	}
	s.last = max(s.last, pub.event.Seq)
	for i := len(s.held) - 1; i >= 0; i-- {
		if m := s.held[i]; m.hold.event(m, pub, r, w) {
			s.held = remove(s.held, m)
			m.hold = nil
			s.start(m)
		}
	}
	switch {
	case !r.known:
		// Frames before it go first.
		s.write(w)
		for _, m := range s.members {
			m.conn.push(pub.event)
		}
		w.delivered += uint64(len(s.members))
	case len(r.frame) > 0:
		if s.run.len() > 0 && s.run.len()+len(r.frame) > maxRun {
			s.write(w)
		}
		s.run.add(r.frame)
	}
}

// write gives the run to all members, one write each, and begins a new one.
func (s *set) write(w *work) {
	b, events := s.run.bytes, s.run.events
	if len(b) > 0 {
		s.endpoint.layer.sender.Write(b, len(s.members), func(i int) websocket.RunWriter { return s.members[i].sock })
		w.writes += uint64(len(s.members))
		w.delivered += uint64(len(s.members) * events)
	}
	for i, m := range s.late {
		if m.from < len(b) {
			_ = m.sock.Write(b[m.from:])
			w.writes++
			w.delivered += uint64(events - m.seen)
		}
		s.members = insert(s.members, m, flowing)
		s.late[i] = nil
	}
	s.late = s.late[:0]
	s.run.reset()
}

// start lets m have all that comes from here on.
func (s *set) start(m *member) {
	m.from, m.seen = s.run.len(), s.run.events
	s.late = insert(s.late, m, late)
}

func (s *set) leave(m *member, w *work) {
	b, events := s.run.bytes, s.run.events
	switch m.state {
	case flowing:
		s.members = remove(s.members, m)
	case late:
		b, events = b[m.from:], events-m.seen
		s.late = remove(s.late, m)
	case holding:
		b = nil
		s.held = remove(s.held, m)
		m.hold = nil
	case out:
		return // flushed before
	}
	if len(b) > 0 {
		_ = m.sock.Write(b)
		w.writes++
		w.delivered += uint64(events)
	}
}

func (s *set) release(m *member, after int64, w *work) {
	if m.state != holding {
		return
	}
	m.hold.release(m, after, w)
	if s.last < after {
		return // an event m has from the log may still come: Hold goes on
	}
	s.held = remove(s.held, m)
	m.hold = nil
	s.start(m)
}

func (s *set) empty() {
	for _, l := range [...][]*member{s.members, s.held} {
		for _, m := range l {
			m.state, m.hold = out, nil
		}
		clear(l)
	}
	s.members, s.held = s.members[:0], s.held[:0]
}

// insert and remove keep every member's index in the slice that holds it.
func insert(l []*member, m *member, st state) []*member {
	m.index, m.state = len(l), st
	return append(l, m)
}

func remove(l []*member, m *member) []*member {
	last := len(l) - 1
	l[m.index] = l[last]
	l[m.index].index = m.index
	l[last] = nil
	m.state = out
	return l[:last]
}

// run is the frames of a round one after the other. A single frame is used as
// it is; from the second on they are copied into a pooled buffer.
type run struct {
	bytes  []byte
	buf    *[]byte
	events int
}

// runs holds buffers for run. They are of no use to anyone else and hold
// nothing between uses, so one pool serves all layers.
var runs = sync.Pool{New: func() any { b := make([]byte, 0, maxRun); return &b }}

func (r *run) len() int { return len(r.bytes) }

func (r *run) add(frame []byte) {
	r.events++
	if len(r.bytes) == 0 {
		r.bytes = frame
		return
	}
	if r.buf == nil {
		r.buf = runs.Get().(*[]byte)
		r.bytes = append((*r.buf)[:0], r.bytes...)
	}
	r.bytes = append(r.bytes, frame...)
}

// encode makes a frame of this package's own the run, in a pooled buffer.
func (r *run) encode(f Frame) {
	r.buf = runs.Get().(*[]byte)
	r.bytes = f.encode((*r.buf)[:0])
}

func (r *run) reset() {
	if r.buf != nil {
		// Only a first frame larger than maxRun makes it grow; such are rare.
		if cap(r.bytes) <= 2*maxRun {
			*r.buf = r.bytes[:0]
		}
		runs.Put(r.buf)
	}
	*r = run{}
}
