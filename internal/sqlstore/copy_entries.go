package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// chunksFrom walks the key of chunks, from the one that holds what comes after
// an entry of a room.
const chunksFrom = `SELECT id, messages FROM chunks WHERE id <= (CAST($3 AS BIGINT) << 36 | 68719476735) AND id >= coalesce(
	(SELECT id FROM chunks WHERE id BETWEEN CAST($1 AS BIGINT) << 36 AND (CAST($1 AS BIGINT) << 36) + CAST($2 AS BIGINT) + 1 ORDER BY id DESC LIMIT 1), CAST($1 AS BIGINT) << 36)
	ORDER BY id`

// entry is a message of a room. Its author has no name.
type entry struct {
	room int64
	chat.Message
}

// follows looks whether a message is the one after seq, and can be stored.
func (m *entry) follows(room copyRoom, seq int64) error {
	if m.Seq != seq+1 || m.Seq > room.lastSeq {
		return fmt.Errorf("%w: number %d of the room %q follows number %d, and the last is %d", ErrDamaged, m.Seq, room.slug, seq, room.lastSeq)
	}
	if err := storable(fmt.Sprintf("number %d of the room %q", m.Seq, room.slug), m.Text); err != nil {
		return err
	}
	return storable("a nonce", m.Nonce)
}

// entries are those of rooms that follow one another, as they arrive.
type entries struct {
	// fixed
	rows  *sql.Rows
	first int64 // the room they begin with
	after int64 // seq of it after which they begin

	held []entry // of the newest chunk
	left []entry // of these, what is to come
}

// entriesFrom reads what comes after a seq of a room, up to the end of another.
// Of the rooms between them it reads all.
func (s *Store) entriesFrom(ctx context.Context, first, after, last int64) (*entries, error) {
	rows, err := s.writer.conn.QueryContext(ctx, chunksFrom, first, after, last)
	return &entries{rows: rows, first: first, after: after}, err
}

func (e *entries) close() error { return e.rows.Close() }

// next is the next entry, to be read before the one after it; nil is the end.
func (e *entries) next() (*entry, error) {
	for len(e.left) == 0 {
		if !e.rows.Next() {
			return nil, e.rows.Err()
		}
		var id int64
		var chunk string
		if err := e.rows.Scan(&id, &chunk); err != nil {
			return nil, err
		}
		room, seq := id>>seqBits, id&maxSeq
		e.held = e.held[:0]
		err := readChunk(chunk, func(m chat.Message) {
			if m.Seq = seq; room != e.first || seq > e.after {
				e.held = append(e.held, entry{room, m})
			}
			seq++
		})
		if err != nil {
			return nil, fmt.Errorf("number %d of room number %d: %w", id&maxSeq, room, err)
		}
		e.left = e.held
	}
	m := &e.left[0]
	e.left = e.left[1:]
	return m, nil
}

// logOf is what the rows are that hold a log, as a transaction of the target
// stores them.
type logOf struct {
	chunker chunker
	rows    []any
}

// add adds a message, after the one before it in its room.
func (l *logOf) add(m *entry) {
	if l.chunker.room != m.room {
		l.end()
		l.chunker.room = m.room
	}
	l.rows = l.chunker.add(l.rows, &m.Message)
}

// end makes rows of all that was added.
func (l *logOf) end() { l.rows = l.chunker.end(l.rows) }
