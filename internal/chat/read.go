package chat

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/teahouse-chat/teahouse/internal/planted"
)

const (
	// MaxPage is the most messages in one page; larger limits become it.
	MaxPage = 200
	// MaxPageBytes is the most text in one page, in bytes.
	MaxPageBytes = 256 << 10
	// MaxReplay is the most messages replayed; who misses more starts afresh.
	MaxReplay = 500
	// DefaultPage is the number of messages in a page when none is asked for.
	DefaultPage = 50
)

// Epoch names the state of the store that positions belong to.
func (s *Service) Epoch() string { return s.epoch }

// Page reads part of a room's log. A limit outside 1 to MaxPage is brought
// inside (0 is DefaultPage). When the texts are more than MaxPageBytes, the page
// loses messages on the side away from the cursor: the oldest of a page before
// something and of the newest page, the newest of a page after something, the
// farther ones around something. An unknown room is an empty page.
// Errors: ErrBadRoom, ErrBadQuery, ErrUnavailable.
func (s *Service) Page(ctx context.Context, room string, r Range) (Page, error) {
	slug, err := RoomSlug(room)
	if err != nil {
		return Page{}, err
	}
	return s.page(ctx, slug, r)
}

func (s *Service) page(ctx context.Context, slug string, r Range) (Page, error) {
	if !r.single() {
		return Page{}, ErrBadQuery
	}
	r.Limit = pageLimit(r.Limit)
	p, err := s.store.Messages(ctx, slug, r)
	if err != nil {
		return Page{}, s.readError(ctx, "reading messages", err)
	}
	p.shrink(r)
	return p, nil
}

func pageLimit(n int) int {
	if n == 0 {
		return DefaultPage
	}
	return min(max(n, 1), MaxPage)
}

// single tells whether at most one cursor is set.
func (r Range) single() bool {
	set := 0
	for _, cursor := range [...]int64{r.Before, r.After, r.Around} {
		if cursor >= 0 {
			set++
		}
	}
	return set <= 1
}

// shrink drops messages away from the cursor of r until the rest fits into
// MaxPageBytes, and at least one is left.
func (p *Page) shrink(r Range) {
	total := 0
	for _, m := range p.Messages {
		total += len(m.Text)
	}
	from, to := 0, len(p.Messages)
	for total > MaxPageBytes && to-from > 1 {
		dropOldest := r.After < 0
		if r.Around >= 0 {
			dropOldest = r.Around-p.Messages[from].Seq >= p.Messages[to-1].Seq-r.Around
		}
		if dropOldest {
			total -= len(p.Messages[from].Text)
			from++
			p.First = false
		} else {
			to--
			total -= len(p.Messages[to].Text)
			p.Last = false
		}
	}
	p.Messages = p.Messages[from:to]
}

// Position is where a reader of a room stands.
type Position struct {
	After int64  // newest seq held; negative for none, 0 for the beginning
	Epoch string // that After belongs to; needed when After > 0
	Limit int    // size of the newest page, when that is what they get
	All   bool   // go on from After however much follows it
}

// Resumption is what a reader has to be given: the messages with After < seq
// <= Last. Reset says that what they hold is of no use.
type Resumption struct {
	Room  string // canonical spelling
	After int64
	Last  int64 // newest seq of the room when it was read
	First bool  // nothing is older than what is given
	Reset bool
}

// Resume decides how a reader goes on: from their position when it is known and
// at most MaxReplay messages behind, or they want All, else with the newest page. An unknown room
// is an empty one. Errors: ErrBadRoom, ErrBadEpoch for a position of another
// epoch or of none, ErrBadSeq for one that the room has not reached,
// ErrUnavailable.
func (s *Service) Resume(ctx context.Context, room string, p Position) (Resumption, error) {
	slug, err := RoomSlug(room)
	if err != nil {
		return Resumption{}, err
	}
	if p.After > 0 && p.Epoch != s.epoch {
		return Resumption{}, ErrBadEpoch
	}
	at, err := s.find(ctx, slug)
	if err != nil && !errors.Is(err, ErrNoRoom) {
		return Resumption{}, err
	}
	r := Resumption{Room: slug, After: p.After, Last: at.LastSeq}
	switch {
	case p.After > at.LastSeq:
		return Resumption{}, ErrBadSeq
	case p.After < 0, !p.All && at.LastSeq-p.After > MaxReplay:
		r.Reset = p.After >= 0
		r.After = max(0, at.LastSeq-int64(pageLimit(p.Limit)))
	}
	r.First = r.After == 0
	return r, nil
}

