package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/planted"
)

// number answers each draft: a new message gets its room's next number.
func (a *appending) number(context.Context) error {
	for i := range a.batch {
		d, room := &a.batch[i], a.roomOf[i]
		if a.roomless(i) {
			a.results[i].Err = chat.ErrNoRoom
			continue
		}
		if room.known.broken != nil {
			a.results[i].Err = fmt.Errorf("%w: %w", chat.ErrUnavailable, room.known.broken)
			continue
		}
		if a.lost[i] {
			a.results[i].Err = fmt.Errorf("%w: %w: the message that may have this nonce cannot be read", chat.ErrUnavailable, ErrDamaged)
			continue
		}
		author := chat.User{ID: d.Author.ID, Name: a.names[d.Author.ID]}
		if m, repeated := a.repeats(i); repeated {
			m.Author = author
			a.results[i] = answerRepeated(m, d, room.known.lastSeq)
			continue
		}
		room.known.add(d.Author.ID, a.keys[i])
		room.known.lastAt = max(room.known.lastAt, d.At.UnixMilli())
		room.lastSeq, room.lastAt = room.known.lastSeq, room.known.lastAt
		room.fresh = append(room.fresh, i)
		a.results[i].Message = chat.Message{Seq: room.lastSeq, Author: author, Nonce: d.Nonce, Text: d.Text, At: fromMillis(room.lastAt)}
	}
	return nil
}

// repeats finds the message whose nonce a draft has again: one that was stored, or
// one of this batch.
func (a *appending) repeats(i int) (m chat.Message, repeated bool) {
	room, key := a.roomOf[i], a.key(i)
	used, _ := room.known.authors.get(key.author)
	if !used.has(a.keys[i]) || planted.NonceNotUnique {
		return m, false
	}
	if m, repeated = a.stored[key]; repeated {
		return m, true
	}
	for _, k := range room.fresh {
		if a.keys[k] == a.keys[i] && a.key(k) == key {
			return a.results[k].Message, true
		}
	}
	return m, false
}

// answerRepeated answers a draft whose nonce message m has.
func answerRepeated(m chat.Message, d *chat.Draft, last int64) chat.Appended {
	if m.Text != d.Text {
		return chat.Appended{Err: chat.ErrNonceConflict}
	}
	if planted.RetryAnswersNewest {
		m.Seq = last
	}
	return chat.Appended{Message: m, Duplicate: true}
}

// Where the logs of rooms end changes with each commit, and the index of rooms by
// talk with every 16 s of talk: PostgreSQL writes a row whose indexed columns are
// the same in its place, and no index.
var (
	moveRooms = list{`UPDATE rooms SET last_seq = v.column2, last_at = v.column3 FROM (`, 3, `) AS v WHERE rooms.id = v.column1`}
	talkRooms = list{`UPDATE rooms SET talked = v.column2 FROM (`, 2, `) AS v WHERE rooms.id = v.column1`}
)

// talkedAt is rooms.talked of rooms.last_at.
func talkedAt(lastAt int64) int64 { return lastAt >> 14 }

// store stores the new messages, and where the logs of their rooms end now.
func (a *appending) store(ctx context.Context) error {
	slices.SortFunc(a.rooms, func(x, y *roomRow) int { return cmp.Compare(x.id, y.id) })
	var chunks, ends, talked []any
	var buf []byte
	for _, r := range a.rooms {
		if len(r.fresh) == 0 {
			continue
		}
		before := len(chunks)
		c := chunker{room: r.id, buf: buf}
		for _, i := range r.fresh {
			chunks = c.add(chunks, &a.results[i].Message)
		}
		chunks, buf = c.end(chunks), c.buf
		r.known.chunks += (len(chunks) - before) / saveChunks.columns
		ends = append(ends, r.id, r.lastSeq, r.lastAt)
		if now := talkedAt(r.lastAt); now != r.talked {
			talked = append(talked, r.id, now)
		}
	}
	if err := a.w.runAll(ctx, rowsOf{saveChunks, chunks}, rowsOf{moveRooms, ends}); err != nil {
		return err
	}
	return a.w.runAll(ctx, rowsOf{talkRooms, talked})
}

// file files the nonces of rooms that have enough of them.
func (a *appending) file(ctx context.Context) error {
	var rows, ends []any
	for _, r := range a.rooms {
		if r.known == nil {
			continue
		}
		if r.known.broken == nil && (len(r.known.newest) >= a.known.fileAt || r.known.chunks > a.known.fileAt/perChunk) {
			rows, ends = rowsToFile(rows, ends, r.id, r.known.filed, r.known.newest)
			r.known.filed, r.known.newest, r.known.chunks = r.known.lastSeq, r.known.newest[:0], 0
		}
		r.known.authors.age(a.known.bound / 2)
		a.known.rooms.bytes += r.known.grown()
	}
	a.known.age()
	return a.w.runAll(ctx, rowsOf{saveNonces, rows}, rowsOf{fileRooms, ends})
}
