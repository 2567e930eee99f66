package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

// Bounds of what is stored in one transaction, and so of what an interruption
// makes do again.
const (
	copyRows  = 4096
	copyBytes = 4 << 20 // of texts
	copyRooms = 512     // read at a time
)

const (
	allUsers  = `SELECT id, name, guest, created_at FROM users ORDER BY id`
	allLogins = `SELECT hash, user_id, created_at, seen_at FROM logins ORDER BY hash`

	roomsAfter = `SELECT id, slug, last_seq, last_at FROM rooms WHERE id > $1 ORDER BY id LIMIT $2`
)

// What a repeated run stores again is what the source has now.
var (
	saveUsers = list{`INSERT INTO users (id, name, guest, created_at) `, 4,
		` ON CONFLICT (id) DO UPDATE SET name = excluded.name, guest = excluded.guest, created_at = excluded.created_at`}
	saveLogins = list{`INSERT INTO logins (hash, user_id, created_at, seen_at) `, 4,
		` ON CONFLICT (hash) DO UPDATE SET seen_at = excluded.seen_at`}
	saveRooms = list{`INSERT INTO rooms (id, slug, last_seq, last_at, talked) `, 5,
		` ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, last_seq = excluded.last_seq, last_at = excluded.last_at,
			talked = excluded.talked`}
)

// person and login are rows of the tables of people.
type person struct {
	id, guest, created int64
	name               string
}

type login struct {
	hash                []byte
	user, created, seen int64
}

func (p *person) scan(rows *sql.Rows) error { return rows.Scan(&p.id, &p.name, &p.guest, &p.created) }
func (l *login) scan(rows *sql.Rows) error  { return rows.Scan(&l.hash, &l.user, &l.created, &l.seen) }

// copyPeople copies all people and then their logins. They are stored anew in
// each run, for their names may have changed since an earlier one.
func (c *copier) copyPeople(ctx context.Context) error {
	c.done.Stage = CopyingPeople
	c.progress(c.done)
	err := c.copyTable(ctx, allUsers, saveUsers, func(rows *sql.Rows) ([]any, error) {
		var p person
		if err := p.scan(rows); err != nil {
			return nil, err
		}
		c.done.People++
		return []any{p.id, p.name, p.guest, p.created}, storable("the name of a person", p.name)
	})
	if err != nil {
		return err
	}
	return c.copyTable(ctx, allLogins, saveLogins, func(rows *sql.Rows) ([]any, error) {
		var l login
		err := l.scan(rows)
		return []any{l.hash, l.user, l.created, l.seen}, err
	})
}

// copyTable copies the rows of a query, each made into values by scan.
func (c *copier) copyTable(ctx context.Context, query string, save list, scan func(*sql.Rows) ([]any, error)) error {
	rows, err := c.from.writer.conn.QueryContext(ctx, query)
	if err != nil {
		return atSource(err)
	}
	defer rows.Close()
	var values []any
	flush := func() error {
		err := inTransaction(ctx, c.to.dialect, c.to.writer.conn, func() error { return c.to.writer.runAll(ctx, rowsOf{save, values}) })
		values = values[:0]
		c.progress(c.done)
		return atTarget(err)
	}
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return atSource(err)
		}
		if values = append(values, row...); len(values) == copyRows*save.columns {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return atSource(err)
	}
	return flush()
}

// storable refuses text that no Teahouse ever stored, and PostgreSQL cannot.
func storable(what, text string) error {
	if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
		return fmt.Errorf("%w: %s is not text", ErrDamaged, what)
	}
	return nil
}

// copyRoom is a row of rooms.
type copyRoom struct {
	id, lastSeq, lastAt int64
	slug                string
}

// copyBatch is what one transaction of the target stores: rooms, each up to the
// last of its messages that are stored, and those messages.
type copyBatch struct {
	rooms        []any
	log          logOf
	ended        int64 // rooms that are complete with it
	count, bytes int
}

func (b *copyBatch) room(r copyRoom, upTo int64) {
	b.rooms = append(b.rooms, r.id, r.slug, upTo, r.lastAt, talkedAt(r.lastAt))
	if upTo == r.lastSeq {
		b.ended++
	}
}

