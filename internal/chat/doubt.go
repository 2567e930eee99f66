package chat

import (
	"context"
	"maps"
	"slices"
	"time"
)

const (
	doubtMax   = 1 << 16          // postings remembered; beyond that readers have to find the holes
	doubtPage  = 1024             // newest messages of a room that are looked through
	doubtOther = 256              // of them, those that other servers may have stored since
	doubtSoon  = time.Second      // after a failure, the first look at the store
	doubtLater = 5 * time.Second  // after a failure, the look that decides; and between looks that fail
	doubtHold  = 30 * time.Second // after a failure, how long newer messages of a room in doubt wait

	lookTurn   = 20 * time.Millisecond // of looking, before it is the queue's turn again
	lookWithin = 2 * time.Second       // for the store to answer, while posts wait
	tailsMax   = 1 << 16               // rooms whose newest published seq is remembered
)

// doubt is what failed batches may have stored all the same, because only the
// answer of the commit was lost. Nobody has been told of such messages. So the
// writer looks for them before it publishes anything newer in their room, and
// now and then, and publishes what it finds: each message once, in order. While
// it cannot look, what is newer is answered and then in doubt itself.
// It is owned by the writer.
type doubt struct {
	rooms  map[string]map[doubtful]struct{}
	count  int
	failed time.Time // when the newest batch failed
	due    time.Time // of the next look

	ahead   []string // rooms that the look under way has not come to
	decides bool     // what it does not find was not stored

	// A nonce in doubt may be a repeated one, of a message published long ago.
	tails map[string]int64 // newest seq published in a room
	since time.Time        // in a room without a tail, nothing was published after it
}

// doubtful is a posting, as a retry would know it.
type doubtful struct {
	author UserID
	nonce  string
}

// add remembers the postings of a batch that failed now, and may be stored.
func (d *doubt) add(batch []*posting, now time.Time) {
	d.failed, d.due, d.ahead = now, now.Add(doubtSoon), nil
	if d.count > doubtMax || d.rooms == nil {
		d.rooms, d.count = make(map[string]map[doubtful]struct{}), 0
	}
	for _, p := range batch {
		room := d.rooms[p.draft.Room]
		if room == nil {
			room = make(map[doubtful]struct{})
			d.rooms[p.draft.Room] = room
		}
		before := len(room)
		room[doubtful{p.draft.Author.ID, p.draft.Nonce}] = struct{}{}
		d.count += len(room) - before
	}
}

// hold remembers a posting that is stored for sure, for a look that will come to
// its room. Only failures decide when a look does.
func (d *doubt) hold(p *posting) {
	known := d.rooms[p.draft.Room]
	before := len(known)
	known[doubtful{p.draft.Author.ID, p.draft.Nonce}] = struct{}{}
	d.count += len(known) - before
}

// published notes the newest seq that readers of a room have been told of.
func (d *doubt) published(room string, m Message) {
	if len(d.tails) > tailsMax {
		d.tails, d.since = nil, laterOf(d.since, m.At)
	}
	if d.tails == nil {
		d.tails = make(map[string]int64)
	}
	d.tails[room] = m.Seq
}

// told says whether readers of a room have been told of a message.
func (d *doubt) told(room string, m Message) bool {
	if tail, known := d.tails[room]; known {
		return m.Seq <= tail
	}
	return !m.At.After(d.since)
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// about says whether messages of a room are in doubt.
func (d *doubt) about(room string) bool { return len(d.rooms[room]) > 0 }

// forget is for a room whose log is known again.
func (d *doubt) forget(room string) {
	d.count -= len(d.rooms[room])
	delete(d.rooms, room)
}

// settle looks into the rooms in doubt that a committed batch touched, before
// its own messages are published. A room that it could not look into stays in
// doubt, and the batch's messages in it are to be held; but not for ever, when the
// store takes posts and cannot read.
func (s *Service) settle(ctx context.Context, batch []*posting, results []Appended) {
	if s.doubt.count == 0 {
		return
	}
	first := make(map[string]int64) // new seq of a room in this batch; -1 for none
	for i, r := range results {
		room := batch[i].draft.Room
		if !s.doubt.about(room) || r.Err != nil {
			continue
		}
		if seq, seen := first[room]; !r.Duplicate && seq <= 0 {
			first[room] = r.Message.Seq
		} else if !seen {
			first[room] = -1
		}
	}
	hopeless, given := s.now().Sub(s.doubt.failed) > doubtHold, 0
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	var err error
	for room, before := range first {
		if err == nil { // else the store has broken again, and those of this batch wait
			err = s.reveal(ctx, room, before)
		}
		switch {
		case err == nil:
			s.doubt.forget(room)
		case hopeless || len(s.doubt.rooms[room]) > doubtPage-doubtOther: // more would not be found
			s.doubt.forget(room)
			given++
		}
	}
	switch {
	case given > 0:
		s.log.Error("messages may be stored that nobody was told about: readers will see a jump and ask",
			"rooms", given, "err", err)
	case err != nil:
		s.doubt.due = laterOf(s.doubt.due, s.now().Add(doubtSoon))
		s.log.Warn("messages are told later, behind those that may be stored and could not be looked for yet",
			"rooms", len(first), "err", err)
	}
}

// reveal publishes the messages in doubt that are stored in a room, before a
// seq or, when that is negative, at its end.
func (s *Service) reveal(ctx context.Context, room string, before int64) error {
	known := s.doubt.rooms[room]
	page, err := s.store.Messages(ctx, room, Range{Before: before, After: -1, Around: -1, Limit: min(len(known)+doubtOther, doubtPage)})
	if err != nil {
		return err
	}
	for _, m := range page.Messages {
		key := doubtful{m.Author.ID, m.Nonce}
		if _, ok := known[key]; !ok {
			continue
		}
		if !s.doubt.told(room, m) {
			s.publishOne(room, m)
		}
		delete(known, key)
		s.doubt.count--
	}
	return nil
}

// look is for rooms in which nobody posts. A store that has been working for a
// while has decided: what is not found then was not stored. There may be many
// thousands of rooms, and posts wait meanwhile, so it looks into some and goes
// on when it is called again.
func (s *Service) look(ctx context.Context) {
	d, start := &s.doubt, s.now()
	if len(d.ahead) == 0 {
		d.ahead = slices.Collect(maps.Keys(d.rooms))
		d.decides = !start.Before(d.failed.Add(doubtLater))
	}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	for len(d.ahead) > 0 && s.now().Sub(start) < lookTurn {
		room := d.ahead[len(d.ahead)-1]
		d.ahead = d.ahead[:len(d.ahead)-1]
		if !d.about(room) {
			continue // settled meanwhile
		}
		if err := s.reveal(ctx, room, -1); err != nil {
			d.ahead, d.due = nil, s.now().Add(doubtLater)
			return
		}
		if d.decides || !d.about(room) {
			d.forget(room)
		}
	}
	if len(d.ahead) == 0 {
		d.due = laterOf(d.failed.Add(doubtLater), s.now().Add(doubtSoon))
	}
}

// nextDue is what it is time to do, if it is; later is when it will be, or nil
// when nothing is in doubt and the store works. In a store that does not work
// there is nothing to be found.
func (s *Service) nextDue() (now func(context.Context), later <-chan time.Time) {
	next, do := s.fault.due, s.try
	if next.IsZero() && s.doubt.count > 0 {
		next, do = s.doubt.due, s.look
	}
	if next.IsZero() {
		return nil, nil
	}
	if wait := next.Sub(s.now()); wait > 0 {
		return nil, time.After(wait)
	}
	return do, nil
}
