package sqlstore

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

const (
	// messagesFrom walks the key of messages from an entry of a room to another room.
	messagesFrom = `SELECT room_id, seq, author_id, nonce, body, created_at FROM messages
		WHERE room_id >= $1 AND (room_id, seq) > ($1, $2) AND room_id <= $3 ORDER BY room_id, seq`

	// chunksFrom walks the key of chunks, from the one that holds what comes after
	// an entry of a room.
	chunksFrom = `SELECT id, messages FROM chunks WHERE id <= ($3 << 36 | 0xFFFFFFFFF) AND id >= coalesce(
		(SELECT id FROM chunks WHERE id BETWEEN $1 << 36 AND ($1 << 36) + $2 + 1 ORDER BY id DESC LIMIT 1), $1 << 36)
		ORDER BY id`
)

var saveMessages = list{`INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at) VALUES `, "(?,?,?,?,?,?)", ""}

// entry is a message of a room, whichever way its log is kept. Its author has no
// name.
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
	rows    *sql.Rows
	chunked bool
	first   int64 // the room they begin with
	after   int64 // seq of it after which they begin

	row  entry   // the newest
	held []entry // of the newest chunk
	left []entry // of these, what is to come
}

// entriesFrom reads what comes after a seq of a room, up to the end of another.
// Of the rooms between them it reads all.
func (s *Store) entriesFrom(ctx context.Context, first, after, last int64) (*entries, error) {
	query := messagesFrom
	if s.dialect.chunks {
		query = chunksFrom
	}
	rows, err := s.writer.conn.QueryContext(ctx, query, first, after, last)
	return &entries{rows: rows, chunked: s.dialect.chunks, first: first, after: after}, err
}

func (e *entries) close() error { return e.rows.Close() }

// next is the next entry, to be read before the one after it; nil is the end.
func (e *entries) next() (*entry, error) {
	if e.chunked {
		return e.nextOfChunk()
	}
	if !e.rows.Next() {
		return nil, e.rows.Err()
	}
	m := &e.row
	var author, at int64
	err := e.rows.Scan(&m.room, &m.Seq, &author, &m.Nonce, &m.Text, &at)
	m.Author.ID, m.At = chat.UserID(author), fromMillis(at)
	return m, err
}

func (e *entries) nextOfChunk() (*entry, error) {
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

// logOf is what the rows are that hold a log of either kind, as a transaction
// of the target stores them.
type logOf struct {
	chunked bool
	chunker chunker
	rows    []any
}

// add adds a message, after the one before it in its room.
func (l *logOf) add(m *entry) {
	if !l.chunked {
		l.rows = append(l.rows, m.room, m.Seq, int64(m.Author.ID), m.Nonce, m.Text, m.At.UnixMilli())
		return
	}
	if l.chunker.room != m.room {
		l.end()
		l.chunker.room = m.room
	}
	l.rows = l.chunker.add(l.rows, &m.Message)
}

// end makes rows of all that was added.
func (l *logOf) end() {
	if l.chunked {
		l.rows = l.chunker.end(l.rows)
	}
}

// save stores what was added.
func (l *logOf) save(ctx context.Context, w *writer) error {
	if l.chunked {
		return w.insertAll(ctx, saveChunks, l.rows)
	}
	return w.insertAll(ctx, saveMessages, l.rows)
}
