package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// errAgain undoes a transaction that met a nonce stored before, which took a
// number, so that it is done again by looking nonces up first.
var errAgain = errors.New("a nonce was stored before")

// appending is one Append on its way.
type appending struct {
	w       *writer
	batch   []chat.Draft
	results []chat.Appended
	rooms   []*roomRow
	roomOf  []*roomRow             // of each draft
	names   map[chat.UserID]string // of authors who are stored
	careful bool                   // look nonces up, since some were stored before
}

// roomRow is a room as it will be when the batch is stored.
type roomRow struct {
	slug                string
	id, lastSeq, lastAt int64
	fresh               []int // new messages, by their places in the batch
}

// Append implements chat.Store. It hopes that no nonce was stored before and
// inserts whole batches; when the hope fails, which the count of inserted rows
// tells, it starts again and looks each nonce up.
func (s *Store) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	if len(batch) == 0 {
		return nil, ctx.Err()
	}
	var results []chat.Appended
	run := func(careful bool) error {
		return s.write(ctx, func(ctx context.Context, w *writer) error {
			a := &appending{w: w, batch: batch, results: make([]chat.Appended, len(batch)), careful: careful}
			results = a.results
			return a.run(ctx)
		}, func() { s.noteMark(results) })
	}
	err := run(false)
	if errors.Is(err, errAgain) {
		err = run(true)
	}
	if err != nil {
		return nil, fmt.Errorf("appending %d messages: %w", len(batch), err)
	}
	return results, nil
}

func (a *appending) run(ctx context.Context) error {
	if err := a.loadRooms(ctx); err != nil {
		return fmt.Errorf("reading rooms: %w", err)
	}
	if err := a.loadNames(ctx); err != nil {
		return fmt.Errorf("reading authors: %w", err)
	}
	if err := a.number(ctx); err != nil {
		return err
	}
	if err := a.insert(ctx); err != nil {
		return err
	}
	for _, r := range a.rooms {
		if len(r.fresh) == 0 {
			continue
		}
		const save = `UPDATE rooms SET last_seq = $1, last_at = $2 WHERE id = $3`
		if err := a.w.exec(ctx, save, r.lastSeq, r.lastAt, r.id); err != nil {
			return fmt.Errorf("updating a room: %w", err)
		}
	}
	return nil
}

// loadRooms reads the rooms of the batch that exist.
func (a *appending) loadRooms(ctx context.Context) error {
	a.roomOf = make([]*roomRow, len(a.batch))
	bySlug := make(map[string]*roomRow)
	var slugs []any
	for i := range a.batch {
		slug := a.batch[i].Room
		r := bySlug[slug]
		if r == nil {
			r = &roomRow{slug: slug}
			bySlug[slug] = r
			a.rooms = append(a.rooms, r)
			slugs = append(slugs, slug)
		}
		a.roomOf[i] = r
	}
	const head = `SELECT slug, id, last_seq, last_at FROM rooms WHERE slug IN (`
	return a.w.selectIn(ctx, head, slugs, func(rows *sql.Rows) error {
		var slug string
		var id, lastSeq, lastAt int64
		if err := rows.Scan(&slug, &id, &lastSeq, &lastAt); err != nil {
			return err
		}
		r := bySlug[slug]
		r.id, r.lastSeq, r.lastAt = id, lastSeq, lastAt
		return nil
	})
}

// loadNames reads the names of the batch's authors who are stored.
func (a *appending) loadNames(ctx context.Context) error {
	a.names = make(map[chat.UserID]string)
	asked := make(map[chat.UserID]bool)
	var ids []any
	for i := range a.batch {
		if id := a.batch[i].Author.ID; !asked[id] {
			asked[id] = true
			ids = append(ids, int64(id))
		}
	}
	return a.w.selectIn(ctx, `SELECT id, name FROM users WHERE id IN (`, ids, func(rows *sql.Rows) error {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		a.names[chat.UserID(id)] = name
		return nil
	})
}

// selectIn runs head with lists of keys, at most maxRows at a time. Lists are
// filled up with their last key to a power of two, so that there are few
// statements to prepare.
func (w *writer) selectIn(ctx context.Context, head string, keys []any, scan func(*sql.Rows) error) error {
	for len(keys) > 0 {
		n := min(len(keys), maxRows)
		size := 1
		for size < n {
			size *= 2
		}
		w.args = append(w.args[:0], keys[:n]...)
		for len(w.args) < size {
			w.args = append(w.args, keys[n-1])
		}
		keys = keys[n:]
		stmt, err := w.prepared(ctx, head, ")", size, 1)
		if err != nil {
			return err
		}
		if err := scanAll(ctx, stmt, w.args, scan); err != nil {
			return err
		}
	}
	return nil
}

