package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// appending is one Append on its way.
type appending struct {
	w       *writer
	log     *slog.Logger
	batch   []chat.Draft
	results []chat.Appended
	rooms   []*roomRow
	roomOf  []*roomRow             // of each draft
	names   map[chat.UserID]string // of authors who are stored
	known   *known
	keys    []uint64                  // of the drafts' nonces
	stored  map[nonceKey]chat.Message // messages, without authors' names, that drafts may repeat
	lost    map[int]bool              // drafts that may repeat a message which cannot be read
}

// roomRow is a room as it will be when the batch is stored.
type roomRow struct {
	slug                       string
	id, lastSeq, lastAt, filed int64
	talked                     int64 // as stored
	from                       int   // place of the first draft that finds the room
	fresh                      []int // new messages, by their places in the batch
	known                      *knownRoom
}

// Append implements chat.Store.
//
// Several servers may append at once. What a transaction locks, it locks in one
// order, so that none waits in a circle: rooms that exist, by their names; rooms
// it makes, by their names; authors it stores, by their numbers. The lock of a
// room is held to the commit, so its numbers and nonces are nobody else's.
func (s *Store) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	if len(batch) == 0 {
		return nil, s.tryToWrite(ctx)
	}
	var a *appending
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		known := w.known
		if a != nil && a.w == w { // it was undone and is done again
			known = a.known
			a.forget()
		}
		w.known = nil // until the commit
		a = &appending{w: w, batch: batch, results: make([]chat.Appended, len(batch)), known: known, log: s.log}
		return a.run(ctx)
	}, func() {
		s.writer.known = a.known
		s.noteMark(a.results)
	})
	if err != nil {
		return nil, fmt.Errorf("appending %d messages: %w", len(batch), err)
	}
	return a.results, nil
}

// tryToWrite is a transaction that needs all that a batch needs: a database that
// can be locked and written, and room on its disk.
func (s *Store) tryToWrite(ctx context.Context) error {
	err := s.write(ctx, func(ctx context.Context, w *writer) error {
		return w.exec(ctx, `UPDATE settings SET value = value WHERE key = 'epoch'`)
	})
	if err != nil {
		return fmt.Errorf("trying to write: %w", err)
	}
	return nil
}

// forget is for what was not stored after all: the rest of what is known is as
// true as before.
func (a *appending) forget() {
	for _, r := range a.rooms {
		if r.known != nil {
			a.known.rooms.bytes += r.known.grown()
		}
	}
	for i := range a.batch {
		a.known.rooms.forget(a.batch[i].Room)
		a.known.names.forget(a.batch[i].Author.ID)
	}
}

func (a *appending) run(ctx context.Context) error {
	if a.known == nil {
		a.known = newKnown()
	}
	for _, step := range []struct {
		doing string
		do    func(context.Context) error
	}{
		{"reading rooms and authors", a.load},
		{"making rooms", a.makeRooms},
		{"storing authors", a.saveAuthors},
		{"looking nonces up", a.meet},
		{"numbering messages", a.number},
		{"storing messages", a.store},
		{"filing nonces", a.file},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.doing, err)
		}
	}
	return nil
}

// load reads the rooms of the batch that exist, and locks them, and the names of
// its authors who are stored.
func (a *appending) load(ctx context.Context) error {
	bySlug, slugs := a.findRooms()
	ids := a.findAuthors()
	if len(slugs)+len(ids) == 0 {
		return nil
	}
	d := a.w.dialect
	query := `WITH r AS (SELECT slug, id, last_seq, last_at, filed FROM rooms WHERE slug ` + d.among + d.lockRooms + `)
		SELECT 'room', slug, id, last_seq, last_at, filed FROM r
		UNION ALL SELECT 'author', name, id, 0, 0, 0 FROM users WHERE id ` + strings.Replace(d.among, "$1", "$2", 1)
	return a.w.query(ctx, query, func(rows *sql.Rows) error {
		var kind, name string
		var id, lastSeq, lastAt, filed int64
		if err := rows.Scan(&kind, &name, &id, &lastSeq, &lastAt, &filed); err != nil {
			return err
		}
		if kind == "author" {
			a.names[chat.UserID(id)] = name
			return nil
		}
		r := bySlug[name]
		r.id, r.lastSeq, r.lastAt, r.filed, r.talked, r.from = id, lastSeq, lastAt, filed, talkedAt(lastAt), 0
		return nil
	}, d.names(slugs), d.ids(ids))
}

