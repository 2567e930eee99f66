package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"
)

// sum is a hash of rows in their order. Numbers have eight bytes and texts their
// length before them, so no two lists of rows are one list of bytes.
type sum struct {
	hash hash.Hash
	buf  []byte
}

func newSum() *sum { return &sum{hash: sha256.New()} }

func (s *sum) numbers(ns ...int64) {
	for _, n := range ns {
		s.buf = binary.BigEndian.AppendUint64(s.buf, uint64(n))
	}
}

func (s *sum) text(t string) {
	s.numbers(int64(len(t)))
	s.buf = append(s.buf, t...)
}

// end adds a row.
func (s *sum) end() {
	s.hash.Write(s.buf) // never fails
	s.buf = s.buf[:0]
}

// take is the hash of all rows so far, and begins anew.
func (s *sum) take() (h [sha256.Size]byte) {
	s.hash.Sum(h[:0])
	s.hash.Reset()
	return h
}

// roomSum is all of a room.
type roomSum struct {
	room copyRoom
	log  [sha256.Size]byte // of its messages
}

// compare reads everything of both sides, at once, and wants it to be equal.
func (c *copier) compare(ctx context.Context) error {
	c.done.Stage, c.done.Rooms, c.done.Messages, c.done.Before = Comparing, 0, 0, 0
	c.progress(c.done)
	var source, target peopleSum
	err := both(
		func() (err error) { source, err = c.from.peopleSum(ctx); return atSource(err) },
		func() (err error) { target, err = c.to.peopleSum(ctx); return atTarget(err) })
	if err != nil {
		return err
	}
	if source != target {
		return fmt.Errorf("%w: the people or their logins differ, begin again with an empty target", ErrUnequal)
	}
	for after := int64(-1 << 63); ; {
		var source, target []roomSum
		err := both(
			func() (err error) { source, err = c.from.roomSums(ctx, after); return atSource(err) },
			func() (err error) { target, err = c.to.roomSums(ctx, after); return atTarget(err) })
		if err != nil {
			return err
		}
		for i := range source {
			if i >= len(target) || source[i] != target[i] {
				return fmt.Errorf("%w: the room %q differs, begin again with an empty target", ErrUnequal, source[i].room.slug)
			}
			c.done.Rooms++
			c.done.Messages += source[i].room.lastSeq
		}
		if len(target) > len(source) {
			return fmt.Errorf("%w: it has rooms that the source has not, such as %q, begin again with an empty target",
				ErrUnequal, target[len(source)].room.slug)
		}
		if len(source) == 0 {
			return nil
		}
		after = source[len(source)-1].room.id
		c.progress(c.done)
	}
}

// both runs two functions at once, and returns an error of one.
func both(f, g func() error) error {
	var second error
	var wg sync.WaitGroup
	wg.Go(func() { second = g() })
	first := f()
	wg.Wait()
	if first != nil {
		return first
	}
	return second
}

// peopleSum is all that is known of people.
type peopleSum struct{ users, logins [sha256.Size]byte }

func (s *Store) peopleSum(ctx context.Context) (p peopleSum, err error) {
	h := newSum()
	p.users, err = s.sumAll(ctx, h, allUsers, func(rows *sql.Rows) error {
		var u person
		err := u.scan(rows)
		h.numbers(u.id, u.guest, u.created)
		h.text(u.name)
		return err
	})
	if err != nil {
		return p, err
	}
	p.logins, err = s.sumAll(ctx, h, allLogins, func(rows *sql.Rows) error {
		var l login
		err := l.scan(rows)
		h.numbers(l.user, l.created, l.seen)
		h.text(string(l.hash))
		return err
	})
	return p, err
}

// sumAll is the hash of the rows of a query, which add gives to h.
func (s *Store) sumAll(ctx context.Context, h *sum, query string, add func(*sql.Rows) error) (all [sha256.Size]byte, err error) {
	rows, err := s.writer.conn.QueryContext(ctx, query)
	if err != nil {
		return all, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := add(rows); err != nil {
			return all, err
		}
		h.end()
	}
	return h.take(), rows.Err()
}

// roomSums reads the next rooms by their ids, with all of their messages. There
// are none after the last.
func (s *Store) roomSums(ctx context.Context, after int64) ([]roomSum, error) {
	rooms, err := s.roomsAfter(ctx, after)
	if err != nil || len(rooms) == 0 {
		return nil, err
	}
	sums := make([]roomSum, len(rooms))
	logs := make(map[int64]*roomSum, len(rooms))
	for i, room := range rooms {
		sums[i].room = room
		logs[room.id] = &sums[i]
	}
	log, err := s.entriesFrom(ctx, rooms[0].id, 0, rooms[len(rooms)-1].id)
	if err != nil {
		return nil, err
	}
	defer log.close()
	h, some, current := newSum(), false, int64(0)
	for {
		m, err := log.next()
		if err != nil {
			return nil, err
		}
		if some && (m == nil || m.room != current) { // the end of a room
			sum := logs[current]
			if sum == nil {
				return nil, fmt.Errorf("%w: there are messages of room number %d, but not the room", ErrDamaged, current)
			}
			sum.log = h.take()
		}
		if m == nil {
			return sums, nil
		}
		some, current = true, m.room
		h.numbers(m.Seq, int64(m.Author.ID), m.At.UnixMilli())
		h.text(m.Nonce)
		h.text(m.Text)
		h.end()
	}
}
