// Package sqlstore is chat.Store on an SQL database through database/sql: SQLite
// or PostgreSQL. Its nouns are chat's; a dialect holds what differs between them.
//
// Writing goes through one connection, one transaction per Append, so entries
// are durable and in order when Append returns; reading goes through a small
// pool and never waits for a writer. A failed write closes the writing
// connection and the next one starts with a fresh one, so a fault that passes
// (a full disk, a lock) needs no restart.
//
// A SQLite database belongs to one server at a time: Open takes a lock on a
// file beside it until Close or the end of the process, whatever ends it.
//
// A PostgreSQL database may be shared by several servers. A transaction locks the
// rows of its rooms, always in the same order, and reads what others have stored
// in them since; so a room's numbers are dense, in the order of the commits, and
// each nonce is stored once, whichever servers append. Nothing waits without a bound: the server ends statements, locks and
// idle transactions after seconds, and each call of the store has a deadline.
// When the answer of a commit was lost, the next write first ends the session
// that was left behind; so what is not stored then never will be.
//
// Backup saves a SQLite database while it is served, and Restore puts one back.
// Copy moves a log to another database of either kind. What they make is whole,
// or is no database that anything opens.
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
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Reasons why a database cannot be opened. They come in a Failure, which names the
// file or the place and says what to do.
var (
	ErrNewer      = errors.New("the database was made by a newer Teahouse")
	ErrDamaged    = errors.New("the database is damaged")
	ErrForeign    = errors.New("this is not a Teahouse database")
	ErrInUse      = errors.New("another Teahouse uses this database")
	ErrLocked     = errors.New("another program keeps the database locked")
	ErrUnwritable = errors.New("the database cannot be written")

	ErrFiles = errors.New("no more files can be opened")

	ErrAddress     = errors.New("this is not an address of a PostgreSQL database")
	ErrSetting     = errors.New("PostgreSQL does not take a setting of the address")
	ErrUnreachable = errors.New("PostgreSQL cannot be reached")
	ErrTLS         = errors.New("PostgreSQL cannot be reached by TLS")
	ErrFull        = errors.New("PostgreSQL takes no more connections")
	ErrRefused     = errors.New("PostgreSQL refuses this user")
	ErrNoDatabase  = errors.New("PostgreSQL has no such database")
	ErrUnsuitable  = errors.New("this PostgreSQL database is not suitable")

	ErrEmpty      = errors.New("there is no Teahouse database")
	ErrUnfinished = errors.New("this database is an unfinished copy of another one")
)

// ErrReplaced is the failure of calls after the database behind an address has
// become another one, as when a backup was restored or a standby promoted: what
// this server has told people may not be in it. Only opening it again helps.
var ErrReplaced = errors.New("the database is not the one this server was started with: restart the server")

var errClosed = errors.New("sqlstore: closed")

// Store is a chat.Store. Make it with Open and end it with Close.
type Store struct {
	// fixed
	dialect  dialect
	log      *slog.Logger
	program  string // what its sessions are called; "" is what those of servers are
	reads    *sql.DB
	queries  queries
	reading  readers
	settings chat.Settings
	lock     *os.File // SQLite: keeps other servers away, and holds the mark
	origin   string   // PostgreSQL: which database this is, see originQuery; empty until it is known
	replaced chan struct{}
	replace  sync.Once // closes replaced

	count  counters
	outage atomic.Pointer[outage] // the newest; nil for none
	people turn                   // of those who store people, who then wait for mu

	// guarded by mu: one writes at a time
	mu     turn
	writes *sql.DB
	writer *writer // nil after a failure, until the next write
	before string  // session of the writer that failed
	mark   *mark   // nil for PostgreSQL
	closed bool
}

// dialect is what differs between databases.
type dialect struct {
	name       string                                                          // of its folder of migrations
	connect    func(s *Store, at string, use use) (*sql.DB, error)             // opens a pool, without connecting
	begin      string                                                          // starts a transaction that will write
	guard      string                                                          // in a transaction, keeps other servers from migrating
	tables     string                                                          // query counting the tables that exist
	recognise  string                                                          // query naming the database, see originQuery; "" where a lock says it
	exclude    []string                                                        // queries: whether servers are locked out; none where the lock file does that
	long       string                                                          // settings of a connection that reads or writes everything
	freeze     string                                                          // in a transaction, keeps everybody else from writing
	numbered   string                                                          // after rooms were stored with their ids: the next one is higher
	lockRooms  string                                                          // end of a query of rooms: nobody else writes them until the commit
	param      func(n int) string                                              // placeholder of the nth argument in generated statements
	among      string                                                          // condition: a column is among the texts in $1, which names makes
	names      func(texts []string) any                                        // the argument of among
	ids        func(ids []int64) any                                           // the same for numbers
	alone      bool                                                            // nobody else writes: what is known of rooms and people stays true
	maxRows    int                                                             // most rows in one generated statement, a power of two; 0 where a column of many rows can be one argument
	readers    int                                                             // reading connections at most
	patience   time.Duration                                                   // a call takes at most; 0 where there is no network
	session    string                                                          // query naming the session with the server; "" for none
	collided   func(error) bool                                                // a transaction is to be done again
	cut        func(error) bool                                                // the connection was lost: what only reads may be done again on another
	meet       func(ctx context.Context, s *Store) error                       // settles the epoch, see Settings
	disown     func(ctx context.Context, s *Store) error                       // makes the next meet begin a new epoch
	explain    func(at string, err error) error                                // names a reason above and says what to do
	endSession func(ctx context.Context, conn *sql.Conn, session string) error // ends a session that was lost
}

