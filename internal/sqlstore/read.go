package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

const (
	roomBySlug  = `SELECT slug, last_seq, last_at FROM rooms WHERE slug = $1`
	roomsNamed  = `SELECT slug, last_seq, last_at FROM rooms WHERE slug `
	roomsByTalk = `SELECT slug, last_seq, last_at FROM rooms WHERE talked >= coalesce(
			(SELECT talked FROM rooms ORDER BY talked DESC LIMIT 1 OFFSET $1 - 1), -9223372036854775807)
		ORDER BY last_at DESC, id DESC LIMIT $1`
	loginByHash = `SELECT l.user_id, u.name, l.created_at, l.seen_at
		FROM logins l JOIN users u ON u.id = l.user_id WHERE l.hash = $1`
)

// queries are the prepared statements of the reading pool.
type queries struct {
	dialect *dialect

	chunks, names, room, named, rooms, login *sql.Stmt
}

func (q *queries) prepare(ctx context.Context, d *dialect, db *sql.DB) error {
	q.dialect = d
	for _, p := range []struct {
		stmt **sql.Stmt
		text string
	}{
		{&q.chunks, chunksOfPage}, {&q.names, namesOf + d.among}, {&q.room, roomBySlug}, {&q.named, roomsNamed + d.among},
		{&q.rooms, roomsByTalk}, {&q.login, loginByHash},
	} {
		var err error
		if *p.stmt, err = db.PrepareContext(ctx, p.text); err != nil {
			return fmt.Errorf("preparing %q: %w", p.text, err)
		}
	}
	return nil
}

func (q *queries) close() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{q.chunks, q.names, q.room, q.named, q.rooms, q.login} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(errs...)
}

// patient is ctx with the time that a call may take at most: a database across
// a network may be there no more without anybody saying so.
func (s *Store) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.dialect.patience == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.dialect.patience)
}

// readers are the way of reads across a network. To give one up that has begun is
// to lose its connection, and visitors give up as they please; so it goes on
// without them, and there are never more than connections.
type readers struct {
	seats chan struct{}   // taken by reads that have begun
	open  context.Context // ends with the store, and all reads with it
	close context.CancelFunc
}

func newReaders(most int) readers {
	r := readers{seats: make(chan struct{}, most)}
	r.open, r.close = context.WithCancel(context.Background())
	return r
}

// end ends all reads and waits until they have.
func (r *readers) end() {
	r.close()
	for range cap(r.seats) {
		r.seats <- struct{}{}
	}
}

// sit waits for a seat.
func (r *readers) sit(ctx context.Context, s *Store) error {
	select {
	case r.seats <- struct{}{}:
	default:
		start := time.Now()
		defer func() {
			s.count.waits.Add(1)
			s.count.waited.Add(int64(time.Since(start)))
		}()
		select {
		case r.seats <- struct{}{}:
		case <-r.open.Done():
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := ctx.Err()
	if r.open.Err() != nil {
		err = errClosed
	}
	if err != nil {
		<-r.seats
	}
	return err
}

// read runs f, which reads, until ctx ends or for the time that a call may take.
func read[T any](ctx context.Context, s *Store, f func(context.Context) (T, error)) (found T, err error) {
	if s.dialect.patience == 0 {
		return f(ctx)
	}
	type outcome struct {
		found T
		err   error
	}
	within, cancel := s.patient(ctx)
	defer cancel()
	if err := s.reading.sit(within, s); err != nil {
		return found, err
	}
	ended := make(chan outcome, 1)
	go func() {
		defer func() { <-s.reading.seats }()
		ctx, cancel := s.patient(s.reading.open)
		defer cancel()
		found, err := again(ctx, s, f)
		ended <- outcome{found, err}
	}()
	select {
	case o := <-ended:
		return o.found, o.err
	case <-within.Done():
		return found, within.Err()
	}
}

// again runs f, and runs it again on another connection when the one it had is
// found cut, as all of the pool's are after the server was restarted.
func again[T any](ctx context.Context, s *Store, f func(context.Context) (T, error)) (found T, err error) {
	for range 1 + s.dialect.readers {
		if found, err = f(ctx); err == nil || ctx.Err() != nil || !s.dialect.cut(err) {
			break
		}
	}
	return found, err
}

// Messages implements chat.Store.
func (s *Store) Messages(ctx context.Context, room string, r chat.Range) (chat.Page, error) {
	p, err := read(ctx, s, func(ctx context.Context) (*chat.Page, error) { return s.queries.page(ctx, room, r) })
	if err != nil {
		return chat.Page{}, fmt.Errorf("reading messages: %w", err)
	}
	if p == nil {
		return chat.Page{First: true, Last: true}, nil
	}
	p.First, p.Last = edges(p, r)
	return *p, nil
}

// edges tells whether nothing is older or newer than a page of a room that
// exists. Numbers begin at 1 and have no holes.
func edges(p *chat.Page, r chat.Range) (first, last bool) {
	if n := len(p.Messages); n > 0 {
		return p.Messages[0].Seq <= 1, p.Messages[n-1].Seq >= p.LastSeq
	}
	if r.After >= 0 {
		return r.After < 1 || p.LastSeq == 0, true
	}
	return true, p.LastSeq == 0
}

// Find implements chat.Store.
func (s *Store) Find(ctx context.Context, slugs ...string) ([]chat.Room, error) {
	stmt, arg := s.queries.room, any(nil)
	switch len(slugs) {
	case 0:
		return nil, ctx.Err()
	case 1:
		arg = slugs[0]
	default:
		stmt, arg = s.queries.named, s.dialect.names(slugs)
	}
	found, err := s.roomsOf(ctx, stmt, arg)
	if err != nil {
		return nil, fmt.Errorf("finding %d rooms: %w", len(slugs), err)
	}
	return found, nil
}

// Rooms implements chat.Store.
func (s *Store) Rooms(ctx context.Context, limit int) ([]chat.Room, error) {
	list, err := s.roomsOf(ctx, s.queries.rooms, limit)
	if err != nil {
		return nil, fmt.Errorf("listing rooms: %w", err)
	}
	return list, nil
}

// roomsOf runs one of the statements that select rooms.
func (s *Store) roomsOf(ctx context.Context, stmt *sql.Stmt, arg any) ([]chat.Room, error) {
	return read(ctx, s, func(ctx context.Context) (list []chat.Room, err error) {
		err = scanAll(ctx, stmt, []any{arg}, func(rows *sql.Rows) error {
			var r chat.Room
			var at int64
			err := rows.Scan(&r.Slug, &r.LastSeq, &at)
			r.LastAt = fromMillis(at)
			list = append(list, r)
			return err
		})
		return list, err
	})
}

// Login implements chat.Store.
func (s *Store) Login(ctx context.Context, hash [32]byte) (chat.Login, error) {
	l, err := read(ctx, s, func(ctx context.Context) (chat.Login, error) {
		l := chat.Login{Hash: hash}
		var created, seen int64
		err := s.queries.login.QueryRowContext(ctx, hash[:]).Scan(&l.User.ID, &l.User.Name, &created, &seen)
		l.Created, l.Seen = fromMillis(created), fromMillis(seen)
		return l, err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return chat.Login{}, chat.ErrNoLogin
	}
	if err != nil {
		return chat.Login{}, fmt.Errorf("reading a login: %w", err)
	}
	return l, nil
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
