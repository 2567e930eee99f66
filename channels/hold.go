package channels

import "sync"

// Hold is a membership of a group whose events wait for Release: the seam
// between reading a log and following it. Join with GroupJoin, read the log,
// send what it holds with Conn.SendWait, then Release the last position sent.
// As the membership began before the log was read, nothing is missing; as
// Release drops what was read, nothing comes twice.
//
// What waits is bounded by Options.Backlog, as the connection's own backlog is:
// beyond it the connection is closed with CloseTooSlow.
type Hold struct {
	member *member
	once   sync.Once
}

// Release lets the events go that came since GroupJoin and have a Seq above
// after, or none, in order; from then on events flow directly. An event up to
// after that is sent later is dropped as well: its sender had stored it, and
// not yet sent it, when the log was read. Release does not wait for anything to
// be sent. Releasing twice, or after leaving the group, does nothing.
func (h *Hold) Release(after int64) {
	h.once.Do(func() { h.member.group.release(h.member, after) })
}

// held is what waits for the release of one member and, after it, for the first
// event that the log did not have. It is owned by the part's runner.
type held struct {
	events   []heldEvent
	bytes    int
	over     bool // over the bound: the connection is being closed
	released bool
	after    int64 // released: the last position the member has from the log
}

type heldEvent struct {
	pub   *published
	known bool
	frame []byte // shared, part of pub
}

// event takes an event for m, or reports that m is ready to have it, and all
// that follows, with the others.
func (h *held) event(m *member, pub *published, r rendered, w *work) (ready bool) {
	seq := pub.event.Seq
	switch {
	case !h.released:
		h.add(m, pub, r)
	case seq > h.after:
		return true // positions rise, so nothing the log had can come now
	case seq == 0:
		h.events = append(h.events, heldEvent{pub, r.known, r.frame})
		h.write(m, w)
	}
	return false
}

func (h *held) add(m *member, pub *published, r rendered) {
	if h.over || r.known && len(r.frame) == 0 {
		return
	}
	h.bytes += eventCost + len(r.frame)
	if h.bytes > m.endpoint.backlog {
		*h = held{over: true}
		m.conn.Close(CloseTooSlow, "too much waited for a replay")
		return
	}
	h.events = append(h.events, heldEvent{pub, r.known, r.frame})
}

// release gives m what it may have of what waits.
func (h *held) release(m *member, after int64, w *work) {
	h.released, h.after = true, after
	h.write(m, w)
}

// write gives m the events that are not from the log, in runs.
func (h *held) write(m *member, w *work) {
	var r run
	flush := func() {
		if r.len() > 0 {
			_ = m.sock.Write(r.bytes)
			w.writes++
			r.reset()
		}
	}
	for _, e := range h.events {
		if s := e.pub.event.Seq; s != 0 && s <= h.after {
			continue
		}
		w.delivered++
		if !e.known {
			flush()
			m.conn.push(e.pub.event)
			continue
		}
		if r.len()+len(e.frame) > maxRun {
			flush()
		}
		if len(e.frame) > 0 {
			r.add(e.frame)
		}
	}
	flush()
	h.events, h.bytes = nil, 0
}