// use is what connections are for.
type use int

const (
	writing use = iota
	reading
)

// Open opens a database and brings its schema up to date: PostgreSQL when at
// begins with postgres:// or postgresql://, else the SQLite database at that path,
// making the file and its folder when there is none. A nil logger is slog.Default.
func Open(ctx context.Context, at string, log *slog.Logger) (*Store, error) {
	return begin(ctx, at, log, (*Store).serve)
}

// begin opens a database for what use then makes of it; at is absolute there.
func begin(ctx context.Context, at string, log *slog.Logger, use func(s *Store, ctx context.Context, at string) error) (*Store, error) {
	if log == nil {
		log = slog.Default()
	}
	s := &Store{dialect: postgres, log: log, replaced: make(chan struct{}), mu: newTurn(), people: newTurn()}
	if !IsPostgres(at) {
		s.dialect = sqlite
		var err error
		if at, s.lock, err = prepareSQLite(at); err != nil {
			return nil, err
		}
	}
	s.reading = newReaders(s.dialect.readers)
	if err := use(s, ctx, at); err != nil {
		return nil, errors.Join(s.dialect.explain(at, err), s.Close())
	}
	return s, nil
}

// serve opens the store for a server.
func (s *Store) serve(ctx context.Context, at string) error {
	if err := s.connect(ctx, at); err != nil {
		return err
	}
	if err := s.upgrade(ctx); err != nil {
		return err
	}
	if err := s.fileRest(ctx); err != nil {
		return err
	}
	if err := s.dialect.meet(ctx, s); err != nil {
		return err
	}
	var err error
	if s.reads, err = s.dialect.connect(s, at, reading); err != nil {
		return err
	}
	s.reads.SetMaxOpenConns(s.dialect.readers)
	s.reads.SetMaxIdleConns(s.dialect.readers)
	s.reads.SetConnMaxIdleTime(readerIdle)
	return s.queries.prepare(ctx, &s.dialect, s.reads)
}

// connect opens the writing connection.
func (s *Store) connect(ctx context.Context, at string) error {
	var err error
	if s.writes, err = s.dialect.connect(s, at, writing); err != nil {
		return err
	}
	s.writes.SetMaxOpenConns(1)
	s.writer, err = newWriter(ctx, s.dialect, s.writes, "")
	return err
}

// migrateAll brings the schema up to date.
func (s *Store) migrateAll(ctx context.Context) error {
	steps, err := migrations(s.dialect.name)
	if err != nil {
		return err
	}
	return migrate(ctx, s.dialect, s.writer.conn, steps, s.log)
}

// upgrade brings the schema up to date and reads the settings. What another
// database is being copied into is left alone.
func (s *Store) upgrade(ctx context.Context) error {
	if err := s.migrateAll(ctx); err != nil {
		return err
	}
	if err := finished(ctx, s.writer.conn); err != nil {
		return err
	}
	var err error
	if s.settings, err = loadSettings(ctx, s.writer.conn); err != nil {
		return fmt.Errorf("reading the settings: %w", err)
	}
	return nil
}

// freshEpoch is a new value for Settings.Epoch.
func freshEpoch() string {
	var fresh [8]byte
	rand.Read(fresh[:]) // never fails
	return hex.EncodeToString(fresh[:])
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

// Replaced is closed when calls have begun to fail with ErrReplaced.
func (s *Store) Replaced() <-chan struct{} { return s.replaced }

// Close ends the store after the write under way; reads across a network end with
// it. Calling it again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.reading.end()
	var errs []error
	errs = append(errs, s.queries.close())
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.writer != nil {
		if s.mark != nil {
			if err := s.mark.leave(context.Background(), s.writer.conn); err != nil {
				s.log.Warn("a copy of this folder, put back, may not be noticed", "err", err)
			}
		}
		errs = append(errs, s.writer.close())
	}
	if s.writes != nil {
		errs = append(errs, s.writes.Close()) // last: SQLite then folds the log into the file
	}
	if s.lock != nil {
		errs = append(errs, unlock(s.lock))
	}
	// What the network has cut is closed: everything acknowledged is stored.
	if err := errors.Join(errs...); err != nil && !s.dialect.cut(err) {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}
