package sqlstore

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// A chunk is a row of the log: messages of one room that follow one another. Its id
// is the room's id and the seq of its first message; what is in it is JSON, which
// the database itself can read, so that the view "messages" shows each as a row.
const (
	seqBits = 36
	maxSeq  = 1<<seqBits - 1
	maxRoom = 1<<(63-seqBits) - 1

	chunkMessages = 64      // at most in a chunk
	chunkBytes    = 7 << 10 // of JSON, after which another begins; PostgreSQL keeps 8 KB in the row
)

// chunkID is the id of the chunk of a room that begins with seq.
func chunkID(room, seq int64) int64 { return room<<seqBits | seq }

// appendMessage adds a message to the JSON of a chunk, without its closing bracket.
func appendMessage(b []byte, m *chat.Message) []byte {
	if len(b) == 0 {
		b = append(b, '[')
	} else {
		b = append(b, ',')
	}
	b = append(b, '[')
	b = strconv.AppendInt(b, int64(m.Author.ID), 10)
	b = append(b, ',')
	b = strconv.AppendInt(b, m.At.UnixMilli(), 10)
	b = append(b, ',')
	b = appendText(b, m.Nonce)
	b = append(b, ',')
	b = appendText(b, m.Text)
	return append(b, ']')
}

// appendText adds a string of JSON.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			b = append(b, s[from:i]...)
			b = append(b, `\u00`...)
			b = append(b, hexDigits[c>>4], hexDigits[c&15])
			from = i + 1
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

const hexDigits = "0123456789abcdef"

// chunker makes chunks of messages of one room that follow one another.
type chunker struct {
	room, first int64
	count       int
	buf         []byte
}

// add adds a message, and to rows what is full with it: ids and chunks in turn.
func (c *chunker) add(rows []any, m *chat.Message) []any {
	if c.count == 0 {
		c.first, c.buf = m.Seq, c.buf[:0]
	}
	c.buf = appendMessage(c.buf, m)
	if c.count++; c.count == chunkMessages || len(c.buf) >= chunkBytes {
		return c.end(rows)
	}
	return rows
}

// end adds to rows what is left.
func (c *chunker) end(rows []any) []any {
	if c.count == 0 {
		return rows
	}
	c.buf, c.count = append(c.buf, ']'), 0
	return append(rows, chunkID(c.room, c.first), string(c.buf))
}

// saveChunks stores the rows of a chunker.
var saveChunks = list{`INSERT INTO chunks (id, messages) `, 2, ""}

// chunksBetween are those of a room that begins with one id, from the one that
// holds what another id is of to a third.
const chunksBetween = `SELECT id, messages FROM chunks WHERE id BETWEEN
	coalesce((SELECT max(id) FROM chunks WHERE id BETWEEN $1 AND $2), $2) AND $3 ORDER BY id`

// eachMessage calls f for the messages of a room after one seq up to another.
func (w *writer) eachMessage(ctx context.Context, room, after, upTo int64, f func(chat.Message)) error {
	return w.query(ctx, chunksBetween, func(rows *sql.Rows) error {
		var id int64
		var chunk string
		if err := rows.Scan(&id, &chunk); err != nil {
			return err
		}
		seq := id & maxSeq
		return readChunk(chunk, func(m chat.Message) {
			if m.Seq = seq; m.Seq > after && m.Seq <= upTo {
				f(m)
			}
			seq++
		})
	}, chunkID(room, 0), chunkID(room, after+1), chunkID(room, upTo))
}

// readChunk calls f for each message of a chunk, in order; the messages have no
// seq, and their authors no name. It knows what appendMessage writes, and what
// SQLite makes of the same, which has no spaces either.
func readChunk(chunk string, f func(chat.Message)) error {
	r := chunkReader{rest: chunk}
	for next := byte('['); ; next = ',' {
		var m chat.Message
		r.take(next)
		r.take('[')
		m.Author.ID = chat.UserID(r.number())
		r.take(',')
		m.At = fromMillis(r.number())
		r.take(',')
		m.Nonce = r.text()
		r.take(',')
		m.Text = r.text()
		r.take(']')
		if r.bad {
			return fmt.Errorf("%w: a chunk of messages is not a list of them at byte %d", ErrDamaged, len(chunk)-len(r.rest))
		}
		f(m)
		if r.rest == "]" {
			return nil
		}
	}
}

// chunkReader takes a chunk apart. Once bad, it takes nothing more.
type chunkReader struct {
	rest string
	bad  bool
}

func (r *chunkReader) take(c byte) {
	if r.bad = r.bad || r.rest == "" || r.rest[0] != c; !r.bad {
		r.rest = r.rest[1:]
	}
}

func (r *chunkReader) number() int64 {
	end := 0
	for end < len(r.rest) && (r.rest[end] == '-' || r.rest[end] >= '0' && r.rest[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(r.rest[:end], 10, 64)
	if r.bad = r.bad || err != nil; !r.bad {
		r.rest = r.rest[end:]
	}
	return n
}

// text takes a string. It is a copy, so that a message kept keeps no chunk.
func (r *chunkReader) text() (s string) {
	if r.bad = r.bad || r.rest == "" || r.rest[0] != '"'; r.bad {
		return ""
	}
	end, escaped := 1, false
	for end < len(r.rest) && r.rest[end] != '"' {
		if r.rest[end] == '\\' {
			escaped = true
			end++
		}
		end++
	}
	if r.bad = end >= len(r.rest); r.bad {
		return ""
	}
	if escaped {
		r.bad = json.Unmarshal([]byte(r.rest[:end+1]), &s) != nil
	} else {
		s = strings.Clone(r.rest[1:end])
	}
	if !r.bad {
		r.rest = r.rest[end+1:]
	}
	return s
}
