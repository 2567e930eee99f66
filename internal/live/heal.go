package live

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/planted"
)

const (
	readers    = 4               // of rooms that are behind, at a time
	readWithin = 3 * time.Second // a page, or a check; a store that takes longer fails

	readAgain     = time.Second // after a page that could not be read; doubled each time
	readAgainMost = 30 * time.Second

	// checkEvery is how often the positions of all rooms in use are compared with
	// the log's: with the time to read it, what no other way has told comes within 5 s.
	checkEvery = 4 * time.Second
	checkAgain = time.Second // after one that failed
	checkRooms = 1000        // in one query
	checkSoon  = 50 * time.Millisecond

	// What a room has missed goes to its members at the pace they take it, but not
	// slower than this: who cannot is cut like any slow client, and resumes.
	healBacklog = 256 << 10 // bytes waiting for slow sockets, beside those that waited before
	healRate    = 4 << 20   // bytes a second
	frameBytes  = 256       // a message frame is about so long, beside its text
)

// enqueue has a tail read.
func (s *tails) enqueue(t *tail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.queue = append(s.queue, t)
	if s.readers < readers {
		s.readers++
		s.running.Go(s.read)
	}
}

// read reads tails, a page each time, until none is waiting.
func (s *tails) read() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 || s.closed {
			s.readers--
			s.mu.Unlock()
			return
		}
		t := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if s.heal(t) {
			s.enqueue(t)
		}
	}
}

// heal reads one page of the log behind a tail, and says whether there is more.
func (s *tails) heal(t *tail) (more bool) {
	after, before, ok := t.begin()
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, readWithin)
	defer cancel()
	s.count.reads.Add(1)
	start := time.Now()
	page, err := s.source.Page(ctx, t.room, chat.Range{Before: -1, After: after, Around: -1, Limit: chat.MaxPage})
	if err != nil {
		s.count.failedReads.Add(1)
		s.doubt(t.room, t.fail(), err)
		return false
	}
	weight := t.take(page.Messages)
	more = t.end(page, before)
	if more {
		s.pause(t, start.Add(time.Duration(weight)*time.Second/healRate))
	}
	return more
}

// pause lets members take what they were given, until a time at most: first of all
// the group's own goroutines, so that the backlog can be seen. Sockets that were
// slow before are not waited for: most are in other rooms.
func (s *tails) pause(t *tail, until time.Time) {
	const look = 2 * time.Millisecond
	for wait := true; wait; wait = time.Now().Before(until) {
		select {
		case <-time.After(look):
		case <-s.ctx.Done():
			return
		}
		backlog := s.layer.Stats().Backlog
		if t.slow = min(t.slow, backlog); backlog-t.slow <= healBacklog {
			return
		}
	}
}

// checking is the comparison of positions with the log. A goroutine exists only
// while one is under way.
type checking struct {
	timer *time.Timer
	due   time.Time       // when the timer fires
	now   bool            // under way
	doubt bool            // a page could not be read since a check could read one
	asked map[string]bool // groups to look at next, beside those of a full check
	all   bool
	full  time.Time // when all are looked at again
}

// expect has a check made within a time. The caller holds mu.
func (s *tails) expect(within time.Duration) {
	c := &s.check
	due := time.Now().Add(within)
	if s.closed || c.now || c.timer != nil && !due.Before(c.due) {
		return
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	c.due = due
	c.timer = time.AfterFunc(within, s.compare)
}

// gap takes the word that messages to some groups, or without groups to all, may
// have been lost.
func (s *tails) gap(groups ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byGroup) == 0 {
		return
	}
	c := &s.check
	c.all = c.all || len(groups) == 0
	if c.asked == nil {
		c.asked = make(map[string]bool)
	}
	for _, g := range groups {
		c.asked[g] = true
	}
	s.expect(checkSoon)
}

