// Package sqlstore is chat.Store on an SQL database through database/sql: now
// SQLite. Its nouns are chat's; a dialect holds what differs between databases.
//
// Writing goes through one connection, one transaction per Append, so entries
// are durable and in order when Append returns; reading goes through a small
// pool and never waits for a writer. A failed write closes the writing
// connection and the next one starts with a fresh one, so a fault that passes
// (a full disk, a lock) needs no restart.
//
// A SQLite database belongs to one server at a time: Open takes a lock on a
// file beside it until Close or the end of the process, whatever ends it.
package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Reasons why a database cannot be opened. They come wrapped in a sentence that
// names the file and says what to do.
var (
	ErrNewer      = errors.New("the database was made by a newer Teahouse")
	ErrDamaged    = errors.New("the database is damaged")
	ErrForeign    = errors.New("this is not a Teahouse database")
	ErrInUse      = errors.New("another Teahouse uses this database")
	ErrLocked     = errors.New("another program keeps the database locked")
	ErrUnwritable = errors.New("the database cannot be written")
)

var errClosed = errors.New("sqlstore: closed")

// Store is a chat.Store. Make it with Open and end it with Close.
type Store struct {
	// fixed
	dialect  dialect
	log      *slog.Logger
	reads    *sql.DB
	queries  queries
	settings chat.Settings
	lock     *os.File // keeps other servers away, and holds the mark

	// guarded by mu: one writes at a time
	mu     sync.Mutex
	writes *sql.DB
	writer *writer // nil after a failure, until the next write
	mark   *mark
	closed bool
}

// dialect is what differs between databases.
type dialect struct {
	name     string                 // of its folder of migrations
	driver   string                 // of database/sql
	begin    string                 // starts a transaction that will write
	tables   string                 // query counting the tables that exist
	param    func(n int) string     // placeholder of the nth argument in generated statements
	writeDSN func(at string) string // for the writing connection
	readDSN  func(at string) string // for the reading pool
	explain  func(error) error      // names one of the reasons above, nil when it is none
}

// Open opens the SQLite database at path, making the file and its folder when
// there is none, and brings its schema up to date. A nil logger is slog.Default.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	if log == nil {
		log = slog.Default()
	}
	path, lock, err := prepareSQLite(path)
	if err != nil {
		return nil, err
	}
	s := &Store{dialect: sqlite, log: log, lock: lock}
	if err := s.open(ctx, path); err != nil {
		err = errors.Join(s.explain(path, err), s.Close())
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, at string) error {
	var err error
	if s.writes, err = sql.Open(s.dialect.driver, s.dialect.writeDSN(at)); err != nil {
		return err
	}
	s.writes.SetMaxOpenConns(1)
	if s.writer, err = newWriter(ctx, s.dialect, s.writes); err != nil {
		return err
	}
	steps, err := migrations(s.dialect.name)
	if err != nil {
		return err
	}
	if err := migrate(ctx, s.dialect, s.writer.conn, steps, s.log); err != nil {
		return err
	}
	if s.settings, err = loadSettings(ctx, s.writer.conn); err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	s.mark = readMark(s.lock)
	known := s.mark.epoch != ""
	renewed, err := s.mark.meet(ctx, s.writer.conn, &s.settings)
	if err != nil {
		return err
	}
	if renewed {
		s.log.Warn("a new epoch begins: the database is not as this folder left it, as after restoring a backup; clients load their rooms afresh",
			"epoch", s.settings.Epoch, "folder_known", known)
	}
	if s.reads, err = sql.Open(s.dialect.driver, s.dialect.readDSN(at)); err != nil {
		return err
	}
	s.reads.SetMaxOpenConns(readers)
	s.reads.SetMaxIdleConns(readers)
	s.reads.SetConnMaxIdleTime(readerIdle)
	return s.queries.prepare(ctx, s.reads)
}

// explain adds what to do to an error of opening the database at path.
func (s *Store) explain(path string, err error) error {
	switch reason := s.dialect.explain(err); reason {
	case nil:
		return fmt.Errorf("opening the database %s: %w", path, err)
	case ErrNewer:
		return fmt.Errorf("%w: run that version again, or give this one another folder: %s", err, path)
	case ErrDamaged:
		return fmt.Errorf("%w: restore %s from a backup, or move it away to begin anew: %w", reason, path, err)
	case ErrForeign:
		return fmt.Errorf("%w: move %s away, or give Teahouse another folder", reason, path)
	case ErrLocked:
		return fmt.Errorf("%w: end the program that has %s open: %w", reason, path, err)
	default:
		return fmt.Errorf("%w: make %s and its folder writable, with space left on the disk: %w", reason, path, err)
	}
}

// loadSettings reads the settings and makes them first in a new store.
func loadSettings(ctx context.Context, conn *sql.Conn) (chat.Settings, error) {
	var fresh [8 + 32]byte
	rand.Read(fresh[:])
	_, err := conn.ExecContext(ctx,
		`INSERT INTO settings (key, value) VALUES ('epoch', $1), ('key', $2) ON CONFLICT DO NOTHING`,
		hex.EncodeToString(fresh[:8]), hex.EncodeToString(fresh[8:]))
	if err != nil {
		return chat.Settings{}, err
	}
	var s chat.Settings
	var key string
	err = conn.QueryRowContext(ctx, `SELECT e.value, k.value FROM settings e, settings k
		WHERE e.key = 'epoch' AND k.key = 'key'`).Scan(&s.Epoch, &key)
	if err != nil {
		return chat.Settings{}, err
	}
	if n, err := hex.Decode(s.Key[:], []byte(key)); err != nil || n != len(s.Key) || hex.DecodedLen(len(key)) != n {
		return chat.Settings{}, fmt.Errorf("%w: the signing key is not 64 hexadecimal digits", ErrDamaged)
	}
	return s, nil
}

// Settings implements chat.Store.
func (s *Store) Settings(ctx context.Context) (chat.Settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return chat.Settings{}, errClosed
	}
	return s.settings, ctx.Err()
}

// Close ends the store after the write under way. Calling it again does
// nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	errs = append(errs, s.queries.close())
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.writes != nil {
		errs = append(errs, s.writes.Close()) // last: SQLite then folds the log into the file
	}
	errs = append(errs, s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