func scanAll(ctx context.Context, stmt *sql.Stmt, args []any, scan func(*sql.Rows) error) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// number gives each new message its number. Rooms and authors that are missing
// are stored on the way.
func (a *appending) number(ctx context.Context) error {
	said := make(map[nonceKey]int) // in this batch; empty unless careful
	for i := range a.batch {
		d, room := &a.batch[i], a.roomOf[i]
		if room.id == 0 {
			if !d.Create {
				a.results[i].Err = chat.ErrNoRoom
				continue
			}
			if err := a.makeRoom(ctx, room); err != nil {
				return fmt.Errorf("making a room: %w", err)
			}
		}
		if a.careful {
			key := nonceKey{room.id, d.Author.ID, d.Nonce}
			if done, err := a.repeated(ctx, i, key, said); err != nil {
				return fmt.Errorf("looking a nonce up: %w", err)
			} else if done {
				continue
			}
			said[key] = i
		}
		name, err := a.author(ctx, d)
		if err != nil {
			return fmt.Errorf("storing an author: %w", err)
		}
		room.lastSeq++
		room.lastAt = max(room.lastAt, d.At.UnixMilli())
		room.fresh = append(room.fresh, i)
		a.results[i].Message = chat.Message{
			Seq: room.lastSeq, Author: chat.User{ID: d.Author.ID, Name: name},
			Nonce: d.Nonce, Text: d.Text, At: fromMillis(room.lastAt),
		}
	}
	return nil
}

func (a *appending) makeRoom(ctx context.Context, r *roomRow) error {
	stmt, err := a.w.prepared(ctx, `INSERT INTO rooms (slug, last_seq, last_at) VALUES ($1, 0, 0) RETURNING id`, "", 0, 0)
	if err != nil {
		return err
	}
	return stmt.QueryRowContext(ctx, r.slug).Scan(&r.id)
}

// author returns the name an author is stored under, storing who is new.
func (a *appending) author(ctx context.Context, d *chat.Draft) (string, error) {
	if name, known := a.names[d.Author.ID]; known {
		return name, nil
	}
	const save = `INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3)`
	if err := a.w.exec(ctx, save, int64(d.Author.ID), d.Author.Name, d.At.UnixMilli()); err != nil {
		return "", err
	}
	a.names[d.Author.ID] = d.Author.Name
	return d.Author.Name, a.w.saveLogin(ctx, d.Author.ID, d.Login)
}

// nonceKey is what a nonce is unique for.
type nonceKey struct {
	room   int64
	author chat.UserID
	nonce  string
}

// repeated answers a draft whose nonce was stored before, or said earlier in the
// batch.
func (a *appending) repeated(ctx context.Context, i int, key nonceKey, said map[nonceKey]int) (bool, error) {
	m := chat.Message{Author: chat.User{ID: key.author, Name: a.names[key.author]}, Nonce: key.nonce}
	if at, ok := said[key]; ok {
		m = a.results[at].Message
	} else {
		const find = `SELECT seq, body, created_at FROM messages WHERE room_id = $1 AND author_id = $2 AND nonce = $3`
		stmt, err := a.w.prepared(ctx, find, "", 0, 0)
		if err != nil {
			return false, err
		}
		var millis int64
		err = stmt.QueryRowContext(ctx, key.room, int64(key.author), key.nonce).Scan(&m.Seq, &m.Text, &millis)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		m.At = fromMillis(millis)
	}
	if m.Text != a.batch[i].Text {
		a.results[i].Err = chat.ErrNonceConflict
	} else {
		a.results[i] = chat.Appended{Message: m, Duplicate: true}
	}
	return true, nil
}

// insert stores the new messages, in statements of 64, 32, ..., 1 rows. They go
// room by room: rows that lie together in the database then share its pages while
// these are at hand, which a large batch of many rooms gains much from.
func (a *appending) insert(ctx context.Context) error {
	slices.SortFunc(a.rooms, func(x, y *roomRow) int { return cmp.Compare(x.id, y.id) })
	fresh := make([]int, 0, len(a.batch))
	for _, r := range a.rooms {
		fresh = append(fresh, r.fresh...)
	}
	const head = `INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at) VALUES `
	const tail = ` ON CONFLICT (room_id, author_id, nonce) DO NOTHING`
	for size := maxRows; len(fresh) > 0; {
		if len(fresh) < size {
			size /= 2
			continue
		}
		args := a.w.args[:0]
		for _, i := range fresh[:size] {
			m := &a.results[i].Message
			args = append(args, a.roomOf[i].id, m.Seq, int64(m.Author.ID), m.Nonce, m.Text, m.At.UnixMilli())
		}
		a.w.args, fresh = args, fresh[size:]
		stmt, err := a.w.prepared(ctx, head, tail, size, 6)
		if err != nil {
			return err
		}
		result, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return fmt.Errorf("inserting messages: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil {
			return fmt.Errorf("counting inserted messages: %w", err)
		} else if n != int64(size) {
			return errAgain
		}
	}
	return nil
}

var _ chat.Store = (*Store)(nil)
