package chat

import (
	"context"
	"time"
)

const (
	doubtMax   = 1 << 16         // postings remembered; beyond that readers have to find the holes
	doubtPage  = 1024            // newest messages of a room that are looked through
	doubtOther = 256             // of them, those that other servers may have stored since
	doubtSoon  = time.Second     // after a failure, the first look at the store
	doubtLater = 5 * time.Second // after a failure, the look that decides; and between looks that fail
	tailsMax   = 1 << 16         // rooms whose newest published seq is remembered
)

// doubt is what failed batches may have stored all the same, because only the
// answer of the commit was lost. Nobody has been told of such messages. So the
// writer looks for them before it publishes anything newer in their room, and
// now and then, and publishes what it finds: each message once, in order.
// It is owned by the writer.
type doubt struct {
	rooms  map[string]map[doubtful]struct{}
	count  int
	failed time.Time // when the newest batch failed
	due    time.Time // of the next look

	// A nonce in doubt may be a repeated one, of a message published long ago.
	tails map[string]int64 // newest seq published in a room
	since time.Time        // in a room without a tail, nothing was published after it
}

// doubtful is a posting, as a retry would know it.
type doubtful struct {
	author UserID
	nonce  string
}

// add remembers the postings of a batch that failed now.
func (d *doubt) add(batch []*posting, now time.Time) {
	d.failed, d.due = now, now.Add(doubtSoon)
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

// published notes the newest seq that readers of a room have been told of.
func (d *doubt) published(room string, m Message) {
	if d.tails == nil || len(d.tails) > tailsMax {
		d.tails, d.since = make(map[string]int64), laterOf(d.since, m.At)
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

// forget is for a room whose log is known again.
func (d *doubt) forget(room string) {
	d.count -= len(d.rooms[room])
	delete(d.rooms, room)
}

// settle looks into the rooms in doubt that a committed batch touched, before
// its own messages are published.
func (s *Service) settle(ctx context.Context, batch []*posting, results []Appended) {
	if s.doubt.count == 0 {
		return
	}
	first := make(map[string]int64) // new seq of a room in this batch; -1 for none
	for i, r := range results {
		room := batch[i].draft.Room
		if len(s.doubt.rooms[room]) == 0 || r.Err != nil {
			continue
		}
		if seq, seen := first[room]; !r.Duplicate && seq <= 0 {
			first[room] = r.Message.Seq
		} else if !seen {
			first[room] = -1
		}
	}
	for room, before := range first {
		if err := s.reveal(ctx, room, before); err != nil {
			s.log.Error("messages may be stored that nobody was told about: readers will see a jump and ask",
				"room", room, "err", err)
		}
		s.doubt.forget(room)
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
// while has decided: what is not found then was not stored.
func (s *Service) look(ctx context.Context) {
	d, now := &s.doubt, s.now()
	d.due = d.failed.Add(doubtLater)
	decided := !now.Before(d.due)
	for room := range d.rooms {
		if err := s.reveal(ctx, room, -1); err != nil {
			d.due = now.Add(doubtLater) // the store is still broken, and the log knows
			return
		}
		if decided || len(d.rooms[room]) == 0 {
			d.forget(room)
		}
	}
}

// nextDue is what it is time to do, if it is; later is when it will be, or nil
// when nothing is in doubt and the store works.
func (s *Service) nextDue() (now func(context.Context), later <-chan time.Time) {
	next, do := s.fault.due, s.try
	if s.doubt.count > 0 && (next.IsZero() || s.doubt.due.Before(next)) {
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
