package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Restored is what Restore has done.
type Restored struct {
	Archive        // where it is now
	Aside   string // path of the database that was there before; "" when there was none
	Epoch   string // the new one
}

// Restore makes a file that Backup has written, or another database of Teahouse,
// the SQLite database at a path. It has a new epoch, so that clients that saw what
// is not in it load their rooms afresh, and the key that it had, so that guests
// stay who they are.
//
// It refuses with ErrInUse while a server runs or somebody reads what it would put
// aside, and with ErrExists when there is a database, unless that may be replaced;
// then it stays beside the new one by another name. The new one is checked and on
// the disk before it gets its name, in one step: whenever Restore is interrupted,
// either of the two is there whole.
func Restore(ctx context.Context, file, at string, replace bool) (r Restored, err error) {
	at, file, err = absolute(at, file)
	if err != nil {
		return r, err
	}
	if err := readable(file); err != nil {
		return r, err
	}
	made := missingAbove(at)
	defer func() {
		for _, folder := range made { // of what was refused; a folder that holds something stays
			if err != nil {
				_ = os.Remove(folder)
			}
		}
	}()
	fresh := at + ".restoring"
	if file, err = realPath(file); err == nil {
		err = errors.Join(apart(file, at, "the restore"), apart(file, fresh, "the restore"))
	}
	if err != nil {
		return r, err
	}
	if err := makeFolder(at); err != nil {
		return r, err
	}
	lock, err := lockFile(at + lockSuffix)
	switch {
	case errors.Is(err, errHeld):
		return r, failure(ErrInUse, nil, "stop the server that has "+at+" first")
	case err != nil:
		return r, unwritable(ErrUnwritable, at, err)
	}
	defer func() { err = errors.Join(err, unlock(lock)) }()
	there := exists(at) || exists(at+"-wal")
	if there && !replace {
		return r, fmt.Errorf("%w: say --force to put %s aside, or name another place", ErrExists, at)
	}
	defer func() { err = errors.Join(err, discard(fresh)) }()
	if r, err = bringBack(ctx, file, fresh); err != nil {
		return r, err
	}
	if there {
		if r.Aside, err = putAside(ctx, at); err != nil {
			return r, err
		}
	}
	if err := place(fresh, at); err != nil {
		return r, err
	}
	r.Path = at
	m := mark{file: lock, epoch: r.Epoch, entries: r.Messages}
	return r, m.keep()
}

// missingAbove are the folders of a path that are not there, the innermost first.
func missingAbove(path string) (missing []string) {
	for folder := filepath.Dir(path); !exists(folder) && folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		missing = append(missing, folder)
	}
	return missing
}

// which names what Restore takes.
const which = "name the file that teahouse backup has written"

// readable looks whether a file can be a backup.
func readable(file string) error {
	f, err := os.Open(file)
	switch {
	case noMoreFiles(err):
		return failure(ErrFiles, err, moreFiles)
	case errors.Is(err, fs.ErrPermission):
		return failure(ErrUnreadable, err, "let this user read it, or run this as root or as the user it belongs to")
	case err != nil:
		return failure(ErrUnreadable, err, which)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return failure(ErrUnreadable, err, which)
	case info.IsDir():
		return failure(ErrUnreadable, fmt.Errorf("%s is a folder", file), which)
	case !info.Mode().IsRegular():
		return failure(ErrUnreadable, fmt.Errorf("%s is no file", file), which)
	case info.Size() == 0:
		return failure(ErrEmpty, fmt.Errorf("%s has nothing in it", file), which)
	}
	return nil
}

// explainBackup is explainSQLite for a backup that is read.
func explainBackup(file string, err error) error {
	switch reason := reasonSQLite(err); {
	case reason == nil:
		return fmt.Errorf("the backup %s: %w", file, err)
	case errors.Is(reason, ErrUnwritable):
		return failure(ErrUnreadable, err, which+", not "+file)
	}
	return fmt.Errorf("the backup %s: %w", file, explainCopy(ErrUnreadable, file, err))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// bringBack copies a backup, checks the copy and gives it a new epoch.
func bringBack(ctx context.Context, file, fresh string) (r Restored, err error) {
	// A backup is one file, on a disk that may be for reading only; what somebody
	// copied from a server's folder may have its log beside it.
	access := "&immutable=1"
	if log, err := os.Stat(file + "-wal"); err == nil && log.Size() > 0 {
		access = "&mode=ro"
	}
	db, err := sql.Open("sqlite", sqliteDSN(file, "busy_timeout(5000)", "query_only(1)", "trusted_schema(0)", "temp_store(memory)")+access)
	if err != nil {
		return r, explainBackup(file, err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return r, explainBackup(file, err)
	}
	defer conn.Close()
	if _, err := holding(ctx, conn); err != nil {
		return r, explainBackup(file, err)
	}
	if err := copyPages(ctx, conn, fresh, nil); err != nil {
		return r, explainCopy(ErrUnwritable, fresh, err)
	}
	r.Epoch = freshEpoch()
	r.Archive, err = settle(ctx, fresh, ErrUnwritable, func(ctx context.Context, conn *sql.Conn) error {
		if _, err := loadSettings(ctx, conn); err != nil {
			return fmt.Errorf("reading the settings: %w", err)
		}
		_, err := conn.ExecContext(ctx, `UPDATE settings SET value = $1 WHERE key = 'epoch'; DELETE FROM settings WHERE key = 'spot'`, r.Epoch)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("the backup %s: %w", file, err)
	}
	return r, nil
}

// putAside gives the database at a path, which nobody uses, a second name, and
// sees to it that there is no log beside the first: SQLite would apply it to
// whatever takes the name.
func putAside(ctx context.Context, at string) (string, error) {
	aside := at + ".before-" + time.Now().UTC().Format("20060102-150405")
	for n := 2; exists(aside) || exists(aside+"-wal"); n++ { // the log alone, where that was all there was
		aside = fmt.Sprintf("%s.before-%s-%d", at, time.Now().UTC().Format("20060102-150405"), n)
	}
	if err := foldLog(ctx, at); err != nil {
		return "", err
	}
	for _, suffix := range []string{"-wal", "-shm"} { // of a database that cannot be read
		if err := os.Rename(at+suffix, aside+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("putting %s aside: %w", at+suffix, err)
		}
	}
	err := os.Link(at, aside)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a file system without links
		err = os.Rename(at, aside)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("putting %s aside: %w", at, err)
	}
	return aside, syncFolder(filepath.Dir(at))
}

// foldLog brings what is in the log of a database into its file: before, one of
// them alone is not the database, and nothing may get another name. Of what is
// damaged nothing is whole, and the log stays.
func foldLog(ctx context.Context, at string) error {
	if !exists(at) {
		return nil
	}
	db, err := connectSQLite(nil, at, writing)
	if err != nil {
		return explainSQLite(at, err)
	}
	defer db.Close()
	var busy, pages, folded int
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &folded)
	switch reason := reasonSQLite(err); {
	case err == nil && busy != 0 || reason == ErrLocked:
		return failure(ErrInUse, nil, "end what reads "+at+", such as a backup, first")
	case err != nil && reason != ErrDamaged:
		return explainSQLite(at, err)
	}
	return nil
}
