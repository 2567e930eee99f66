package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// tries is how often a transaction is begun that others get in the way of.
const tries = 16

// errAgain undoes a transaction that something stored meanwhile got in the way
// of, such as a nonce that is there already and took a number, so that it is
// done again, with a look at what is stored first.
var errAgain = errors.New("what was stored meanwhile is in the way")

// writer is the writing connection with its prepared statements. It belongs to
// who holds Store.mu.
type writer struct {
	dialect dialect
	conn    *sql.Conn
	session string // names the connection to the server; "" where that is no other process
	stmts   map[statement]*sql.Stmt
	args    []any // reused between statements
}

// statement names a prepared statement: a text that is repeated for rows.
type statement struct {
	kind string
	rows int
}

// newWriter opens the writing connection. Of the session before it, when there
// was one, nothing can be stored any more when it returns: a commit whose answer
// was lost has either happened or never will.
func newWriter(ctx context.Context, d dialect, db *sql.DB, before string) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	w := &writer{dialect: d, conn: conn, stmts: make(map[statement]*sql.Stmt)}
	if d.session != "" {
		err = conn.QueryRowContext(ctx, d.session).Scan(&w.session)
	}
	if err == nil && before != "" {
		err = d.endSession(ctx, conn, before)
	}
	if err != nil {
		w.discard()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	return w, nil
}

// prepared returns the statement made of head, a group for each row, and tail. A
// group is like "(?,?)", with a parameter for each question mark.
func (w *writer) prepared(ctx context.Context, head, group, tail string, rows int) (*sql.Stmt, error) {
	key := statement{head, rows}
	if stmt := w.stmts[key]; stmt != nil {
		return stmt, nil
	}
	var text strings.Builder
	text.WriteString(head)
	n := 0
	for row := range rows {
		if row > 0 {
			text.WriteByte(',')
		}
		for i, part := range strings.Split(group, "?") {
			if i > 0 {
				n++
				text.WriteString(w.dialect.param(n))
			}
			text.WriteString(part)
		}
	}
	text.WriteString(tail)
	stmt, err := w.conn.PrepareContext(ctx, text.String())
	if err != nil {
		return nil, fmt.Errorf("preparing %q: %w", head, err)
	}
	w.stmts[key] = stmt
	return stmt, nil
}

// exec runs a statement without generated rows, prepared once. head holds its
// placeholders.
func (w *writer) exec(ctx context.Context, head string, args ...any) error {
	stmt, err := w.prepared(ctx, head, "", "", 0)
	if err == nil {
		_, err = stmt.ExecContext(ctx, args...)
	}
	return err
}

func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, w.conn.Close())...)
}

// discard closes the connection itself, not only the claim on it: after a
// failure nobody knows what state it is in, or whether it is still there.
func (w *writer) discard() {
	for _, stmt := range w.stmts {
		_ = stmt.Close()
	}
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // the documented way to drop it
	_ = w.conn.Close()
}

// write runs f in a transaction on the writing connection and then, when it is
// committed, the other functions. Where others get in the way, it runs f again
// and says so. A transaction that has begun is not ended by ctx: it is short, and
// the wait for a lock bounded.
func (s *Store) write(ctx context.Context, f func(ctx context.Context, w *writer, again bool) error, committed ...func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := s.patient(context.WithoutCancel(ctx))
	defer cancel()
	var err error
	for try, again := 0, false; try < tries; try++ {
		used := s.writer != nil
		if err = s.tryWrite(ctx, func(ctx context.Context, w *writer) error { return f(ctx, w, again) }); err == nil {
			break
		}
		// A connection that the network cut while nobody wrote shows it now.
		cut := used && errors.Is(err, errBegin) && s.dialect.patience > 0
		if again = again || errors.Is(err, errAgain); !cut && !errors.Is(err, errAgain) {
			break
		}
		s.count.again.Add(1)
	}
	if err == nil {
		for _, f := range committed {
			f()
		}
	}
	return err
}

// tryWrite runs f once.
func (s *Store) tryWrite(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
	if s.writer == nil {
		w, err := newWriter(ctx, s.dialect, s.writes, s.before)
		if err != nil {
			return err
		}
		s.writer = w
		s.count.renewed.Add(1)
	}
	w := s.writer
	err := inTransaction(ctx, s.dialect, w.conn, func() error { return f(ctx, w) })
	if err != nil && s.dialect.collided(err) {
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	if err != nil && !errors.Is(err, errAgain) {
		s.writer, s.before = nil, w.session
		w.discard()
	}
	return err
}

// noteMark counts what an Append has stored. The messages are safe: a mark that
// cannot be written only makes a later restore harder to notice.
func (s *Store) noteMark(results []chat.Appended) {
	if s.mark == nil {
		return
	}
	stored := 0
	for _, r := range results {
		if r.Err == nil && !r.Duplicate {
			stored++
		}
	}
	if err := s.mark.add(stored); err != nil {
		s.log.Warn("the mark beside the database cannot be written", "err", err)
	}
}

// SaveUser implements chat.Store.
func (s *Store) SaveUser(ctx context.Context, u chat.User, l *chat.Login) error {
	now := time.Now()
	err := s.write(ctx, func(ctx context.Context, w *writer, _ bool) error {
		const save = `INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name`
		if err := w.exec(ctx, save, int64(u.ID), u.Name, now.UnixMilli()); err != nil {
			return err
		}
		return w.saveLogin(ctx, u.ID, l)
	})
	if err != nil {
		return fmt.Errorf("storing a person: %w", err)
	}
	return nil
}

func (w *writer) saveLogin(ctx context.Context, user chat.UserID, l *chat.Login) error {
	if l == nil {
		return nil
	}
	const save = `INSERT INTO logins (hash, user_id, created_at, seen_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (hash) DO UPDATE SET seen_at = excluded.seen_at WHERE excluded.seen_at > logins.seen_at`
	return w.exec(ctx, save, l.Hash[:], int64(user), l.Created.UnixMilli(), l.Seen.UnixMilli())
}
