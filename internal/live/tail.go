package live

import (
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/planted"
)

const (
	// comesByItself is how long a missing message is waited for before the log is
	// read: longer than a broker takes nearly always, and not seen by people.
	comesByItself = 20 * time.Millisecond

	// comesAtAll is how long one is waited for while others come in its place. A
	// broker that is slower than people post brings all in order, and ever later.
	comesAtAll = 250 * time.Millisecond

	aheadMessages = 512      // messages of a room that wait for an older one
	aheadBytes    = 1 << 20  // of them
	aheadTotal    = 64 << 20 // of all rooms together
)

// tail is the end of one room's log as its members on this server see it: what
// comes from the log's writer, from other servers and from the log itself, in
// whatever order and however often, goes to the group as 1, 2, 3, ...
//
// A message behind the next one waits, and is not the only one to be told of a
// hole: every position that is heard of, by whatever way, must be reached, by
// reading the log if need be.
type tail struct {
	// fixed
	tails       *tails
	room, group string

	// guarded by mu, which is held while a message is given to the group
	mu      sync.Mutex
	users   int             // sockets and followers; 0 is the end of the tail
	last    int64           // position given to the group; -1 until it is known
	heard   int64           // newest position that is said to exist
	newly   int64           // of these, since the log was begun to be read
	ahead   map[int64]early // what waits for an older one, by position
	weight  int             // of it
	round   int             // of reading
	since   time.Time       // when it fell behind what was heard of; zero if it is not
	moved   time.Time       // when last rose since then
	goal    int64           // newest position that was heard of at the time aimed
	aimed   time.Time       // when last had reached the goal before
	timer   *time.Timer     // until late; nil for none
	reading bool            // waits for a reader, or is being read
	sought  bool            // the log was read since it fell behind
	failed  int             // times in a row that the log could not be read
	again   time.Time       // then: it is not read before

	// owned by the reader while reading is set, else guarded by mu
	slow int64 // bytes that waited for slow sockets of the server when it began
}

// early is a message that waits for an older one.
type early struct {
	event  channels.Event
	weight int
	round  int // of reading, when it came
}

// offer takes a message from wherever it comes.
func (t *tail) offer(e channels.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.users == 0:
		return
	case e.Seq <= t.last:
		t.tails.count.repeated.Add(1)
		return
	case e.Seq == t.last+1 && t.last >= 0, planted.HoleIgnored && t.last >= 0:
		t.advance(e)
	default:
		t.keep(e)
	}
	t.watch()
}

// hear notes that a position exists.
func (t *tail) hear(seq int64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(seq)
	t.watch()
}

// note is hear for who holds mu.
func (t *tail) note(seq int64) { t.heard, t.newly = max(t.heard, seq), max(t.newly, seq) }

// start is told the position of the log at a time when the tail existed: what is
// newer comes, or is heard of.
func (t *tail) start(seq int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(seq)
	if t.last < 0 {
		t.last = seq
		for old := range t.ahead {
			if old <= seq {
				t.forget(old)
			}
		}
		t.flow()
	}
	t.watch()
}

// known says that the tail has its position.
func (t *tail) known() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last >= 0
}

