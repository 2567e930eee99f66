package sqlstore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// What an Append has to learn of its rooms and their authors it reads for all of
// them at once: across a network each answer takes its time, and the rooms are
// locked.
var (
	// chunksAfter are those of a room that begins with one id, from the one that
	// holds what another id is of to a third.
	chunksAfter = list{`SELECT c.id, c.messages FROM (`, 3, `) AS v JOIN chunks c ON c.id BETWEEN
		coalesce((SELECT max(d.id) FROM chunks d WHERE d.id BETWEEN v.column1 AND v.column2), v.column2) AND v.column3 ORDER BY c.id`}

	// keysOf are the nonces of an author in a room that are filed.
	keysOf = list{`SELECT n.room_id, n.author_id, n.keys FROM (`, 2, `) AS v JOIN nonces n ON n.room_id = v.column1 AND n.author_id = v.column2`}

	// chunksWith are those of a room that begins with one id that hold what another is of.
	chunksWith = list{`SELECT id, messages FROM chunks WHERE id IN (SELECT
		(SELECT max(d.id) FROM chunks d WHERE d.id BETWEEN v.column1 AND v.column2) FROM (`, 2, `) AS v)`}
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
	r.id, r.lastSeq, r.lastAt, r.filed, r.from = known.id, known.lastSeq, known.lastAt, known.filed, 0
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

// meet learns what is not known of rooms and people, and which drafts were stored
// before.
func (a *appending) meet(ctx context.Context) error {
	if a.w.dialect.alone {
		for id, name := range a.names {
			if _, known := a.known.names.get(id); !known {
				a.known.names.put(id, name)
			}
		}
	}
	if err := a.catchUp(ctx); err != nil {
		return err
	}
	if err := a.meetAuthors(ctx); err != nil {
		return err
	}
	return a.findRepeated(ctx)
}

// catchUp reads the nonces of the rooms' messages after those that are known:
// other servers may have stored them.
func (a *appending) catchUp(ctx context.Context) error {
	var behind []any
	byID := make(map[int64]*roomRow)
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
		if byID[r.id] = r; known.lastSeq < r.lastSeq && r.id <= maxRoom {
			behind = append(behind, chunkID(r.id, 0), chunkID(r.id, known.lastSeq+1), chunkID(r.id, r.lastSeq))
		}
	}
	err := a.eachChunk(ctx, rowsOf{chunksAfter, behind}, func(room, seq int64, chunk string) error {
		r := byID[room]
		r.known.chunks++
		return readChunk(chunk, func(m chat.Message) {
			if seq == r.known.lastSeq+1 && seq <= r.lastSeq {
				r.known.add(m.Author.ID, keyOf(m.Nonce))
			}
			seq++
		})
	})
	for _, r := range byID {
		before := r.known.broken
		if r.known.settle(r); before == nil && r.known.broken != nil {
			a.log.Error("a room takes no messages", "room", r.slug, "err", r.known.broken)
		}
	}
	return err
}

// eachChunk calls f for the chunks that a statement selects. One that is damaged
// breaks its room, and no other.
func (a *appending) eachChunk(ctx context.Context, which rowsOf, f func(room, seq int64, chunk string) error) error {
	return a.w.queryAll(ctx, which, func(rows *sql.Rows) error {
		var id int64
		var chunk string
		if err := rows.Scan(&id, &chunk); err != nil {
			return err
		}
		if err := f(id>>seqBits, id&maxSeq, chunk); err != nil {
			for _, r := range a.rooms {
				if r.id == id>>seqBits {
					r.known.broken = err
				}
			}
		}
		return nil
	})
}

// leadsTo tells whether a room can have become what is stored, and without more
// than is read for a room that is not known.
func (r *knownRoom) leadsTo(now *roomRow) bool {
	return r.id == now.id && r.lastSeq <= now.lastSeq && now.lastSeq-r.lastSeq <= fileAt && r.filed <= now.filed && now.filed <= now.lastSeq
}

// settle takes over what is stored, when all of it was found.
func (r *knownRoom) settle(now *roomRow) {
	switch {
	case now.id > maxRoom || now.lastSeq > maxSeq-1<<20:
		r.broken = fmt.Errorf("the room %q cannot have more messages: it is number %d, and has %d", now.slug, now.id, now.lastSeq)
	case r.broken == nil && r.lastSeq != now.lastSeq:
		r.broken = fmt.Errorf("%w: of the room %q messages before number %d are missing", ErrDamaged, now.slug, now.lastSeq)
	}
	if r.broken == nil {
		r.newest = slices.Delete(r.newest, 0, int(now.filed-r.filed))
		r.chunks = min(r.chunks, len(r.newest))
		r.filed, r.lastAt = now.filed, now.lastAt
	}
}