// Replay reads what a Resumption promises, oldest first, in pages of at most
// MaxPage messages and MaxPageBytes, each when it is asked for: who reads
// slowly holds one page. After an error there is nothing more.
func (s *Service) Replay(ctx context.Context, r Resumption) iter.Seq2[[]Message, error] {
	return func(yield func([]Message, error) bool) {
		after := r.After
		if planted.ResumeOffByOne {
			after++
		}
		for after < r.Last {
			limit := int(min(r.Last-after, MaxPage))
			p, err := s.page(ctx, r.Room, Range{Before: -1, After: after, Around: -1, Limit: limit})
			if err != nil {
				yield(nil, err)
				return
			}
			for len(p.Messages) > 0 && p.Messages[len(p.Messages)-1].Seq > r.Last {
				p.Messages = p.Messages[:len(p.Messages)-1]
			}
			if len(p.Messages) == 0 || !yield(p.Messages, nil) {
				return
			}
			after = p.Messages[len(p.Messages)-1].Seq
		}
	}
}

// Room returns a room by any spelling, or ErrNoRoom.
func (s *Service) Room(ctx context.Context, room string) (Room, error) {
	slug, err := RoomSlug(room)
	if err != nil {
		return Room{}, err
	}
	return s.find(ctx, slug)
}

// find returns a room by its canonical spelling, or ErrNoRoom.
func (s *Service) find(ctx context.Context, slug string) (Room, error) {
	found, err := s.store.Find(ctx, slug)
	if err == nil && len(found) == 0 {
		err = ErrNoRoom
	}
	if err != nil {
		return Room{}, s.readError(ctx, "reading a room", err)
	}
	return found[0], nil
}

// Positions returns the newest seq of each of the rooms, named by their canonical
// spellings; 0 is that of a room that does not exist.
func (s *Service) Positions(ctx context.Context, slugs ...string) (map[string]int64, error) {
	found, err := s.store.Find(ctx, slugs...)
	if err != nil {
		return nil, s.readError(ctx, "reading the positions of rooms", err)
	}
	positions := make(map[string]int64, len(slugs))
	for _, slug := range slugs {
		positions[slug] = 0
	}
	for _, r := range found {
		positions[r.Slug] = r.LastSeq
	}
	return positions, nil
}

// Recent returns the rooms with the most recent talk first, at most MaxPage.
func (s *Service) Recent(ctx context.Context, limit int) ([]Room, error) {
	rooms, err := s.store.Rooms(ctx, pageLimit(limit))
	return rooms, s.readError(ctx, "listing rooms", err)
}

// Login finds a login by the SHA-256 of its secret, or ErrNoLogin.
func (s *Service) Login(ctx context.Context, hash [32]byte) (Login, error) {
	l, err := s.store.Login(ctx, hash)
	return l, s.readError(ctx, "reading a login", err)
}

// Naming is somebody's wish for a new name.
type Naming struct {
	User    User
	Login   *Login // stored with a person the store does not know yet; nil for none
	Name    string // see UserName
	Address string // where it came from, as in Post
}

// Rename gives a person a new name and returns them with it. Somebody the store
// does not know yet is stored. It counts against the rates of messages, since it
// costs as much. Errors: ErrBadName, *RateError, ErrUnavailable.
func (s *Service) Rename(ctx context.Context, n Naming) (User, error) {
	name, err := UserName(n.Name)
	if err != nil {
		return User{}, err
	}
	if err := s.takeMessage(ctx, Post{Author: n.User, Login: n.Login, Address: n.Address}); err != nil {
		return User{}, err
	}
	u := n.User
	u.Name = name
	if err := s.store.SaveUser(ctx, u, n.Login); err != nil {
		return User{}, s.readError(ctx, "storing a name", err)
	}
	s.renamed(u)
	return u, nil
}

// readError tells answers of a store and the caller's own cancelling from
// failures of the store, which are logged here and nowhere else: one line, and
// then one in 10 s while they go on. A store that has run out of its own time is
// a failure.
func (s *Service) readError(ctx context.Context, doing string, err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNoRoom), errors.Is(err, ErrNoLogin):
		return err
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return fmt.Errorf("%s: %w", doing, err)
	}
	if now, last := s.now().UnixNano(), s.readFault.Load(); (last == 0 || now-last >= int64(faultLogEvery)) && s.readFault.CompareAndSwap(last, now) {
		s.log.Error("the store failed", "while", doing, "err", err)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
}
