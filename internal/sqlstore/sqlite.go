package sqlstore

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	driversqlite "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

const (
	readerIdle = time.Minute // a reading connection is closed after

	lockSuffix = ".lock"
)

// sqlite is the dialect of SQLite.
var sqlite = dialect{
	name: "sqlite",
	// A transaction that reads first and writes later can fail with
	// SQLITE_BUSY whatever the timeout: take the lock at once.
	begin:    "BEGIN IMMEDIATE",
	long:     "PRAGMA cache_size = -65536", // KiB
	tables:   "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
	param:    func(int) string { return "?" },
	among:    `IN (SELECT value FROM json_each($1))`,
	names:    jsonList,
	maxRows:  64,
	readers:  4,
	connect:  connectSQLite,
	collided: func(error) bool { return false }, // nobody else writes
	cut:      func(error) bool { return false }, // there is no network
	meet:     meetMark,
	disown:   disownMark,
	explain:  explainSQLite,
}

func connectSQLite(_ *Store, path string, use use) (*sql.DB, error) {
	pragmas := []string{"busy_timeout(5000)", "query_only(1)", "trusted_schema(0)", "temp_store(memory)", "cache_size(-1024)"}
	if use == writing {
		pragmas = []string{
			"busy_timeout(5000)", // bounded wait for a lock of another process
			"journal_mode(wal)",
			"synchronous(full)", // fsync the log at each commit
			"foreign_keys(1)",
			"trusted_schema(0)",
			"temp_store(memory)",
			"cache_size(-4096)",            // KiB
			"wal_autocheckpoint(4000)",     // pages: 16 MiB
			"journal_size_limit(33554432)", // bytes kept of a log that grew
		}
	}
	return sql.Open("sqlite", sqliteDSN(path, pragmas...))
}

// jsonList is how SQLite takes a list as one argument.
func jsonList(texts []string) any {
	list, _ := json.Marshal(texts) // of strings never fails
	return string(list)
}

func sqliteDSN(path string, pragmas ...string) string {
	slash := filepath.ToSlash(path)
	if !strings.HasPrefix(slash, "/") {
		slash = "/" + slash // a Windows drive
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: slash}
	u.RawQuery = url.Values{"_pragma": pragmas, "_error_rc": {"1"}}.Encode()
	return u.String()
}

// prepareSQLite makes the folder of path, locks the database against other
// servers and looks whether the file can be a database at all. It returns the
// absolute path.
func prepareSQLite(path string) (string, *os.File, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", nil, fmt.Errorf("finding the database %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return "", nil, fmt.Errorf("%w: the folder %s cannot be made, choose another: %w", ErrUnwritable, filepath.Dir(abs), err)
	}
	lock, err := lockFile(abs + lockSuffix)
	switch {
	case errors.Is(err, errHeld):
		return "", nil, fmt.Errorf("%w: stop the other one, or give this one another folder: %s", ErrInUse, abs)
	case err != nil:
		return "", nil, fmt.Errorf("%w: make the folder %s writable: %w", ErrUnwritable, filepath.Dir(abs), err)
	}
	if err := checkFile(abs); err != nil {
		return "", nil, errors.Join(err, lock.Close())
	}
	return abs, lock, nil
}

// checkFile tells a file that never was a SQLite database, so that SQLite does
// not have to guess. An empty file is a new database, and so is none: it is
// made here, readable by its owner alone since it will hold the signing key.
// SQLite gives the files beside it the same mode.
func checkFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%w: make %s readable and writable: %w", ErrUnwritable, path, err)
	}
	defer f.Close()
	header := make([]byte, 16)
	n, err := io.ReadFull(f, header)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		if err := inherit(f); err != nil {
			return fmt.Errorf("%w: giving %s to the owner of its folder: %w", ErrUnwritable, path, err)
		}
		return nil
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: make %s a writable file: %w", ErrUnwritable, path, err)
	case string(header[:n]) != "SQLite format 3\x00":
		return fmt.Errorf("%w: %s is not a database file, restore it from a backup or move it away to begin anew",
			ErrDamaged, path)
	}
	return nil
}

// explainSQLite adds what to do to an error of opening the database at path.
func explainSQLite(path string, err error) error {
	switch reason := reasonSQLite(err); reason {
	case nil:
		return fmt.Errorf("the database %s: %w", path, err)
	case ErrEmpty:
		return fmt.Errorf("%w: %s", err, path)
	case ErrUnfinished:
		return fmt.Errorf("%w: run teahouse migrate-store again to finish %s", err, path)
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

// reasonSQLite names the reason of an error of opening a database, nil when it
// is none that is known.
func reasonSQLite(err error) error {
	for _, known := range []error{ErrNewer, ErrDamaged, ErrForeign, ErrEmpty, ErrUnfinished} {
		if errors.Is(err, known) {
			return known
		}
	}
	var e *driversqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB, codes.SQLITE_FORMAT:
			return ErrDamaged
		case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
			return ErrLocked
		case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_FULL, codes.SQLITE_PERM, codes.SQLITE_IOERR:
			return ErrUnwritable
		}
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EROFS) {
		return ErrUnwritable
	}
	return nil
}