// doubt has a check look whether it is the store that fails, or one room alone,
// which then could not be read so many times. A room alone is read again ever later;
// a store is tried by the checks, and all rooms are read as soon as it works.
func (s *tails) doubt(room string, times int, err error) {
	if s.ctx.Err() != nil {
		return
	}
	if times > 1 && !s.failing.Load() {
		s.log.Warn("the log of a room cannot be read: what other servers store there is late", "room", room, "times", times, "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check.all, s.check.doubt = true, true
	s.expect(checkSoon)
}

// failed notes that a check could not read the store: all rooms are looked at as soon
// as it can.
func (s *tails) failed(err error) {
	if s.ctx.Err() != nil {
		return
	}
	if !s.failing.Swap(true) && !errors.Is(err, chat.ErrUnavailable) { // of which the service has told
		s.log.Error("the log cannot be read: what other servers store is late until it can", "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check.all = true
	s.expect(checkAgain)
}

// compare is one check.
func (s *tails) compare() {
	some, full, ok := s.beginCheck()
	if !ok {
		return
	}
	defer s.endCheck()
	if full && len(some) == 0 {
		some = []*tail{nil} // only to know whether the log can be read
	}
	failed := s.failing.Load()
	for part := range slices.Chunk(some, checkRooms) {
		if err := s.compareSome(part, failed); err != nil {
			s.count.failedChecks.Add(1)
			s.failed(err)
			return
		}
	}
}

// beginCheck says which rooms to look at, and whether they are all.
func (s *tails) beginCheck() (some []*tail, full, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.check
	c.timer = nil
	if s.closed {
		return nil, false, false
	}
	now := time.Now()
	if c.all || !now.Before(c.full) && !planted.NoPositionCheck {
		c.all, c.full = true, now.Add(checkEvery)
	}
	for group, t := range s.byGroup {
		if c.all || c.asked[group] {
			some = append(some, t)
		}
	}
	full = c.all
	c.now, c.all, c.asked = true, false, nil
	s.running.Add(1)
	return some, full, true
}

// endCheck arranges for the next one.
func (s *tails) endCheck() {
	defer s.running.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.check
	c.now = false
	switch {
	case s.failing.Load():
		s.expect(checkAgain)
	case c.all || len(c.asked) > 0:
		s.expect(checkSoon)
	default:
		s.expect(time.Until(c.full))
	}
}

// compareSome compares some rooms. After a check that failed they may be read at
// once.
func (s *tails) compareSome(some []*tail, failed bool) error {
	rooms := make([]string, len(some))
	for i, t := range some {
		if t != nil {
			rooms[i] = t.room
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, readWithin)
	defer cancel()
	s.count.checks.Add(1)
	at, err := s.source.Positions(ctx, rooms...)
	if err == nil {
		err = s.try()
	}
	if err != nil {
		return err
	}
	if s.failing.Swap(false) {
		s.log.Info("the log can be read again")
	}
	for i, t := range some {
		if failed {
			t.retry()
		}
		t.hear(at[rooms[i]])
	}
	return nil
}

// try reads a page if there is doubt whether any can be: a store that is slow may
// well tell positions, which are numbers, and no texts.
func (s *tails) try() error {
	s.mu.Lock()
	doubt := s.check.doubt
	s.check.doubt = false
	s.mu.Unlock()
	if !doubt {
		return nil
	}
	t, after := s.sample()
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, readWithin)
	defer cancel()
	s.count.reads.Add(1)
	_, err := s.source.Page(ctx, t.room, chat.Range{Before: -1, After: after, Around: -1, Limit: chat.MaxPage})
	if err != nil {
		t.blame() // the next time another is tried
		s.mu.Lock()
		defer s.mu.Unlock()
		s.check.doubt = true
	}
	return err
}

// sample is the room that could be read most of late, and a position behind which it
// has a message; nil if no room has any: an empty page says nothing about the store.
func (s *tails) sample() (best *tail, after int64) {
	least := 0
	for _, t := range s.all() {
		failed, last, heard := t.record()
		if heard > 0 && (best == nil || failed < least) {
			best, least, after = t, failed, max(last-1, 0)
		}
	}
	return best, after
}