// shows says that the group was given a position. Without a tail it has all that
// was published.
func (t *tail) shows(seq int64) bool {
	if t == nil {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last >= seq
}

// advance gives the next message to the group, and those that waited for it. The
// caller holds mu.
func (t *tail) advance(e channels.Event) {
	t.tails.deliver(t.group, e)
	t.last = e.Seq
	t.flow()
	if !t.since.IsZero() {
		t.moved = time.Now()
	}
}

// flow gives the group what waited and is next. The caller holds mu.
func (t *tail) flow() {
	for len(t.ahead) > 0 {
		next, ok := t.ahead[t.last+1]
		if !ok {
			return
		}
		t.forget(t.last + 1)
		t.tails.deliver(t.group, next.event)
		t.last++
	}
}

// keep has a message wait, if there is room: if not, the log has it. The caller
// holds mu.
func (t *tail) keep(e channels.Event) {
	t.note(e.Seq)
	if _, there := t.ahead[e.Seq]; there {
		t.tails.count.repeated.Add(1)
		return
	}
	weight := costOf(e)
	if len(t.ahead) >= aheadMessages || t.weight+weight > aheadBytes || !t.tails.hold(weight) {
		t.tails.count.dropped.Add(1)
		return
	}
	if t.ahead == nil {
		t.ahead = make(map[int64]early)
	}
	t.ahead[e.Seq] = early{event: e, weight: weight, round: t.round}
	t.weight += weight
}

// forget takes a message out of those that wait. The caller holds mu.
func (t *tail) forget(seq int64) {
	weight := t.ahead[seq].weight
	delete(t.ahead, seq)
	t.weight -= weight
	t.tails.hold(-weight)
}

// watch begins or ends the wait for what is missing. The caller holds mu.
func (t *tail) watch() {
	if t.last < 0 || t.users == 0 {
		return
	}
	if t.heard <= t.last {
		if !t.since.IsZero() && !t.sought {
			t.tails.count.closed.Add(1)
		}
		t.since, t.sought = time.Time{}, false
		t.stop()
		return
	}
	if t.since.IsZero() {
		t.tails.count.holes.Add(1)
		t.since = time.Now()
		t.moved = t.since
		t.aim()
	}
	if t.timer == nil && !t.reading {
		t.timer = time.AfterFunc(comesByItself, t.late)
	}
}

// aim begins the wait for all that is heard of now, at the latest for comesAtAll.
// The caller holds mu.
func (t *tail) aim() { t.goal, t.aimed = t.heard, time.Now() }

func (t *tail) stop() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// late has the log read if what is missing has not come by itself.
func (t *tail) late() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	if t.users == 0 || t.heard <= t.last || t.reading || t.tails.failing.Load() {
		return // a store that fails is asked by the checks alone, until it works
	}
	if t.last >= t.goal {
		t.aim()
	}
	rest := min(comesByItself-time.Since(t.moved), comesAtAll-time.Since(t.aimed))
	if rest = max(rest, time.Until(t.again)); rest > 0 {
		t.timer = time.AfterFunc(rest, t.late)
		return
	}
	t.reading = true
	t.slow = t.tails.layer.Stats().Backlog
	t.tails.enqueue(t)
}

// begin says after which position the log is to be read, if it is.
func (t *tail) begin() (after int64, before int64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users == 0 || t.heard <= t.last || t.tails.failing.Load() {
		t.reading = false
		t.watch()
		return 0, 0, false
	}
	t.round++
	t.newly, t.sought = 0, true
	return t.last, t.heard, true
}

// take gives the group what the log has, and says how many bytes that were.
func (t *tail) take(messages []chat.Message) (weight int) {
	for _, m := range messages {
		t.mu.Lock()
		if t.users > 0 && m.Seq == t.last+1 {
			e := t.tails.event(t.room, m)
			weight += frameBytes + len(m.Text)
			t.tails.count.healed.Add(1)
			t.advance(e)
		}
		t.mu.Unlock()
	}
	return weight
}

// end ends the reading of a page, which began when before was the newest position
// heard of, and says whether there is more to be read.
//
// What is published is stored, so what was heard of before the end of the log was
// read is in it or is not true.
func (t *tail) end(page chat.Page, before int64) (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed, t.again = 0, time.Time{}
	if !page.Last && t.users > 0 {
		return true
	}
	t.reading = false
	if before > max(page.LastSeq, t.last) {
		t.heard = max(page.LastSeq, t.newly)
		for seq, e := range t.ahead {
			if seq > page.LastSeq && e.round < t.round {
				t.tails.count.refused.Add(1)
				t.forget(seq)
			}
		}
	}
	t.aim()
	t.watch()
	return false
}

// fail ends a reading that failed, and says how often that was in a row. The room
// is read again after a while, and each time that is longer.
func (t *tail) fail() (times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reading = false
	t.failed++
	t.again = time.Now().Add(min(readAgain<<min(t.failed-1, 10), readAgainMost))
	t.watch()
	return t.failed
}

// retry lets the room be read at once: the store was to blame, and works again.
func (t *tail) retry() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed > 0 {
		t.stop() // the wait for again, which may be long
	}
	t.failed, t.again = 0, time.Time{}
}

// record says how often in a row the room could not be read, and which of its
// messages are known to exist.
func (t *tail) record() (failed int, last, heard int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed, t.last, t.heard
}

// blame notes that a check could not read the room.
func (t *tail) blame() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed++
}

// leave is called once by each user.
func (t *tail) leave() {
	if t == nil {
		return
	}
	t.mu.Lock()
	t.users--
	over := t.users == 0
	if over {
		t.stop()
		t.tails.hold(-t.weight)
		t.ahead, t.weight = nil, 0
	}
	t.mu.Unlock()
	if over {
		t.tails.forget(t)
	}
}
