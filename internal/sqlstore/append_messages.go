package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/planted"
)

// recall fills a room's row with what is known of it, where nobody else writes.
func (a *appending) recall(r *roomRow) bool {
	if !a.w.dialect.alone {
		return false
	}
	known, ok := a.known.rooms.get(r.slug)
	if !ok {
		return false
	}
	r.known = known
	r.id, r.lastSeq, r.lastAt, r.filed, r.from = r.known.id, r.known.lastSeq, r.known.lastAt, r.known.filed, 0
	r.talked = talkedAt(r.lastAt)
	return true
}

// recallName is the name of a person whom nobody else renames.
func (a *appending) recallName(id chat.UserID) (name string, known bool) {
	if !a.w.dialect.alone {
		return "", false
	}
	return a.known.names.get(id)
}

// meetRooms learns what is not known of rooms and people.
func (a *appending) meetRooms(ctx context.Context) error {
	if a.w.dialect.alone {
		for id, name := range a.names {
			if _, known := a.known.names.get(id); !known {
				a.known.names.put(id, name)
			}
		}
	}
	for _, r := range a.rooms {
		if r.id == 0 || r.known != nil {
			continue
		}
		known, ok := a.known.rooms.get(r.slug)
		if !ok || !known.leadsTo(r) {
			known = newKnownRoom(r.id, r.filed)
			a.known.rooms.put(r.slug, known)
		}
		r.known = known
		if err := a.w.catchUp(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// leadsTo tells whether a room can have become what is stored, and without more
// than is read for a room that is not known.
func (r *knownRoom) leadsTo(now *roomRow) bool {
	return r.id == now.id && r.lastSeq <= now.lastSeq && now.lastSeq-r.lastSeq <= fileAt && r.filed <= now.filed
}

// catchUp reads the nonces of a room's messages after those that are known: other
// servers may have stored them.
func (w *writer) catchUp(ctx context.Context, r *roomRow) error {
	k := r.known
	if k.lastSeq < r.lastSeq {
		err := w.eachMessage(ctx, r.id, k.lastSeq, r.lastSeq, func(m chat.Message) { k.add(m.Author.ID, keyOf(m.Nonce)) })
		if err != nil {
			return err
		}
	}
	if k.lastSeq != r.lastSeq {
		return fmt.Errorf("%w: of the room %q messages before number %d are missing", ErrDamaged, r.slug, r.lastSeq)
	}
	k.newest = slices.Delete(k.newest, 0, int(r.filed-k.filed))
	k.filed, k.lastAt = r.filed, r.lastAt
	return nil
}

// number answers each draft: a new message gets its room's next number.
func (a *appending) number(ctx context.Context) error {
	for i := range a.batch {
		d, room := &a.batch[i], a.roomOf[i]
		if a.roomless(i) {
			a.results[i].Err = chat.ErrNoRoom
			continue
		}
		key := keyOf(d.Nonce)
		repeated, m, err := a.repeats(ctx, i, key)
		if err != nil {
			return err
		}
		author := chat.User{ID: d.Author.ID, Name: a.names[d.Author.ID]}
		if repeated {
			m.Author = author
			a.results[i] = answerRepeated(m, d, room.known.lastSeq)
			continue
		}
		room.known.add(d.Author.ID, key)
		room.known.lastAt = max(room.known.lastAt, d.At.UnixMilli())
		room.lastSeq, room.lastAt = room.known.lastSeq, room.known.lastAt
		room.fresh = append(room.fresh, i)
		a.results[i].Message = chat.Message{Seq: room.lastSeq, Author: author, Nonce: d.Nonce, Text: d.Text, At: fromMillis(room.lastAt)}
	}
	return nil
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

// repeats finds the message that has a draft's nonce, if there is one.
func (a *appending) repeats(ctx context.Context, i int, key uint64) (found bool, m chat.Message, err error) {
	d, room := &a.batch[i], a.roomOf[i]
	used, ok := room.known.authors.get(d.Author.ID)
	if !ok {
		if used, err = a.meetAuthor(ctx, room.known, d.Author.ID); err != nil {
			return false, m, err
		}
	}
	if !used.has(key) || planted.NonceNotUnique {
		return false, m, nil
	}
	for _, seqsOf := range []func(context.Context, *knownRoom, nonceOf) ([]int64, error){newestOf, a.filedOf} {
		seqs, err := seqsOf(ctx, room.known, nonceOf{d.Author.ID, key})
		if err != nil {
			return false, m, err
		}
		for _, seq := range seqs {
			m, err := a.message(ctx, room, seq)
			if err != nil || m.Author.ID == d.Author.ID && m.Nonce == d.Nonce {
				return err == nil, m, err
			}
		}
	}
	return false, m, nil
}

// newestOf are the numbers of the messages that are not filed and have an author's key.
func newestOf(_ context.Context, room *knownRoom, n nonceOf) (seqs []int64, _ error) {
	for i, m := range room.newest {
		if m == n {
			seqs = append(seqs, room.filed+1+int64(i))
		}
	}
	return seqs, nil
}

// filedOf are the numbers of the other messages that have it.
func (a *appending) filedOf(ctx context.Context, room *knownRoom, n nonceOf) (seqs []int64, err error) {
	if room.filed > 0 {
		err = a.w.eachFiled(ctx, room.id, n.author, func(key uint64, seq int64) {
			if key == n.key {
				seqs = append(seqs, seq)
			}
		})
	}
	return seqs, err
}

// meetAuthor learns all nonces of an author in a room.
func (a *appending) meetAuthor(ctx context.Context, room *knownRoom, author chat.UserID) (*filter, error) {
	var filed []uint64
	if room.filed > 0 {
		err := a.w.eachFiled(ctx, room.id, author, func(key uint64, _ int64) { filed = append(filed, key) })
		if err != nil {
			return nil, err
		}
	}
	f := newFilter(len(filed))
	for _, key := range filed {
		f.add(key)
	}
	for _, n := range room.newest {
		if n.author == author {
			f.add(n.key)
		}
	}
	room.authors.put(author, f)
	return f, nil
}

// message reads one message, which may be of this batch.
func (a *appending) message(ctx context.Context, room *roomRow, seq int64) (m chat.Message, err error) {
	if stored := room.lastSeq - int64(len(room.fresh)); seq > stored {
		return a.results[room.fresh[seq-stored-1]].Message, nil
	}
	err = a.w.eachMessage(ctx, room.id, seq-1, seq, func(found chat.Message) { m = found })
	if err == nil && m.Seq != seq {
		err = fmt.Errorf("%w: number %d of the room %q is missing", ErrDamaged, seq, room.slug)
	}
	return m, err
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
		if r.id > maxRoom || r.lastSeq > maxSeq {
			return errors.New("the database is full: it cannot number so many rooms or messages")
		}
		c := chunker{room: r.id, buf: buf}
		for _, i := range r.fresh {
			chunks = c.add(chunks, &a.results[i].Message)
		}
		chunks, buf = c.end(chunks), c.buf
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
	for _, r := range a.rooms {
		if r.known == nil {
			continue
		}
		if len(r.known.newest) >= a.known.fileAt {
			if err := a.w.file(ctx, r.id, r.known.filed, r.known.newest); err != nil {
				return err
			}
			r.known.filed, r.known.newest = r.known.lastSeq, r.known.newest[:0]
		}
		r.known.authors.age(a.known.bound / 4)
		a.known.rooms.bytes += r.known.grown()
	}
	a.known.age()
	return nil
}
