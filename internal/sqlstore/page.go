package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/planted"
)

const (
	// chunksOfPage finds a room and the chunks that hold a window of it. It is one
	// statement, so that the room's newest seq and the messages are of one moment.
	// The first chunk is the last one that begins at the window's low end or before
	// it; the chunks of other rooms are out of reach.
	chunksOfPage = `SELECT w.last_seq, w.low, w.high, c.id, c.messages FROM
		(SELECT base, last_seq, CASE WHEN high - $4 + 1 > $2 THEN high - $4 + 1 ELSE $2 END AS low, high FROM
			(SELECT id << 36 AS base, last_seq, CASE WHEN last_seq < $3 THEN last_seq ELSE $3 END AS high
				FROM rooms WHERE slug = $1) AS r) AS w
		LEFT JOIN chunks c ON w.low <= w.high AND c.id <= w.base + w.high AND c.id >= coalesce(
			(SELECT d.id FROM chunks d WHERE d.id BETWEEN w.base AND w.base + w.low ORDER BY d.id DESC LIMIT 1), w.base)
		ORDER BY c.id`

	// namesOf is of people who are never deleted, so it need not be of that moment.
	namesOf = `SELECT id, name FROM users WHERE id `
)

// window is what a range is in numbers: at most limit messages, the newest of
// those from one seq to another, as far as the room has them. Seqs have no holes,
// so what is around one follows from how many there are.
func window(r chat.Range) (from, to, limit int64) {
	from, to, limit = 1, maxSeq, min(int64(r.Limit), maxSeq)
	switch {
	case r.Before >= 0:
		to = r.Before - 1
	case r.After >= 0:
		from = min(r.After, maxSeq) + 1
		to = from - 1 + limit
	case r.Around >= 0:
		to = max(min(r.Around, maxSeq)+limit-limit/2-1, limit)
	}
	return from, to, limit
}

// page reads a page; there is none of a room that is not there.
func (q *queries) page(ctx context.Context, room string, r chat.Range) (*chat.Page, error) {
	from, to, limit := window(r)
	p := new(chat.Page)
	known := false
	err := scanAll(ctx, q.chunks, []any{room, from, to, limit}, func(rows *sql.Rows) error {
		var low, high int64
		var id sql.NullInt64
		var chunk sql.NullString
		if err := rows.Scan(&p.LastSeq, &low, &high, &id, &chunk); err != nil {
			return err
		}
		if known = true; !id.Valid { // nothing is there
			return nil
		}
		if p.Messages == nil {
			p.Messages = make([]chat.Message, 0, min(high-low+1, 1<<10))
		}
		seq := id.Int64 & maxSeq
		err := readChunk(chunk.String, func(m chat.Message) {
			if m.Seq = seq; low <= seq && seq <= high {
				p.Messages = append(p.Messages, m)
			}
			seq++
		})
		if err != nil {
			return fmt.Errorf("the chunk %d: %w", id.Int64, err)
		}
		return nil
	})
	if err != nil || !known {
		return nil, err
	}
	if planted.OrderByTimestamp {
		slices.SortFunc(p.Messages, func(a, b chat.Message) int {
			return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Nonce, b.Nonce))
		})
	}
	return p, q.sign(ctx, p.Messages)
}

// sign gives the authors of messages their names.
func (q *queries) sign(ctx context.Context, messages []chat.Message) error {
	if len(messages) == 0 {
		return nil
	}
	names := make(map[chat.UserID]string)
	var ids []int64
	for i := range messages {
		id := messages[i].Author.ID
		if _, asked := names[id]; !asked {
			names[id] = ""
			ids = append(ids, int64(id))
		}
	}
	err := scanAll(ctx, q.names, []any{q.dialect.ids(ids)}, func(rows *sql.Rows) error {
		var id int64
		var name string
		err := rows.Scan(&id, &name)
		names[chat.UserID(id)] = name
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the names of authors: %w", err)
	}
	for i := range messages {
		messages[i].Author.Name = names[messages[i].Author.ID]
	}
	return nil
}
