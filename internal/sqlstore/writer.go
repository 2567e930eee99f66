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

// beginWithin is how soon a transaction has begun, where there is a network.
const beginWithin = 2 * time.Second

// errAgain undoes a transaction that something stored meanwhile got in the way
// of, such as a room that another server made, so that it is done again.
var errAgain = errors.New("what was stored meanwhile is in the way")

// outage is a time in which the database could not be reached.
type outage struct{ err error }

// turn is a lock whose waiting can be given up. They get it in order who wait.
type turn chan struct{}

func newTurn() turn    { return make(turn, 1) }
func (t turn) Lock()   { t <- struct{}{} }
func (t turn) Unlock() { <-t }

// take is Lock, unless ctx ends first.
func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writer is the writing connection with its prepared statements. It belongs to
// who holds Store.mu.
type writer struct {
	dialect dialect
	conn    *sql.Conn
	session string // names the connection to the server; "" where that is no other process
	stmts   map[statement]*sql.Stmt
	known   *known // nil at first, and after an Append that failed
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

// list is a statement with a list of rows in it, whose columns are column1,
// column2, ... to the rest.
type list struct {
	head    string
	columns int
	tail    string
}

// rowsOf are a list's rows, given value by value.
type rowsOf struct {
	list
	values []any
}

// runAll runs statements for their rows: all at once where a column can be one
// array, else one after another, each for maxRows, half as many, ..., 1 of them.
// In any order, they must do the same, and none may change a row twice.
func (w *writer) runAll(ctx context.Context, all ...rowsOf) error {
	if w.dialect.maxRows == 0 {
		text, arrays := withArrays(all)
		if text == "" {
			return nil
		}
		return w.exec(ctx, text, arrays...)
	}
	for _, l := range all {
		err := w.inParts(ctx, l, func(stmt *sql.Stmt, args []any) error {
			_, err := stmt.ExecContext(ctx, args...)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// queryAll calls scan for the rows that a list's statement selects.
func (w *writer) queryAll(ctx context.Context, l rowsOf, scan func(*sql.Rows) error) error {
	if w.dialect.maxRows == 0 {
		text, arrays := withArrays([]rowsOf{l})
		if text == "" {
			return nil
		}
		return w.query(ctx, text, scan, arrays...)
	}
	return w.inParts(ctx, l, func(stmt *sql.Stmt, args []any) error { return scanAll(ctx, stmt, args, scan) })
}

// inParts runs a statement as often as its rows need it.
func (w *writer) inParts(ctx context.Context, l rowsOf, run func(stmt *sql.Stmt, args []any) error) error {
	group := "(?" + strings.Repeat(",?", l.columns-1) + ")"
	for size := w.dialect.maxRows; len(l.values) > 0; {
		if len(l.values) < size*l.columns {
			size /= 2
			continue
		}
		stmt, err := w.prepared(ctx, l.head+"VALUES ", group, l.tail, size)
		if err == nil {
			err = run(stmt, l.values[:size*l.columns])
		}
		if err != nil {
			return err
		}
		l.values = l.values[size*l.columns:]
	}
	return nil
}

// withArrays makes one statement of PostgreSQL of those that have rows; "" is none.
func withArrays(all []rowsOf) (text string, arrays []any) {
	var statements []string
	for _, l := range all {
		if len(l.values) == 0 {
			continue
		}
		var params, names []string
		for c := range l.columns {
			array := "bigint[]"
			switch l.values[c].(type) {
			case int64:
				arrays = append(arrays, column[int64](l.values, c, l.columns))
			case string:
				arrays, array = append(arrays, column[string](l.values, c, l.columns)), "text[]"
			default:
				arrays, array = append(arrays, column[[]byte](l.values, c, l.columns)), "bytea[]"
			}
			params = append(params, fmt.Sprintf("$%d::%s", len(arrays), array))
			names = append(names, fmt.Sprint("column", c+1))
		}
		rows := "SELECT * FROM unnest(" + strings.Join(params, ",") + ") AS r (" + strings.Join(names, ",") + ")"
		statements = append(statements, l.head+rows+l.tail)
	}
	if len(statements) == 0 {
		return "", nil
	}
	last := len(statements) - 1
	for i, text := range statements[:last] {
		statements[i] = fmt.Sprintf("s%d AS (%s)", i, text)
	}
	if last > 0 {
		return "WITH " + strings.Join(statements[:last], ", ") + " " + statements[last], arrays
	}
	return statements[last], arrays
}

// column is one of several columns of rows.
func column[T any](values []any, which, columns int) []T {
	all := make([]T, 0, len(values)/columns)
	for ; which < len(values); which += columns {
		all = append(all, values[which].(T))
	}
	return all
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

// inTurn runs f when it has a turn, for which it waits half the time that a call
// may take, so that f has the other half, and until ctx ends. When the database
// is found out of reach meanwhile, that is its failure too: one after another
// they would wait as long again each.
func (s *Store) inTurn(ctx context.Context, t turn, f func() error) error {
	before, wait, cancel := s.outage.Load(), ctx, func() {}
	if s.dialect.patience > 0 {
		wait, cancel = context.WithTimeout(ctx, s.dialect.patience/2)
	}
	defer cancel()
	if err := t.take(wait); err != nil {
		return untouched(fmt.Errorf("waiting for others who write: %w", err))
	}
	defer t.Unlock()
	if err := ctx.Err(); err != nil {
		return untouched(err)
	}
	if now := s.outage.Load(); now != before {
		return untouched(now.err)
	}
	return f()
}

// untouched is the failure of a write that has stored nothing.
func untouched(err error) error { return fmt.Errorf("%w: %w", chat.ErrNotStored, err) }

// write runs f in a transaction on the writing connection and then, when it is
// committed, the other functions. Where others get in the way, it runs f again. A
// transaction that has begun is not ended by ctx: it is short, and
// the wait for a lock bounded. Its failure is an ErrNotStored unless the commit
// was asked for, and no more than that is known.
func (s *Store) write(ctx context.Context, f func(ctx context.Context, w *writer) error, committed ...func()) error {
	within, cancel := s.patient(context.WithoutCancel(ctx))
	defer cancel()
	return s.inTurn(ctx, s.mu, func() error {
		if s.closed {
			return untouched(errClosed)
		}
		err := s.retryWrite(within, f)
		if err == nil {
			for _, f := range committed {
				f()
			}
		} else if within.Err() != nil {
			s.outage.Store(&outage{err})
		}
		return err
	})
}

// retryWrite runs f as often as it takes.
func (s *Store) retryWrite(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
	for try := 1; ; try++ {
		used, asked := s.writer != nil, false
		err := s.tryWrite(ctx, func(ctx context.Context, w *writer) error {
			err := f(ctx, w)
			asked = err == nil // for the commit
			return err
		})
		if err == nil {
			return nil
		}
		// A connection that the network cut while nobody wrote shows it now.
		cut := used && errors.Is(err, errBegin) && s.dialect.patience > 0
		if (cut || errors.Is(err, errAgain)) && try < tries {
			s.count.again.Add(1)
			continue
		}
		if asked && !errors.Is(err, errAgain) {
			return err
		}
		return untouched(err)
	}
}

// tryWrite runs f once.
func (s *Store) tryWrite(ctx context.Context, f func(ctx context.Context, w *writer) error) error {
	if s.writer == nil {
		w, err := newWriter(ctx, s.dialect, s.writes, s.before)
		if err != nil {
			s.outage.Store(&outage{err})
			return err
		}
		s.writer = w
		s.count.renewed.Add(1)
	}
	w, ended := s.writer, false
	defer func() {
		if !ended { // f panicked, and the transaction is open
			s.writer, s.before = nil, w.session
			w.discard()
		}
	}()
	err := s.transact(ctx, w, f)
	ended = true
	if err != nil && s.dialect.collided(err) {
		return fmt.Errorf("%w: %w", errAgain, err)
	}
	if err != nil && !errors.Is(err, errAgain) {
		s.writer, s.before = nil, w.session
		w.discard()
	}
	return err
}

// transact runs f in a transaction. To begin one is no work and waits for nobody,
// so a connection across a network that does not answer that soon leads nowhere.
func (s *Store) transact(ctx context.Context, w *writer, f func(ctx context.Context, w *writer) error) error {
	if s.dialect.patience == 0 {
		return inTransaction(ctx, s.dialect, w.conn, func() error { return f(ctx, w) })
	}
	beginning, stop := context.WithCancel(ctx)
	defer stop()
	late := time.AfterFunc(beginWithin, stop)
	defer late.Stop()
	silent := fmt.Errorf("%w: no answer within %v", errBegin, beginWithin)
	err := inTransaction(beginning, s.dialect, w.conn, func() error {
		if !late.Stop() {
			return silent
		}
		return f(ctx, w)
	})
	if errors.Is(err, errBegin) && beginning.Err() != nil && ctx.Err() == nil {
		return silent
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
	err := s.inTurn(ctx, s.people, func() error { // one at a time stands before those who append
		return s.write(ctx, func(ctx context.Context, w *writer) error {
			const save = `INSERT INTO users (id, name, created_at) VALUES ($1, $2, $3)
				ON CONFLICT (id) DO UPDATE SET name = excluded.name`
			if w.known != nil {
				w.known.names.forget(u.ID)
			}
			if err := w.exec(ctx, save, int64(u.ID), u.Name, now.UnixMilli()); err != nil {
				return err
			}
			return w.saveLogin(ctx, u.ID, l)
		})
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
