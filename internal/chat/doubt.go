package chat

import (
	"context"
	"time"
)

const (
	doubtMax   = 1 << 16         // postings remembered; beyond that readers have to find the holes
	doubtEvery = time.Second     // between two looks at the store without a commit
	doubtFor   = 1 * time.Minute // after the newest failure
	tailsMax   = 1 << 16         // rooms whose newest published seq is remembered
)

// doubt is what failed batches may have stored all the same, because only the
// answer of the commit was lost. Nobody has been told of such messages. So the
// writer looks for them before it publishes anything newer in their room, and
// now and then, and publishes what it finds: each message once, in order.
// It is owned by the writer.
type doubt struct {
	rooms map[string]map[doubtful]struct{}
	count int
	tails map[string]int64 // newest seq published in a room; a repeated nonce may be below it
}

// doubtful is a posting, as a retry would know it.
type doubtful struct {
	author UserID
	nonce  string
}

// add remembers the postings of a failed batch.
func (d *doubt) add(batch []*posting) {
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
func (d *doubt) published(room string, seq int64) {
	if d.tails == nil || len(d.tails) > tailsMax {
		d.tails = make(map[string]int64)
	}
	d.tails[room] = seq
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
	page, err := s.store.Messages(ctx, room, Range{Before: before, After: -1, Around: -1, Limit: len(known)})
	if err != nil {
		return err
	}
	for _, m := range page.Messages {
		key := doubtful{m.Author.ID, m.Nonce}
		if _, ok := known[key]; !ok {
			continue
		}
		if m.Seq > s.doubt.tails[room] {
			s.publishOne(room, m)
		}
		delete(known, key)
		s.doubt.count--
	}
	return nil
}

// look is for the time without commits: what is found is published; what is not
// found stays in doubt until the room's next commit.
func (s *Service) look(ctx context.Context) {
	for room := range s.doubt.rooms {
		if err := s.reveal(ctx, room, -1); err != nil {
			return // the store is still broken, and the log knows
		}
		if len(s.doubt.rooms[room]) == 0 {
			s.doubt.forget(room)
		}
	}
}

// nextLook is when look is due, or nil when there is nothing to look for.
func (s *Service) nextLook() <-chan time.Time {
	if s.doubt.count == 0 || s.now().Sub(s.fault.last) > doubtFor {
		return nil
	}
	return time.After(doubtEvery)
}