// findRooms notes which room each draft is for, and returns those to be read.
func (a *appending) findRooms() (bySlug map[string]*roomRow, slugs []string) {
	a.roomOf = make([]*roomRow, len(a.batch))
	bySlug = make(map[string]*roomRow)
	for i := range a.batch {
		d := &a.batch[i]
		r := bySlug[d.Room]
		if r == nil {
			r = &roomRow{slug: d.Room, from: len(a.batch)}
			bySlug[d.Room] = r
			a.rooms = append(a.rooms, r)
			if !a.recall(r) {
				slugs = append(slugs, r.slug)
			}
		}
		if d.Create {
			r.from = min(r.from, i)
		}
		a.roomOf[i] = r
	}
	slices.SortFunc(a.rooms, func(x, y *roomRow) int { return cmp.Compare(x.slug, y.slug) })
	return bySlug, slugs
}

// findAuthors notes the names that are known, and returns who is to be read.
func (a *appending) findAuthors() (ids []int64) {
	a.names = make(map[chat.UserID]string)
	asked := make(map[chat.UserID]bool)
	for i := range a.batch {
		id := a.batch[i].Author.ID
		if asked[id] {
			continue
		}
		asked[id] = true
		if name, known := a.recallName(id); known {
			a.names[id] = name
		} else {
			ids = append(ids, int64(id))
		}
	}
	return ids
}

// makeRooms stores the rooms that are missing and wanted. When another server
// has made one just now, its row is not locked: the batch starts again.
func (a *appending) makeRooms(ctx context.Context) error {
	const save = `INSERT INTO rooms (slug, last_seq, last_at) VALUES ($1, 0, 0) ON CONFLICT (slug) DO NOTHING RETURNING id`
	for _, r := range a.rooms {
		if r.id != 0 || r.from == len(a.batch) {
			continue
		}
		stmt, err := a.w.prepared(ctx, save, "", "", 0)
		if err != nil {
			return err
		}
		err = stmt.QueryRowContext(ctx, r.slug).Scan(&r.id)
		if errors.Is(err, sql.ErrNoRows) {
			return errAgain
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// roomless says that a draft's room is not there.
func (a *appending) roomless(i int) bool { return i < a.roomOf[i].from }

// saveAuthors stores the authors who are new, with their logins.
func (a *appending) saveAuthors(ctx context.Context) error {
	const save = `INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING RETURNING id`
	var fresh []*chat.Draft
	for i := range a.batch {
		d := &a.batch[i]
		if _, known := a.names[d.Author.ID]; !known && !a.roomless(i) {
			a.names[d.Author.ID] = d.Author.Name
			fresh = append(fresh, d)
		}
	}
	slices.SortFunc(fresh, func(x, y *chat.Draft) int { return cmp.Compare(x.Author.ID, y.Author.ID) })
	for _, d := range fresh {
		stmt, err := a.w.prepared(ctx, save, "", "", 0)
		if err != nil {
			return err
		}
		var id int64
		err = stmt.QueryRowContext(ctx, int64(d.Author.ID), d.Author.Name, d.At.UnixMilli()).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) { // another server stored them just now, perhaps by another name
			return errAgain
		}
		if err == nil {
			err = a.w.saveLogin(ctx, d.Author.ID, d.Login)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// query calls scan for the rows of a statement, which is prepared once.
func (w *writer) query(ctx context.Context, text string, scan func(*sql.Rows) error, args ...any) error {
	stmt, err := w.prepared(ctx, text, "", "", 0)
	if err != nil {
		return err
	}
	return scanAll(ctx, stmt, args, scan)
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

var _ chat.Store = (*Store)(nil)
