package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// Reasons why a database cannot be copied, besides those of Open.
var (
	ErrOccupied  = errors.New("the target holds something already")
	ErrOtherCopy = errors.New("the target is an unfinished copy of something else")
	ErrUnequal   = errors.New("the copy is not what it was made from")
)

// ErrCopying keeps servers from a PostgreSQL database that Copy has.
var ErrCopying = errors.New("teahouse migrate-store is copying this database: wait until it has ended")

// CopyStage is what Copy does, in this order.
type CopyStage string

// The stages of Copy.
const (
	CopyingPeople   CopyStage = "copying people"
	CopyingMessages CopyStage = "copying messages"
	Comparing       CopyStage = "comparing"
)

// CopyProgress is how far Copy is in a stage.
type CopyProgress struct {
	Stage                 CopyStage
	People                int64 // copied
	Rooms, AllRooms       int64 // done in this stage, an earlier run's among them; and to do
	Messages, AllMessages int64 // the same
	Before                int64 // of Messages: those of an earlier run
}

// CopyOptions are what can be chosen of Copy. All may be empty.
type CopyOptions struct {
	Log      *slog.Logger       // of upgrades; nil is slog.Default
	Progress func(CopyProgress) // is told after each batch, by one goroutine at a time
}

// Copy copies all that the database at from holds into that at to, which is
// empty or what an earlier Copy from the same database left unfinished, and then
// reads both back and compares them: people and logins, and of each room all
// that each message is. Addresses are those of Open; the source is brought up to
// date as by Open. What it returns with a nil error is what both hold.
//
// Nobody else writes to the source meanwhile: while a server has either of the two,
// Copy refuses with ErrInUse, and servers that come are refused with ErrCopying, or
// ErrInUse where that is a file. One that was cut off and comes back later learns
// by ErrReplaced that the log has gone elsewhere. The copy becomes a store when all
// of it was compared; before that Open refuses it with ErrUnfinished. It has the
// epoch and the key of the source, so positions and guests stay what they are;
// the source begins a new epoch if it is ever served again.
//
// A copy that is refused leaves both as they were, the epoch of the source too.
// Batches are stored with how far they go, so Copy may end in any way at any
// moment, and goes on from there when it is called again.
func Copy(ctx context.Context, from, to string, o CopyOptions) (done CopyProgress, err error) {
	if o.Progress == nil {
		o.Progress = func(CopyProgress) {}
	}
	c := &copier{progress: o.Progress}
	if err := sameFile(from, to); err != nil {
		return done, err
	}
	if !IsPostgres(from) {
		if err := present(from); err != nil { // and make nothing beside it
			return done, fmt.Errorf("the source: %w", err)
		}
	}
	if c.from, err = begin(ctx, from, o.Log, (*Store).openSource); err != nil {
		return done, fmt.Errorf("the source: %w", err)
	}
	defer func() { err = errors.Join(err, c.from.Close()) }()
	if c.to, err = begin(ctx, to, o.Log, func(s *Store, ctx context.Context, at string) error {
		return s.openTarget(ctx, at, c.from)
	}); errors.Is(err, errSame) {
		return done, errSame
	} else if err != nil {
		return done, fmt.Errorf("the target: %w", err)
	}
	defer func() { err = errors.Join(err, c.to.Close()) }()
	err = c.run(ctx)
	var side *sideError
	switch {
	case errors.Is(err, errDone):
	case errors.Is(err, ErrOccupied) || errors.Is(err, ErrOtherCopy):
		err = fmt.Errorf("%w: name an empty database", err)
	case errors.As(err, &side) && side.target:
		err = fmt.Errorf("the target: %w", c.to.dialect.explain(to, side.err))
	case errors.Is(err, ErrDamaged): // as Copy found it; what SQLite finds has another type
		err = fmt.Errorf("the source: %w: restore it from a backup", err)
	case errors.As(err, &side):
		err = fmt.Errorf("the source: %w", c.from.dialect.explain(from, side.err))
	}
	return c.done, err
}

