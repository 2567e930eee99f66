package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/planted"
)

// Pages of a log of rows are one statement each, so that the room's newest seq,
// which is the first row, and the messages below it are of one moment. They are
// written so that PostgreSQL walks the key of messages and stops at the limit.
// Those of a log of chunks are in read_chunks.go.
const (
	pageHead = `SELECT last_seq, NULL AS seq, NULL AS author_id, NULL AS name, NULL AS nonce, NULL AS body, NULL AS created_at
		FROM rooms WHERE slug = $1`
	pageColumns = `SELECT 0 AS last_seq, m.seq, m.author_id, u.name, m.nonce, m.body, m.created_at
		FROM messages m LEFT JOIN users u ON u.id = m.author_id
		WHERE m.room_id = (SELECT id FROM rooms WHERE slug = $1) AND m.seq `
	rowsBefore = ` UNION ALL SELECT * FROM (` + pageColumns + `< $2 ORDER BY m.seq DESC LIMIT $3) AS older`
	rowsAfter  = ` UNION ALL SELECT * FROM (` + pageColumns + `> $2 ORDER BY m.seq LIMIT $3) AS newer`
	rowsFrom   = ` UNION ALL SELECT * FROM (` + pageColumns + `>= $2 ORDER BY m.seq LIMIT $3) AS newer`

	pageBefore = pageHead + rowsBefore
	pageAfter  = pageHead + rowsAfter
	pageAround = pageHead + rowsBefore + rowsFrom

	roomBySlug  = `SELECT slug, last_seq, last_at FROM rooms WHERE slug = $1`
	roomsNamed  = `SELECT slug, last_seq, last_at FROM rooms WHERE slug `
	roomsByTalk = `SELECT slug, last_seq, last_at FROM rooms ORDER BY last_at DESC, id DESC LIMIT $1`
	loginByHash = `SELECT l.user_id, u.name, l.created_at, l.seen_at
		FROM logins l JOIN users u ON u.id = l.user_id WHERE l.hash = $1`
)

// queries are the prepared statements of the reading pool. Some are of a log of
// rows and some of one of chunks, and nil in the other.
type queries struct {
	before, after, around *sql.Stmt // of rows
	chunks, names         *sql.Stmt // of chunks

	room, named, rooms, login *sql.Stmt
}

// query is a statement and where it goes when it is prepared.
type query struct {
	stmt **sql.Stmt
	text string
}

func (q *queries) prepare(ctx context.Context, d *dialect, db *sql.DB) error {
	all := []query{{&q.room, roomBySlug}, {&q.named, roomsNamed + d.among}, {&q.rooms, roomsByTalk}, {&q.login, loginByHash}}
	if d.chunks {
		all = append(all, query{&q.chunks, chunksOfPage}, query{&q.names, namesOf})
	} else {
		all = append(all, query{&q.before, pageBefore}, query{&q.after, pageAfter}, query{&q.around, pageAround})
	}
	for _, p := range all {
		var err error
		if planted.OrderByTimestamp {
			p.text = strings.ReplaceAll(p.text, "ORDER BY m.seq", "ORDER BY (m.created_at, m.nonce)")
		}
		if *p.stmt, err = db.PrepareContext(ctx, p.text); err != nil {
			return fmt.Errorf("preparing %q: %w", p.text, err)
		}
	}
	return nil
}

func (q *queries) close() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{q.before, q.after, q.around, q.chunks, q.names, q.room, q.named, q.rooms, q.login} {
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
	page := s.queries.listed
	if s.dialect.chunks {
		page = s.queries.chunked
	}
	p, err := read(ctx, s, func(ctx context.Context) (*chat.Page, error) { return page(ctx, room, r) })
	if err != nil {
		return chat.Page{}, fmt.Errorf("reading messages: %w", err)
	}
	if p == nil {
		return chat.Page{First: true, Last: true}, nil
	}
	p.First, p.Last = edges(p, r)
	return *p, nil
}

// listed reads a page of a log of rows; there is none of a room that is not there.
func (q *queries) listed(ctx context.Context, room string, r chat.Range) (*chat.Page, error) {
	stmt, cursor, descending := q.before, int64(math.MaxInt64), true
	switch {
	case r.Before >= 0:
		cursor = r.Before
	case r.After >= 0:
		stmt, cursor, descending = q.after, r.After, false
	case r.Around >= 0:
		stmt, cursor, descending = q.around, r.Around, false
	}
	p, err := page(ctx, stmt, room, cursor, r.Limit)
	switch {
	case err != nil || p == nil:
		return nil, err
	case descending:
		slices.Reverse(p.Messages)
	case r.Around >= 0:
		p.Messages = middle(p.Messages, r.Around, r.Limit)
	}
	return p, nil
}

// page runs one of the page statements; there is none of a room that is not there.
func page(ctx context.Context, stmt *sql.Stmt, args ...any) (*chat.Page, error) {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var p chat.Page
	known := false
	for rows.Next() {
		var last int64
		var seq, author, at sql.NullInt64
		var name, nonce, body sql.NullString
		if err := rows.Scan(&last, &seq, &author, &name, &nonce, &body, &at); err != nil {
			return nil, err
		}
		if !seq.Valid { // the room itself
			p.LastSeq, known = last, true
			continue
		}
		p.Messages = append(p.Messages, chat.Message{
			Seq: seq.Int64, Author: chat.User{ID: chat.UserID(author.Int64), Name: name.String},
			Nonce: nonce.String, Text: body.String, At: fromMillis(at.Int64),
		})
	}
	if err := rows.Err(); err != nil || !known {
		return nil, err
	}
	return &p, nil
}

// middle takes limit messages around a seq from up to limit older ones, newest
// first, followed by up to limit newer ones, oldest first. Half are older,
// unless one side has too few.
func middle(both []chat.Message, around int64, limit int) []chat.Message {
	split := 0
	for split < len(both) && both[split].Seq < around {
		split++
	}
	older, newer := both[:split], both[split:]
	nOlder := min(len(older), limit/2)
	nNewer := min(len(newer), limit-nOlder)
	nOlder = min(len(older), limit-nNewer)
	slices.Reverse(older)
	return append(older[len(older)-nOlder:], newer[:nNewer]...)
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
