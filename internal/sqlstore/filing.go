package sqlstore

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Nonces are unique for ever. Those of a room's newest messages are read from its
// chunks, and those of older ones are filed: by author, so that who posts for the
// first time since the server was started costs a look at what is theirs alone.
const (
	fileAt   = 1024     // newest messages of a room, after which their nonces are filed
	perChunk = 8        // or when the chunks that they are in, rows to read, are more than one for so many
	fileMany = 8 * 1024 // messages whose nonces one transaction files when the store is opened
)

var saveNonces = list{`INSERT INTO nonces (room_id, author_id, first, keys) `, 4, ""}

// file files the nonces of a room's messages after one seq.
func (w *writer) file(ctx context.Context, room, after int64, nonces []nonceOf) error {
	rows, ends := rowsToFile(nil, nil, room, after, nonces)
	return w.runAll(ctx, rowsOf{saveNonces, rows}, rowsOf{fileRooms, ends})
}

var fileRooms = list{`UPDATE rooms SET filed = v.column2 FROM (`, 2, `) AS v WHERE rooms.id = v.column1`}

func rowsToFile(rows, ends []any, room, after int64, nonces []nonceOf) (_, _ []any) {
	byAuthor := make(map[chat.UserID][]byte)
	var authors []chat.UserID
	for i, n := range nonces {
		keys := byAuthor[n.author]
		if keys == nil {
			authors = append(authors, n.author)
		}
		keys = binary.BigEndian.AppendUint64(keys, n.key)
		byAuthor[n.author] = binary.BigEndian.AppendUint64(keys, uint64(after+1+int64(i)))
	}
	slices.Sort(authors)
	for _, author := range authors {
		keys := byAuthor[author]
		rows = append(rows, room, int64(author), int64(binary.BigEndian.Uint64(keys[8:])), keys)
	}
	return rows, append(ends, room, after+int64(len(nonces)))
}

// unfiled is a room with more messages to file than one that is served ever has.
type unfiled struct{ room, filed, last int64 }

// fileRest files what a server that runs would have filed: after an upgrade, and
// of a copy.
func (s *Store) fileRest(ctx context.Context) error {
	w, start := s.writer, time.Now()
	var rest []unfiled
	filed := 0
	err := w.query(ctx, `SELECT id, filed, last_seq FROM rooms WHERE last_seq - filed >= $1`, func(rows *sql.Rows) error {
		var u unfiled
		err := rows.Scan(&u.room, &u.filed, &u.last)
		rest = append(rest, u)
		return err
	}, 2*fileAt)
	for _, u := range rest {
		for err == nil && u.filed < u.last {
			err = inTransaction(ctx, s.dialect, w.conn, func() error {
				count, err := w.fileNext(ctx, &u)
				filed += count
				return err
			})
		}
		if errors.Is(err, ErrDamaged) { // it takes no messages, and others do
			s.log.Error("a room is damaged", "err", err)
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("filing nonces: %w", err)
	}
	if filed > 0 {
		s.log.Info("filed the nonces of old messages", "messages", filed, "took", time.Since(start).Round(time.Millisecond))
	}
	return nil
}

// fileNext files the next nonces of a room, and tells how many. It looks under the
// lock of the room where to begin: other servers file, too.
func (w *writer) fileNext(ctx context.Context, u *unfiled) (filed int, err error) {
	stmt, err := w.prepared(ctx, `SELECT filed FROM rooms WHERE id = $1`, "", w.dialect.lockRooms, 0)
	if err != nil {
		return 0, err
	}
	if err := stmt.QueryRowContext(ctx, u.room).Scan(&u.filed); err != nil || u.filed >= u.last {
		return 0, err
	}
	var nonces []nonceOf
	upTo := min(u.filed+fileMany, u.last)
	err = w.eachMessage(ctx, u.room, u.filed, upTo, func(m chat.Message) {
		nonces = append(nonces, nonceOf{m.Author.ID, keyOf(m.Nonce)})
	})
	if err == nil && int64(len(nonces)) != upTo-u.filed {
		err = fmt.Errorf("%w: messages of room number %d are missing", ErrDamaged, u.room)
	}
	if err == nil {
		err = w.file(ctx, u.room, u.filed, nonces)
	}
	u.filed = upTo
	return len(nonces), err
}
