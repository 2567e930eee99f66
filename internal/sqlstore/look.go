package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
)

// Sight is what a database tells about itself to somebody who only looks.
type Sight struct {
	Schema int // steps of the schema that were applied; 0 is a database without tables
	Steps  int // that this Teahouse knows

	Rooms, Entries int64 // of all rooms together

	File     *File     // nil for PostgreSQL
	Postgres *Postgres // nil for SQLite
}

// File is what is known of a SQLite database besides what is in it.
type File struct {
	Path  string // absolute
	Bytes int64  // with its log; 0 when there is none, or nothing in it
	InUse bool   // a server has it now
	Wrong string // what SQLite found wrong in it, if it was asked to; "" is nothing
}

// looking is what a session is called that looks: it is none of a server.
const looking = "teahouse doctor"

// Look reads what a database tells about itself, and changes nothing: it makes
// no file and no table and brings no schema up to date, and servers may use the
// database meanwhile. Deep also asks SQLite to read all of its pages, which
// takes as long as that takes, until ctx ends. Errors are those of Open.
//
// Of a SQLite database that nobody has, it takes the lock for some microseconds
// to know that.
func Look(ctx context.Context, at string, deep bool) (Sight, error) {
	steps, err := migrations(dialectOf(at).name)
	if err != nil {
		return Sight{}, err
	}
	seen := Sight{Steps: len(steps)}
	if IsPostgres(at) {
		err = seen.lookPostgres(ctx, at)
		if err != nil {
			err = explainPostgres(at, err)
		}
		return seen, err
	}
	path, err := realPath(at)
	if err != nil {
		return seen, err
	}
	seen.File = &File{Path: path}
	return seen, seen.lookSQLite(ctx, deep)
}

func dialectOf(at string) dialect {
	if IsPostgres(at) {
		return postgres
	}
	return sqlite
}

// lookSQLite looks at the file first, so that SQLite makes none and does not
// have to guess.
func (s *Sight) lookSQLite(ctx context.Context, deep bool) error {
	info, err := os.Stat(s.File.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unwritable(ErrUnwritable, s.File.Path, err)
	}
	if err := checkFile(s.File.Path); err != nil {
		return err
	}
	if s.File.Bytes = info.Size(); s.File.Bytes == 0 {
		return nil
	}
	if s.File.InUse, err = inUse(s.File.Path); err != nil {
		return err
	}
	if log, err := os.Stat(s.File.Path + "-wal"); err == nil {
		s.File.Bytes += log.Size()
	}
	db, err := sql.Open("sqlite", sqliteDSN(s.File.Path, "query_only(1)", "trusted_schema(0)", "temp_store(memory)", "busy_timeout(1000)")+s.File.access())
	if err != nil {
		return explainSQLite(s.File.Path, err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err == nil {
		err = errors.Join(s.count(ctx, sqlite, conn), s.deep(ctx, conn, deep), conn.Close())
	}
	if err != nil {
		return explainSQLite(s.File.Path, err)
	}
	return nil
}

// access is how to open the file so that nothing is made beside it: of a
// database that nobody has and whose log was folded into it, as that of a disk
// that cannot change, else for reading, with the log that is there.
func (f *File) access() string {
	log, err := os.Stat(f.Path + "-wal")
	if !f.InUse && (err != nil || log.Size() == 0) {
		return "&immutable=1"
	}
	return "&mode=ro"
}

// inUse says that a server has the lock of a database.
func inUse(path string) (bool, error) {
	if _, err := os.Stat(path + lockSuffix); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	lock, err := lockFile(path + lockSuffix)
	switch {
	case errors.Is(err, errHeld):
		return true, nil
	case err != nil:
		return false, unwritable(ErrUnwritable, path+lockSuffix, err)
	}
	return false, freeLock(lock)
}

// count reads the version of the schema and, when it is one that is known, how
// much is in the log.
func (s *Sight) count(ctx context.Context, d dialect, conn *sql.Conn) error {
	var err error
	if s.Schema, err = schemaVersion(ctx, d, conn); err != nil {
		return err
	}
	if s.Schema > s.Steps {
		return fmt.Errorf("%w: its schema is version %d, this Teahouse knows up to %d", ErrNewer, s.Schema, s.Steps)
	}
	if s.Schema == 0 {
		return nil
	}
	if err := finished(ctx, conn); err != nil {
		return err
	}
	const all = `SELECT count(*), CAST(coalesce(sum(last_seq), 0) AS BIGINT) FROM rooms`
	if err := conn.QueryRowContext(ctx, all).Scan(&s.Rooms, &s.Entries); err != nil {
		return fmt.Errorf("counting the entries: %w", err)
	}
	return nil
}

// deep asks SQLite to read everything.
func (s *Sight) deep(ctx context.Context, conn *sql.Conn, wanted bool) error {
	if !wanted {
		return nil
	}
	var found string
	if err := conn.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return fmt.Errorf("reading all of it: %w", err)
	}
	if found != "ok" {
		s.File.Wrong = found
	}
	return nil
}

// lookPostgres connects as a server does to write.
func (s *Sight) lookPostgres(ctx context.Context, at string) error {
	store := &Store{dialect: postgres, log: slog.New(slog.DiscardHandler), program: looking}
	db, err := connectPostgres(store, at, writing)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	s.Postgres = &Postgres{}
	return errors.Join(s.count(ctx, postgres, conn), s.Postgres.look(ctx, conn), conn.Close())
}
