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
	names:    func(texts []string) any { return jsonList(texts) },
	ids:      func(ids []int64) any { return jsonList(ids) },
	alone:    true,
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
func jsonList[T string | int64](all []T) any {
	list, _ := json.Marshal(all) // of these never fails
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
	abs, err := realPath(path)
	if err != nil {
		return "", nil, err
	}
	if err := makeFolder(abs); err != nil {
		return "", nil, err
	}
	lock, err := lockFile(abs + lockSuffix)
	switch {
	case errors.Is(err, errHeld):
		return "", nil, failure(ErrInUse, nil, "stop the other one, or give this one another folder: "+abs)
	case err != nil:
		return "", nil, unwritable(ErrUnwritable, abs, err)
	}
	if err := checkFile(abs); err != nil {
		return "", nil, errors.Join(err, unlock(lock))
	}
	return abs, lock, nil
}

// makeFolder makes the folder of the database at a path.
func makeFolder(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return failure(ErrUnwritable, err, fmt.Sprintf("the folder %s cannot be made, choose another", filepath.Dir(path)))
	}
	return nil
}

// unlock frees a lock. The file goes too when there is nothing in it: no database
// was served or copied here.
func unlock(lock *os.File) error {
	if info, err := lock.Stat(); err != nil || info.Size() > 0 {
		return freeLock(lock)
	}
	return removeLock(lock)
}

// checkFile tells a file that never was a SQLite database, so that SQLite does
// not have to guess. An empty file is a new database, and so is none: it is
// made here, readable by its owner alone since it will hold the signing key.
// SQLite gives the files beside it the same mode.
func checkFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unwritable(ErrUnwritable, path, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		if err := inherit(f); err != nil {
			return fmt.Errorf("%w: giving %s to the owner of its folder: %w", ErrUnwritable, path, err)
		}
		return nil
	}
	return checkHeader(path, f)
}

// checkHeader looks at the first bytes of a file that is not empty.
func checkHeader(path string, f io.Reader) error {
	header := make([]byte, 16)
	n, err := io.ReadFull(f, header)
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return unwritable(ErrUnwritable, path, err)
	case string(header[:n]) == "SQLite format 3\x00":
		return nil
	case wasServed(path):
		return failure(ErrDamaged, fmt.Errorf("%s is not a database file any more", path), "restore it from a backup, or move it away to begin anew")
	}
	return failure(ErrForeign, nil, path+" is another kind of file, name another one for the database, or restore it from a backup if this was it")
}

// wasServed says that what is beside a file comes from a database of this name.
func wasServed(path string) bool {
	for _, suffix := range []string{lockSuffix, "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// explainSQLite adds what to do to an error of opening the database at path.
func explainSQLite(path string, err error) error {
	switch reason := reasonSQLite(err); reason {
	case nil:
		return fmt.Errorf("the database %s: %w", path, err)
	case ErrEmpty:
		return failure(reason, err, "see that "+path+" is the right place")
	case ErrUnfinished:
		return failure(reason, err, "run teahouse migrate-store again to finish "+path)
	case ErrNewer:
		return failure(reason, err, "run that version again, or give this one another folder: "+path)
	case ErrDamaged:
		return failure(reason, err, "restore "+path+" from a backup, or move it away to begin anew")
	case ErrForeign:
		return failure(reason, nil, "move "+path+" away, or give Teahouse another folder")
	case ErrLocked:
		return failure(reason, err, "end the program that has "+path+" open")
	default:
		return unwritable(reason, path, whyNot(path, err))
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
	if noMoreFiles(err) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EROFS) {
		return ErrUnwritable
	}
	return nil
}
