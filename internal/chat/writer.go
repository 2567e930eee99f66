package chat

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/teahouse-chat/teahouse/internal/planted"
)

const (
	batchDrafts = 1024    // in one commit
	batchBytes  = 1 << 20 // of text in one commit
	batchUnsure = 64      // for rooms in doubt, which are looked into before anybody is answered

	faultLogEvery = 10 * time.Second // while the store stays broken
	tryEvery      = 2 * time.Second  // a broken store, when nobody posts
	slowFault     = time.Second      // a failure that took so long is that of who waited for it, too
)

// fault is the writer's memory of a broken store.
type fault struct {
	logged time.Time
	silent int       // failed batches since the last line in the log
	due    time.Time // of the next try; zero when the store works
}

// write is the writer: it ends when the queue is closed and empty.
func (s *Service) write(ctx context.Context) {
	defer close(s.written)
	for {
		p, open := s.next(ctx)
		if !open {
			return
		}
		runtime.Gosched() // whoever can post now joins the batch; costs nothing when nobody can
		s.gather(p)
		if unmade := s.commit(ctx, s.batch, false); len(unmade) > 0 {
			if made := s.admitRooms(unmade); len(made) > 0 {
				s.commit(ctx, made, true)
			}
		}
		clear(s.batch)
		clear(s.drafts)
	}
}

// next takes a posting from the queue, waiting for one; false is the end of the
// queue. Meanwhile it does what is due, in turn with the queue: the store may
// take long over either, and neither is to wait for ever for the other.
func (s *Service) next(ctx context.Context) (p *posting, open bool) {
	for {
		due, later := s.nextDue()
		if due == nil {
			select {
			case p, open = <-s.queue:
				return p, open
			case <-later:
				continue
			}
		}
		due(ctx)
		select {
		case p, open = <-s.queue:
			return p, open
		default:
		}
	}
}

// gather fills the batch with first and whatever waits behind it.
func (s *Service) gather(first *posting) {
	s.batch = s.batch[:0]
	bytes, unsure := 0, 0
	add := func(p *posting) {
		s.batch = append(s.batch, p)
		bytes += len(p.draft.Text)
		if s.doubt.about(p.draft.Room) {
			unsure++
		}
	}
	add(first)
	for len(s.batch) < batchDrafts && bytes < batchBytes && unsure < batchUnsure {
		select {
		case p, ok := <-s.queue:
			if !ok {
				return
			}
			add(p)
		default:
			return
		}
	}
}

// commit stores postings, publishes the new messages and completes the waiters,
// in that order, but for messages that are held, see settle. It returns those whose room does not exist, uncompleted.
func (s *Service) commit(ctx context.Context, batch []*posting, create bool) (unmade []*posting) {
	start := s.now()
	s.drafts = s.drafts[:0]
	for _, p := range batch {
		p.draft.At, p.draft.Create = start, create
		s.drafts = append(s.drafts, p.draft)
	}
	if planted.FanoutBeforeCommit {
		s.publishEarly()
	}
	results, err := s.append(ctx, s.drafts)
	now := s.now()
	took := now.Sub(start)
	s.noteFault(err, len(batch), now)
	if err != nil {
		if !errors.Is(err, ErrNotStored) {
			s.doubt.add(batch, now)
		}
		s.refuse(batch, err)
		s.refuseWaiting(err, took)
		return nil
	}
	s.settle(ctx, batch, results)
	stored := 0
	for i, r := range results {
		if r.Err != nil || r.Duplicate {
			continue
		}
		stored++
		if room := batch[i].draft.Room; s.doubt.about(room) { // still, although settled
			s.doubt.hold(batch[i])
		} else {
			s.publishOne(room, r.Message)
		}
	}
	s.count(results, stored, took)
	for i, r := range results {
		if errors.Is(r.Err, ErrNoRoom) && !create {
			unmade = append(unmade, batch[i])
			continue
		}
		s.complete(batch[i], r)
	}
	return unmade
}

func (s *Service) refuse(batch []*posting, err error) {
	err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	for _, p := range batch {
		s.complete(p, Appended{Err: err})
	}
}