// copyMessages copies rooms with their messages: one goroutine reads the next
// batch while this one stores the last.
func (c *copier) copyMessages(ctx context.Context) error {
	c.done.Stage, c.done.Messages = CopyingMessages, c.done.Before
	c.progress(c.done)
	reading, cancel := context.WithCancel(ctx)
	batches := make(chan *copyBatch, 1)
	var read error
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(batches)
		read = c.readRooms(reading, batches)
	})
	defer reader.Wait()
	defer cancel()
	for b := range batches {
		err := inTransaction(ctx, c.to.dialect, c.to.writer.conn, func() error {
			return c.to.writer.runAll(ctx, rowsOf{saveRooms, b.rooms}, rowsOf{saveChunks, b.log.rows})
		})
		if err != nil {
			return atTarget(err)
		}
		c.done.Rooms += b.ended
		c.done.Messages += int64(b.count)
		c.progress(c.done)
	}
	return atSource(read)
}

// readRooms reads what the target does not have yet, room by room.
func (c *copier) readRooms(ctx context.Context, batches chan<- *copyBatch) error {
	r := &roomReader{c: c, batches: batches}
	r.begin()
	for after := int64(-1 << 63); ; {
		rooms, err := c.from.roomsAfter(ctx, after)
		if err != nil {
			return err
		}
		if len(rooms) == 0 {
			return r.send(ctx)
		}
		after = rooms[len(rooms)-1].id
		if err := r.read(ctx, rooms); err != nil {
			return err
		}
	}
}

// roomsAfter reads the next rooms by their ids.
func (s *Store) roomsAfter(ctx context.Context, after int64) ([]copyRoom, error) {
	rows, err := s.writer.conn.QueryContext(ctx, roomsAfter, after, copyRooms)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var rooms []copyRoom
	for rows.Next() {
		var r copyRoom
		if err := rows.Scan(&r.id, &r.slug, &r.lastSeq, &r.lastAt); err != nil {
			return nil, err
		}
		rooms = append(rooms, r)
	}
	return rooms, rows.Err()
}

// roomReader makes batches of what it reads.
type roomReader struct {
	c       *copier
	batches chan<- *copyBatch
	batch   *copyBatch
}

// begin begins a batch.
func (r *roomReader) begin() {
	r.batch = &copyBatch{}
}

// send gives the batch away.
func (r *roomReader) send(ctx context.Context) error {
	r.batch.log.end()
	select {
	case r.batches <- r.batch:
		r.begin()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read reads rooms that follow one another. Their messages come in one answer,
// which is read as it arrives.
func (r *roomReader) read(ctx context.Context, rooms []copyRoom) error {
	for len(rooms) > 0 && r.c.at[rooms[0].id] == rooms[0].lastSeq && r.c.has(rooms[0].id) {
		r.batch.room(rooms[0], rooms[0].lastSeq) // the name and the time may be new
		rooms = rooms[1:]
	}
	if len(rooms) == 0 {
		return nil
	}
	first, last := rooms[0], rooms[len(rooms)-1]
	log, err := r.c.from.entriesFrom(ctx, first.id, r.c.at[first.id], last.id)
	if err != nil {
		return err
	}
	defer log.close()
	m, err := log.next()
	if err != nil {
		return err
	}
	for i, room := range rooms {
		stored, seq := r.c.at[room.id], int64(0)
		if stored > room.lastSeq {
			return fmt.Errorf("%w: it has more of the room %q than the source", ErrOtherCopy, room.slug)
		}
		if i == 0 {
			seq = stored // read from there
		}
		for ; m != nil && m.room == room.id; seq++ {
			if err := m.follows(room, seq); err != nil {
				return err
			}
			if m.Seq > stored {
				if err := r.take(ctx, room, m); err != nil {
					return err
				}
			}
			if m, err = log.next(); err != nil {
				return err
			}
		}
		if seq != room.lastSeq {
			return fmt.Errorf("%w: the messages after number %d of the room %q are missing", ErrDamaged, seq, room.slug)
		}
		if err := r.end(ctx, room); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) has(room int64) bool { _, stored := c.at[room]; return stored }

// take adds a message to the batch, and gives it away when it is full.
func (r *roomReader) take(ctx context.Context, room copyRoom, m *entry) error {
	b := r.batch
	b.log.add(m)
	b.count++
	b.bytes += len(m.Text)
	if m.Seq == room.lastSeq || b.count < copyRows && b.bytes < copyBytes {
		return nil
	}
	b.room(room, m.Seq)
	return r.send(ctx)
}

// end adds a room that is complete to the batch.
func (r *roomReader) end(ctx context.Context, room copyRoom) error {
	b := r.batch
	if b.room(room, room.lastSeq); b.count < copyRows && b.bytes < copyBytes && len(b.rooms) < 4*copyRows {
		return nil
	}
	return r.send(ctx)
}
