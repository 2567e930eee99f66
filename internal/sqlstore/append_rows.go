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

// rowSteps store each message as a row, with an index that makes nonces unique.
// An Append hopes that no nonce was stored before and inserts whole batches; when
// the hope fails, which the count of inserted rows tells, it starts again and
// looks the nonces up.
func (a *appending) rowSteps() []step {
	return []step{{"looking nonces up", a.loadNonces}, {"inserting messages", a.insert}}
}

// nonceKey is what a nonce is unique for.
type nonceKey struct {
	room   int64
	author chat.UserID
	nonce  string
}

// loadNonces looks for drafts that were stored before, when it has to be careful.
func (a *appending) loadNonces(ctx context.Context) error {
	if !a.careful {
		return nil
	}
	a.stored = make(map[nonceKey]chat.Message)
	var keys []any
	for i := range a.batch {
		if d := &a.batch[i]; !a.roomless(i) {
			keys = append(keys, a.roomOf[i].id, int64(d.Author.ID), d.Nonce)
		}
	}
	const head = `SELECT room_id, author_id, nonce, seq, body, created_at FROM messages
		WHERE (room_id, author_id, nonce) IN (VALUES `
	const group = `(CAST(? AS BIGINT),CAST(? AS BIGINT),CAST(? AS TEXT))`
	return a.w.selectIn(ctx, list{head, group, ")"}, keys, func(rows *sql.Rows) error {
		var k nonceKey
		var m chat.Message
		var millis int64
		if err := rows.Scan(&k.room, &k.author, &k.nonce, &m.Seq, &m.Text, &millis); err != nil {
			return err
		}
		m.At, m.Author.ID, m.Nonce = fromMillis(millis), k.author, k.nonce
		a.stored[k] = m
		return nil
	})
}

// number answers each draft: a new message gets its room's next number.
func (a *appending) number() {
	for i := range a.batch {
		d, room := &a.batch[i], a.roomOf[i]
		if a.roomless(i) {
			a.results[i].Err = chat.ErrNoRoom
			continue
		}
		author := chat.User{ID: d.Author.ID, Name: a.names[d.Author.ID]}
		key := nonceKey{room.id, d.Author.ID, d.Nonce}
		if m, repeated := a.stored[key]; repeated {
			m.Author = author
			if m.Text != d.Text {
				a.results[i].Err = chat.ErrNonceConflict
			} else {
				a.results[i] = chat.Appended{Message: m, Duplicate: true}
				if planted.RetryAnswersNewest {
					a.results[i].Message.Seq = room.lastSeq
				}
			}
			continue
		}
		room.lastSeq++
		room.lastAt = max(room.lastAt, d.At.UnixMilli())
		room.fresh = append(room.fresh, i)
		m := chat.Message{Seq: room.lastSeq, Author: author, Nonce: d.Nonce, Text: d.Text, At: fromMillis(room.lastAt)}
		a.results[i].Message = m
		if a.careful {
			a.stored[key] = m
		}
	}
}

// insert numbers and stores the new messages, in statements of maxRows, half as
// many, ..., 1 rows. They go room by room: rows that lie together in the database
// then share its pages while these are at hand, which a large batch of many
// rooms gains much from.
func (a *appending) insert(ctx context.Context) error {
	a.number()
	slices.SortFunc(a.rooms, func(x, y *roomRow) int { return cmp.Compare(x.id, y.id) })
	fresh := make([]int, 0, len(a.batch))
	for _, r := range a.rooms {
		fresh = append(fresh, r.fresh...)
	}
	const head = `INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at) VALUES `
	tail := ` ON CONFLICT (room_id, author_id, nonce) DO NOTHING`
	if planted.NonceNotUnique {
		tail = ""
	}
	for size := a.w.dialect.maxRows; len(fresh) > 0; {
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
		stmt, err := a.w.prepared(ctx, head, "(?,?,?,?,?,?)", tail, size)
		if err != nil {
			return err
		}
		result, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil {
			return fmt.Errorf("counting rows: %w", err)
		} else if n != int64(size) {
			return errAgain
		}
	}
	return nil
}