// Two refusals that need no other database.
var (
	errSame = fmt.Errorf("%w: source and target are the same database", ErrOccupied)
	errDone = fmt.Errorf("%w: it was copied from this source before; start the servers with it, or name an empty database", ErrOccupied)
)

// sameFile refuses to copy a file onto itself.
func sameFile(from, to string) error {
	if IsPostgres(from) || IsPostgres(to) {
		return nil
	}
	one, errOne := os.Stat(from)
	two, errTwo := os.Stat(to)
	if filepath.Clean(from) == filepath.Clean(to) || errOne == nil && errTwo == nil && os.SameFile(one, two) {
		return errSame
	}
	return nil
}

// copier is one Copy on its way.
type copier struct {
	// fixed
	from, to *Store
	progress func(CopyProgress)
	at       map[int64]int64 // where the target's rooms ended when Copy began, by id

	done CopyProgress // owned by the goroutine of Copy
}

// sideError says which of the two databases failed.
type sideError struct {
	target bool
	err    error
}

func (e *sideError) Error() string { return e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

func atSource(err error) error {
	if err == nil {
		return nil
	}
	return &sideError{err: err}
}

func atTarget(err error) error {
	if err == nil {
		return nil
	}
	return &sideError{target: true, err: err}
}

// openSource opens a store that must be there already.
func (s *Store) openSource(ctx context.Context, at string) error {
	s.program = copying
	if err := s.connect(ctx, at); err != nil {
		return err
	}
	if version, err := schemaVersion(ctx, s.dialect, s.writer.conn); err != nil {
		return err
	} else if version == 0 {
		return ErrEmpty
	}
	if err := s.alone(ctx); err != nil { // before anything is changed that servers have
		return err
	}
	if err := s.upgrade(ctx); err != nil {
		return err
	}
	return s.locate(ctx)
}

// locate notes which database of PostgreSQL it is.
func (s *Store) locate(ctx context.Context) error {
	if s.dialect.recognise == "" {
		return nil
	}
	if err := s.writer.conn.QueryRowContext(ctx, s.dialect.recognise).Scan(&s.origin); err != nil {
		return fmt.Errorf("recognising the database: %w", err)
	}
	return nil
}

// openTarget opens a store to copy into, other than the source. It gets its
// settings from there.
func (s *Store) openTarget(ctx context.Context, at string, source *Store) error {
	s.program = copying
	if err := s.connect(ctx, at); err != nil {
		return err
	}
	if err := s.locate(ctx); err != nil {
		return err
	}
	if s.origin != "" && s.origin == source.origin {
		return errSame
	}
	if err := s.alone(ctx); err != nil {
		return err
	}
	return s.migrateAll(ctx)
}

// alone keeps servers from the database until the connection ends, and readies it
// for long work.
func (s *Store) alone(ctx context.Context) error {
	for _, query := range s.dialect.exclude {
		if err := s.obtain(ctx, query, ErrInUse); err != nil {
			return err
		}
	}
	_, err := s.writer.conn.ExecContext(ctx, s.dialect.long)
	return err
}

// freeze begins a transaction in which nobody else writes, on the connection of
// either side.
func (s *Store) freeze(ctx context.Context) error {
	if s.dialect.freeze == "" {
		return nil // BEGIN is enough
	}
	_, err := s.writer.conn.ExecContext(ctx, s.dialect.freeze)
	return err
}

// run copies in one transaction of the source, in which nobody else writes to it.
func (c *copier) run(ctx context.Context) error {
	// What is refused has changed nothing, not even the source's epoch.
	if err := atTarget(c.claimable(ctx)); err != nil {
		return err
	}
	if err := atSource(c.from.dialect.meet(ctx, c.from)); err != nil {
		return err
	}
	source := c.from.writer.conn
	err := inTransaction(ctx, c.from.dialect, source, func() error {
		if err := atSource(c.from.freeze(ctx)); err != nil {
			return err
		}
		const all = `SELECT count(*), CAST(coalesce(sum(last_seq), 0) AS BIGINT) FROM rooms`
		if err := source.QueryRowContext(ctx, all).Scan(&c.done.AllRooms, &c.done.AllMessages); err != nil {
			return atSource(err)
		}
		for _, step := range []func(context.Context) error{c.claim, c.copyPeople, c.copyMessages, c.compare} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return atSource(c.from.dialect.disown(ctx, c.from))
	})
	if err != nil {
		return err
	}
	return atTarget(c.finish(ctx))
}

// copiedFrom names what a database is an unfinished copy of; "" is nothing.
func copiedFrom(ctx context.Context, conn *sql.Conn) (string, error) {
	var source string
	err := conn.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = 'copying'`).Scan(&source)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("reading the settings: %w", err)
	}
	return source, nil
}

// finished is an error when a database is an unfinished copy.
func finished(ctx context.Context, conn *sql.Conn) error {
	copied, err := copiedFrom(ctx, conn)
	if err == nil && copied != "" {
		err = ErrUnfinished
	}
	return err
}

// sourceName is what an unfinished copy says of the source it is of.
func (c *copier) sourceName() string {
	sum := sha256.Sum256(c.from.settings.Key[:]) // the key is for ever that of one log
	return hex.EncodeToString(sum[:16])
}

// claimable looks whether the target is empty, or an unfinished copy of the source.
func (c *copier) claimable(ctx context.Context) error {
	conn := c.to.writer.conn
	before, err := copiedFrom(ctx, conn)
	switch {
	case err != nil:
		return err
	case before == c.sourceName():
		return nil
	case before != "":
		return ErrOtherCopy
	}
	const held = `SELECT (SELECT count(*) FROM (SELECT 1 FROM users UNION ALL SELECT 1 FROM rooms LIMIT 1) AS t),
		coalesce((SELECT value FROM settings WHERE key = 'key'), '')`
	var n int
	var key string
	if err := conn.QueryRowContext(ctx, held).Scan(&n, &key); err != nil {
		return err
	}
	switch {
	case n > 0 && key == hex.EncodeToString(c.from.settings.Key[:]):
		return errDone
	case n > 0:
		return ErrOccupied
	}
	return nil
}

// claim marks the target as an unfinished copy of the source, or finds that it
// is one, and reads how far it is. Once it has locked the tables, nothing that an
// earlier run sent is still to be stored.
func (c *copier) claim(ctx context.Context) error {
	conn := c.to.writer.conn
	return atTarget(inTransaction(ctx, c.to.dialect, conn, func() error {
		if err := c.to.freeze(ctx); err != nil {
			return err
		}
		if err := c.claimable(ctx); err != nil {
			return err
		}
		for key, value := range map[string]string{
			"copying": c.sourceName(), "epoch": c.from.settings.Epoch, "key": hex.EncodeToString(c.from.settings.Key[:]),
		} {
			const save = `INSERT INTO settings (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
			if _, err := conn.ExecContext(ctx, save, key, value); err != nil {
				return err
			}
		}
		return c.loadPositions(ctx)
	}))
}

// loadPositions reads where the target's rooms end.
func (c *copier) loadPositions(ctx context.Context) error {
	c.at = make(map[int64]int64)
	rows, err := c.to.writer.conn.QueryContext(ctx, `SELECT id, last_seq FROM rooms`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, seq int64
		if err := rows.Scan(&id, &seq); err != nil {
			return err
		}
		c.at[id] = seq
		c.done.Before += seq
	}
	return rows.Err()
}

// finish makes the target a store.
func (c *copier) finish(ctx context.Context) error {
	if c.to.lock != nil {
		m := mark{file: c.to.lock, epoch: c.from.settings.Epoch, entries: c.done.AllMessages}
		if err := m.keep(); err != nil {
			return err
		}
	}
	conn := c.to.writer.conn
	return inTransaction(ctx, c.to.dialect, conn, func() error {
		if c.to.dialect.numbered != "" {
			if _, err := conn.ExecContext(ctx, c.to.dialect.numbered); err != nil {
				return fmt.Errorf("numbering rooms to come: %w", err)
			}
		}
		_, err := conn.ExecContext(ctx, `DELETE FROM settings WHERE key = 'copying'`)
		return err
	})
}
