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

// meetAtOnce is how many rooms are read in one statement, whose answer is sorted.
const meetAtOnce = 32

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
		if byID[r.id] = r; known.lastSeq < r.lastSeq && known.lastSeq >= 0 && r.numbered() {
			behind = append(behind, chunkID(r.id, 0), chunkID(r.id, known.lastSeq+1), chunkID(r.id, r.lastSeq))
		}
	}
	for some := range slices.Chunk(behind, meetAtOnce*chunksAfter.columns) {
		err := a.eachChunk(ctx, rowsOf{chunksAfter, some}, func(room, seq int64, m chat.Message) {
			if r := byID[room]; seq == r.known.lastSeq+1 && seq <= r.lastSeq {
				r.known.add(m.Author.ID, keyOf(m.Nonce))
			}
		}, func(room int64) { byID[room].known.chunks++ })
		if err != nil {
			return err
		}
	}
	for _, r := range byID {
		if r.known.broken == nil && !r.known.settle(r) {
			r.known.broken = fmt.Errorf("%w: the room %q takes no messages: of those before number %d some are missing or cannot be read, or it is too large",
				ErrDamaged, r.slug, r.lastSeq)
			a.log.Error("a room takes no messages", "err", r.known.broken)
		}
	}
	return nil
}

// numbered says that the messages of a room have numbers that its chunks can have.
func (r *roomRow) numbered() bool { return r.id <= maxRoom && r.lastSeq <= maxSeq-1<<20 }

// eachChunk calls each for the chunks that a statement selects, and f for their
// messages, up to one that cannot be read.
func (a *appending) eachChunk(ctx context.Context, which rowsOf, f func(room, seq int64, m chat.Message), each func(room int64)) error {
	return a.w.queryAll(ctx, which, func(rows *sql.Rows) error {
		var id int64
		var chunk string
		if err := rows.Scan(&id, &chunk); err != nil {
			return err
		}
		room, seq := id>>seqBits, id&maxSeq
		each(room)
		_ = readChunk(chunk, func(m chat.Message) { // what is missing then is found missing
			m.Seq = seq
			f(room, seq, m)
			seq++
		})
		return nil
	})
}

// leadsTo tells whether a room can have become what is stored, and without more
// than is read for a room that is not known.
func (r *knownRoom) leadsTo(now *roomRow) bool {
	return r.id == now.id && r.lastSeq <= now.lastSeq && now.lastSeq-r.lastSeq <= fileAt && r.filed <= now.filed && now.filed <= now.lastSeq
}

// settle takes over what is stored, when all of it was found.
func (r *knownRoom) settle(now *roomRow) bool {
	if r.lastSeq != now.lastSeq || !now.numbered() {
		return false
	}
	r.newest = slices.Delete(r.newest, 0, int(now.filed-r.filed))
	r.chunks = min(r.chunks, len(r.newest))
	r.filed, r.lastAt = now.filed, now.lastAt
	return true
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

// eachFiled calls f for the nonces that are filed of authors in rooms. A room in
// which some are cut short takes no messages: one might come twice.
func (a *appending) eachFiled(ctx context.Context, who []any, f func(who inRoom, key uint64, seq int64)) error {
	return a.w.queryAll(ctx, rowsOf{keysOf, who}, func(rows *sql.Rows) error {
		var room, author int64
		var keys sql.RawBytes
		if err := rows.Scan(&room, &author, &keys); err != nil {
			return err
		}
		if len(keys)%16 != 0 {
			for _, r := range a.rooms {
				if r.id == room {
					r.known.broken = fmt.Errorf("%w: the room %q takes no messages: the nonces of author %d cannot be read", ErrDamaged, r.slug, author)
					a.log.Error("a room takes no messages", "err", r.known.broken)
				}
			}
			return nil
		}
		for ; len(keys) > 0; keys = keys[16:] {
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
	newest := make(map[int64][]int) // drafts, by the ids of messages
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
				id := chunkID(room.id, room.filed+1+int64(k))
				newest[id] = append(newest[id], i)
			}
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	a.stored, a.lost = make(map[nonceKey]chat.Message), make(map[int]bool)
	if err := a.readStored(ctx, newest); err != nil {
		return err
	}
	filed, wanted, old := []any(nil), make(map[inRoom]map[uint64][]int), make(map[int64][]int)
	for _, i := range suspects {
		key := a.key(i)
		if _, found := a.stored[key]; found || a.roomOf[i].known.filed == 0 {
			continue
		}
		if wanted[key.inRoom] == nil {
			wanted[key.inRoom] = make(map[uint64][]int)
			filed = append(filed, key.room, int64(key.author))
		}
		wanted[key.inRoom][a.keys[i]] = append(wanted[key.inRoom][a.keys[i]], i)
	}
	err := a.eachFiled(ctx, filed, func(who inRoom, key uint64, seq int64) {
		if drafts := wanted[who][key]; drafts != nil {
			old[chunkID(who.room, seq)] = drafts
		}
	})
	if err != nil {
		return err
	}
	return a.readStored(ctx, old)
}

// readStored reads messages that drafts may repeat, each named by what the id of a
// chunk would be that it is the first of. A draft whose message is not there cannot
// be judged.
func (a *appending) readStored(ctx context.Context, drafts map[int64][]int) error {
	var rows []any
	for id := range drafts {
		rows = append(rows, id&^maxSeq, id)
	}
	err := a.eachChunk(ctx, rowsOf{chunksWith, rows}, func(room, seq int64, m chat.Message) {
		if id := chunkID(room, seq); drafts[id] != nil {
			a.stored[nonceKey{inRoom{room, m.Author.ID}, m.Nonce}] = m
			delete(drafts, id)
		}
	}, func(int64) {})
	for id, lost := range drafts {
		for _, i := range lost {
			if _, found := a.stored[a.key(i)]; !found {
				a.lost[i] = true
				a.log.Error("a message is missing or cannot be read", "room", a.batch[i].Room, "seq", id&maxSeq)
			}
		}
	}
	return err
}