// inRoom is an author in a room.
type inRoom struct {
	room   int64
	author chat.UserID
}

// meetAuthors learns all nonces of those who are not known in their rooms.
func (a *appending) meetAuthors(ctx context.Context) error {
	met := make(map[inRoom]*filter)
	rooms := make(map[*knownRoom]bool)
	var filed []any
	for i := range a.batch {
		room, author := a.roomOf[i].known, a.batch[i].Author.ID
		if a.roomless(i) || room.broken != nil {
			continue
		}
		if _, known := room.authors.get(author); known || met[inRoom{room.id, author}] != nil {
			continue
		}
		met[inRoom{room.id, author}] = newFilter(0)
		rooms[room] = true
		if room.filed > 0 {
			filed = append(filed, room.id, int64(author))
		}
	}
	err := a.eachFiled(ctx, filed, func(who inRoom, key uint64, _ int64) { met[who].add(key) })
	for room := range rooms {
		for _, n := range room.newest {
			if f := met[inRoom{room.id, n.author}]; f != nil {
				f.add(n.key)
			}
		}
	}
	for i := range a.batch {
		room, author := a.roomOf[i].known, a.batch[i].Author.ID
		if a.roomless(i) {
			continue
		}
		if f := met[inRoom{room.id, author}]; f != nil {
			room.authors.put(author, f)
			delete(met, inRoom{room.id, author})
		}
	}
	return err
}

// eachFiled calls f for the nonces that are filed of authors in rooms.
func (a *appending) eachFiled(ctx context.Context, who []any, f func(who inRoom, key uint64, seq int64)) error {
	return a.w.queryAll(ctx, rowsOf{keysOf, who}, func(rows *sql.Rows) error {
		var room, author int64
		var keys sql.RawBytes
		if err := rows.Scan(&room, &author, &keys); err != nil {
			return err
		}
		for ; len(keys) >= 16; keys = keys[16:] {
			f(inRoom{room, chat.UserID(author)}, binary.BigEndian.Uint64(keys), int64(binary.BigEndian.Uint64(keys[8:])))
		}
		return nil
	})
}

// nonceKey is what a nonce is unique for.
type nonceKey struct {
	inRoom
	nonce string
}

// key is that of a draft whose room is there.
func (a *appending) key(i int) nonceKey {
	return nonceKey{inRoom{a.roomOf[i].id, a.batch[i].Author.ID}, a.batch[i].Nonce}
}

// findRepeated reads the messages whose nonces drafts have again. It looks at the
// newest first: most of what is repeated was posted a moment ago.
func (a *appending) findRepeated(ctx context.Context) error {
	a.keys = make([]uint64, len(a.batch))
	var suspects []int
	newest := make(map[int64]bool)
	for i := range a.batch {
		room, author := a.roomOf[i].known, a.batch[i].Author.ID
		if a.roomless(i) || room.broken != nil {
			continue
		}
		a.keys[i] = keyOf(a.batch[i].Nonce)
		if used, _ := room.authors.get(author); !used.has(a.keys[i]) {
			continue
		}
		suspects = append(suspects, i)
		for k, n := range room.newest {
			if n == (nonceOf{author, a.keys[i]}) {
				newest[chunkID(room.id, room.filed+1+int64(k))] = true
			}
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	a.stored = make(map[nonceKey]chat.Message)
	if err := a.readStored(ctx, newest); err != nil {
		return err
	}
	filed, wanted, old := []any(nil), make(map[inRoom]map[uint64]bool), make(map[int64]bool)
	for _, i := range suspects {
		key := a.key(i)
		if _, found := a.stored[key]; found || a.roomOf[i].known.filed == 0 {
			continue
		}
		if wanted[key.inRoom] == nil {
			wanted[key.inRoom] = make(map[uint64]bool)
			filed = append(filed, key.room, int64(key.author))
		}
		wanted[key.inRoom][a.keys[i]] = true
	}
	err := a.eachFiled(ctx, filed, func(who inRoom, key uint64, seq int64) {
		if wanted[who][key] {
			old[chunkID(who.room, seq)] = true
		}
	})
	if err != nil {
		return err
	}
	return a.readStored(ctx, old)
}

// readStored reads messages, each named by what the id of a chunk would be that it
// is the first of.
func (a *appending) readStored(ctx context.Context, ids map[int64]bool) error {
	var rows []any
	for id := range ids {
		rows = append(rows, id&^maxSeq, id)
	}
	return a.eachChunk(ctx, rowsOf{chunksWith, rows}, func(room, seq int64, chunk string) error {
		return readChunk(chunk, func(m chat.Message) {
			if m.Seq = seq; ids[chunkID(room, seq)] {
				a.stored[nonceKey{inRoom{room, m.Author.ID}, m.Nonce}] = m
			}
			seq++
		})
	})
}