// refuseWaiting answers who has waited in the queue while the store failed, when
// that took long: tried by themselves they would wait as long again.
func (s *Service) refuseWaiting(err error, took time.Duration) {
	if took < slowFault {
		return
	}
	for range len(s.queue) {
		s.refuse([]*posting{<-s.queue}, err)
	}
}

// append calls the store, turning a panic or a broken promise into an error.
func (s *Service) append(ctx context.Context, drafts []Draft) (results []Appended, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the store panicked: %v\n%s", v, debug.Stack())
		}
	}()
	results, err = s.store.Append(ctx, drafts)
	if err == nil && len(results) != len(drafts) {
		err = fmt.Errorf("the store gave %d results for %d drafts", len(results), len(drafts))
	}
	return results, err
}

// admitRooms counts new rooms against their makers' rate and returns, in order,
// the postings that may make them. Who is refused is told.
func (s *Service) admitRooms(unmade []*posting) (made []*posting) {
	open := make(map[string]bool)
	for _, p := range unmade {
		if !open[p.draft.Room] {
			if wait := s.limiter.Take(LimitRooms, p.address); wait > 0 {
				s.stats.refused.Add(1)
				s.complete(p, Appended{Err: &RateError{Limit: LimitRooms, Wait: wait}})
				continue
			}
			open[p.draft.Room] = true
		}
		made = append(made, p)
	}
	return made
}

func (s *Service) count(results []Appended, stored int, took time.Duration) {
	s.stats.posts.Add(uint64(stored))
	for _, r := range results {
		if r.Duplicate {
			s.stats.duplicates.Add(1)
		}
	}
	if stored == 0 {
		return
	}
	s.stats.commits.Add(1)
	if n := int64(stored); n > s.stats.batchMax.Load() {
		s.stats.batchMax.Store(n)
	}
	s.committed(stored, took)
}

// noteFault keeps the account of a broken store: one line when it breaks, one
// now and then while it stays so, one when it works again.
func (s *Service) noteFault(err error, posts int, now time.Time) {
	f := &s.fault
	if err == nil {
		f.due = time.Time{}
		if s.stats.failing.Swap(false) {
			s.log.Info("the store works again", "failed_batches", s.stats.failures.Load())
		}
		return
	}
	first := !s.stats.failing.Swap(true)
	s.stats.failures.Add(1)
	f.due = now.Add(tryEvery)
	f.silent++
	if first || now.Sub(f.logged) >= faultLogEvery {
		s.log.Error("the store failed, posts were refused and may be repeated",
			"err", err, "posts", posts, "failed_batches", f.silent)
		f.logged, f.silent = now, 0
	}
}

// try finds out whether a broken store works again. Who decides by that where
// people are sent would else send nobody here whose post could tell.
func (s *Service) try(ctx context.Context) {
	start := s.now()
	_, err := s.append(ctx, nil)
	now := s.now()
	if err == nil {
		s.noteFault(nil, 0, now)
		return
	}
	s.fault.due = now.Add(tryEvery)
	s.refuseWaiting(err, now.Sub(start))
}

func (s *Service) publishOne(room string, m Message) {
	defer s.survive("publishing a message")
	s.doubt.published(room, m)
	s.publish(room, m)
}

// publishEarly is a planted defect.
func (s *Service) publishEarly() {
	for _, d := range s.drafts {
		seq := s.doubt.tails[d.Room] + 1
		s.publishOne(d.Room, Message{Seq: seq, Author: d.Author, Nonce: d.Nonce, Text: d.Text, At: d.At})
	}
}

func (s *Service) complete(p *posting, r Appended) {
	defer s.survive("answering a sender")
	p.done(r.Message, r.Duplicate, r.Err)
}

// survive keeps a panic in somebody else's function from ending the writer.
func (s *Service) survive(doing string) {
	if v := recover(); v != nil {
		s.stats.panics.Add(1)
		s.log.Error("panic", "while", doing, "value", fmt.Sprint(v), "stack", string(debug.Stack()))
	}
}
