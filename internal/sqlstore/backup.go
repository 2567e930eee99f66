package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	driversqlite "modernc.org/sqlite"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Reasons why a backup is not made or not read, besides those of Open.
var (
	ErrExists     = errors.New("the file exists") // and may not be written over
	ErrNotSaved   = errors.New("the backup cannot be written")
	ErrUnreadable = errors.New("the backup cannot be read")
)

// chunkedSince is the version of the schema of SQLite from which a log is in chunks.
const chunkedSince = 3

// stepPages is how much of a database is copied before a rest: 1 MiB.
const stepPages = 256

// partialSuffix ends the name of a backup that is not whole yet.
const partialSuffix = ".partial"

// Archive is a copy of a SQLite database in one file.
type Archive struct {
	Path                    string // absolute
	Bytes                   int64
	Rooms, Messages, People int64 // in it
}

// BackupOptions are what can be chosen of Backup. All may be empty.
type BackupOptions struct {
	Replace  bool                   // what stands at the path of the backup
	Progress func(pages, all int64) // is told after each MiB
}

// Backup copies the SQLite database at a path to a file, while a server uses it
// or not: all that was acknowledged before is in it, and of what comes meanwhile
// the first part or nothing. Neither readers nor the writer wait for it; it rests
// as long as it works, to leave half of the disk to them, and until it ends the
// write-ahead log of the database only grows.
//
// The file is checked, as a database and as logs without holes, and is on the
// disk before it gets its name; so there is never half of a backup by that name.
func Backup(ctx context.Context, at, file string, o BackupOptions) (Archive, error) {
	at, file, err := absolute(at, file)
	if err != nil {
		return Archive{}, err
	}
	if err := present(at); err != nil {
		return Archive{}, err
	}
	if err := free(file, o.Replace); err != nil {
		return Archive{}, err
	}
	if folder := filepath.Dir(file); !exists(folder) {
		return Archive{}, failure(ErrNotSaved, nil, "there is no folder "+folder+", make it first")
	}
	partial := file + partialSuffix
	if err := errors.Join(apart(at, file, "the backup"), apart(at, partial, "the backup")); err != nil {
		return Archive{}, err
	}
	lock, err := lockFile(partial + lockSuffix)
	switch {
	case errors.Is(err, errHeld):
		return Archive{}, failure(ErrNotSaved, nil, "another backup to "+file+" is running")
	case err != nil:
		return Archive{}, unwritable(ErrNotSaved, file, plainly(err))
	}
	a, err := backUp(ctx, at, partial, o.Progress)
	if err == nil {
		if err = free(file, o.Replace); err == nil {
			err = place(partial, file)
		}
	}
	a.Path = file
	return a, errors.Join(err, discard(partial), unlock(lock))
}

// present looks whether there is a file that can be a database.
func present(at string) error {
	info, err := os.Stat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0:
		return explainSQLite(at, ErrEmpty)
	case err != nil:
		return unwritable(ErrUnwritable, at, err)
	case !info.Mode().IsRegular():
		return failure(ErrForeign, nil, at+" is no file, name that of the database")
	}
	f, err := os.Open(at)
	if err != nil {
		return unwritable(ErrUnwritable, at, err)
	}
	defer f.Close()
	return checkHeader(at, f)
}

// plainly is what the system said of a file, without a name that is not the one
// the user gave.
func plainly(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// free makes sure that nothing is written over.
func free(file string, replace bool) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unwritable(ErrNotSaved, file, plainly(err))
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w, and is no file: name another than %s", ErrExists, file)
	case !replace:
		return fmt.Errorf("%w: name another than %s, or say --force to replace it", ErrExists, file)
	}
	return nil
}

// backUp copies and checks the database, at a path that is this call's.
func backUp(ctx context.Context, at, partial string, progress func(pages, all int64)) (a Archive, err error) {
	db, err := sql.Open("sqlite", sqliteDSN(at, "busy_timeout(5000)", "query_only(1)", "trusted_schema(0)", "temp_store(memory)"))
	if err != nil {
		return a, explainSQLite(at, err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return a, explainSQLite(at, err)
	}
	defer conn.Close()
	// A transaction keeps all that follows at one moment, whatever is written.
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return a, explainSQLite(at, err)
	}
	before, err := holding(ctx, conn)
	if err != nil {
		return a, explainSQLite(at, err)
	}
	if err := copyPages(ctx, conn, partial, progress); err != nil {
		return a, explainCopy(ErrNotSaved, partial, err)
	}
	a, err = settle(ctx, partial, ErrNotSaved, nil)
	if err == nil && (a.Rooms != before.Rooms || a.Messages != before.Messages || a.People != before.People) {
		err = fmt.Errorf("%w: the database had %+v, the backup has %+v", ErrUnequal, before, a)
	}
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: restore %s from an earlier backup", err, at)
	}
	return a, err
}

// holding counts what is in a database of ours, and refuses others.
func holding(ctx context.Context, conn *sql.Conn) (a Archive, err error) {
	steps, err := migrations(sqlite.name)
	if err != nil {
		return a, err
	}
	version, err := schemaVersion(ctx, sqlite, conn)
	switch {
	case err != nil:
		return a, err
	case version == 0:
		return a, ErrEmpty
	case version > len(steps):
		return a, fmt.Errorf("%w: its schema is version %d, this Teahouse knows up to %d", ErrNewer, version, len(steps))
	}
	if err := finished(ctx, conn); err != nil {
		return a, err
	}
	const count = `SELECT (SELECT count(*) FROM rooms), (SELECT coalesce(sum(last_seq), 0) FROM rooms), (SELECT count(*) FROM users)`
	if err := conn.QueryRowContext(ctx, count).Scan(&a.Rooms, &a.Messages, &a.People); err != nil {
		return a, fmt.Errorf("counting what it holds: %w", err)
	}
	return a, nil
}

// copyPages copies the database of a connection to a file that is not there, a
// MiB at a time, and with progress, at half of the speed there is.
func copyPages(ctx context.Context, conn *sql.Conn, to string, progress func(pages, all int64)) error {
	if err := discard(to); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // as the database; SQLite would use the umask
	if err != nil {
		return err
	}
	defer f.Close() // what is in it is synced, here and in settle
	if err := inherit(f); err != nil {
		return err
	}
	return conn.Raw(func(c any) error {
		source, ok := c.(interface {
			NewBackup(to string) (*driversqlite.Backup, error)
		})
		if !ok {
			return errors.New("the driver of SQLite makes no backups")
		}
		b, err := source.NewBackup(sqliteDSN(to, "journal_mode(off)", "synchronous(off)"))
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			start := time.Now()
			if more, err = b.Step(stepPages); err != nil {
				break
			}
			// All of it at the end would make commits wait for the disk.
			if err = f.Sync(); err != nil {
				break
			}
			if progress != nil {
				progress(int64(b.PageCount()-b.Remaining()), int64(b.PageCount()))
			}
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case <-time.After(time.Since(start)):
			}
		}
		return errors.Join(err, b.Finish())
	})
}

// settle checks a database that was copied to a path, after it was changed by the
// statements of change if there are any, and leaves it on the disk as one file;
// unsaved is the reason when it cannot.
func settle(ctx context.Context, path string, unsaved error, change func(context.Context, *sql.Conn) error) (a Archive, err error) {
	db, err := sql.Open("sqlite", sqliteDSN(path, "journal_mode(delete)", "synchronous(full)", "trusted_schema(0)", "temp_store(memory)"))
	if err != nil {
		return a, explainCopy(unsaved, path, err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err == nil {
		a, err = check(ctx, conn)
		if err == nil && change != nil {
			err = change(ctx, conn)
		}
		err = errors.Join(err, conn.Close(), db.Close())
	}
	if err != nil {
		return a, explainCopy(unsaved, path, err)
	}
	a.Path = path
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return a, explainCopy(unsaved, path, err)
	}
	if info, err := f.Stat(); err == nil {
		a.Bytes = info.Size()
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return a, explainCopy(unsaved, path, err)
	}
	return a, nil
}

// check looks whether a database is sound, and its logs have no holes.
func check(ctx context.Context, conn *sql.Conn) (a Archive, err error) {
	a, err = holding(ctx, conn)
	if err != nil {
		return a, err
	}
	var found string
	if err := conn.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return a, fmt.Errorf("checking it: %w", err)
	}
	if found != "ok" {
		return a, fmt.Errorf("%w: %s", ErrDamaged, strings.ReplaceAll(found, "\n", " "))
	}
	holed, err := holedRooms(ctx, conn)
	if err != nil {
		return a, fmt.Errorf("checking it: %w", err)
	}
	if holed > 0 {
		return a, fmt.Errorf("%w: in %d rooms messages are missing", ErrDamaged, holed)
	}
	return a, nil
}

// holedRooms counts the rooms whose logs are not what they should be. A backup may
// be older than chunks.
func holedRooms(ctx context.Context, conn *sql.Conn) (holed int, err error) {
	version, err := schemaVersion(ctx, sqlite, conn)
	if err != nil {
		return 0, err
	}
	if version < chunkedSince {
		const rooms = `SELECT count(*) FROM rooms r WHERE last_seq <> (SELECT count(*) FROM messages m WHERE m.room_id = r.id)
			OR last_seq <> (SELECT coalesce(max(seq), 0) FROM messages m WHERE m.room_id = r.id)`
		err := conn.QueryRowContext(ctx, rooms).Scan(&holed)
		return holed, err
	}
	rows, err := conn.QueryContext(ctx, `SELECT r.id, r.last_seq, c.id, c.messages FROM rooms r LEFT JOIN chunks c
		ON c.id BETWEEN r.id << 36 AND r.id << 36 | 0xFFFFFFFFF ORDER BY r.id, c.id`)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var at roomCheck
	for rows.Next() {
		var room, last int64
		var id sql.NullInt64
		var chunk sql.NullString
		if err := rows.Scan(&room, &last, &id, &chunk); err != nil {
			return 0, err
		}
		if room != at.room {
			holed += at.wrong()
			at = roomCheck{room: room, last: last}
		}
		if id.Valid {
			at.add(id.Int64&maxSeq, chunk.String)
		}
	}
	return holed + at.wrong(), rows.Err()
}

// roomCheck reads the chunks of a room, each of which begins where the one before
// it ended.
type roomCheck struct {
	room, last, seq int64
	broken          bool
}

func (r *roomCheck) add(first int64, chunk string) {
	r.broken = r.broken || first != r.seq+1
	err := readChunk(chunk, func(chat.Message) { r.seq++ })
	r.broken = r.broken || err != nil
}

// wrong is how many rooms this one adds to those that have holes.
func (r *roomCheck) wrong() int {
	if r.broken || r.seq != r.last {
		return 1
	}
	return 0
}

// explainCopy is explainSQLite for a file that is no server's database; unsaved is
// the reason when it cannot be written.
func explainCopy(unsaved error, path string, err error) error {
	switch reason := reasonSQLite(err); {
	case errors.Is(reason, ErrUnwritable):
		return unwritable(unsaved, strings.TrimSuffix(path, partialSuffix), whyNot(path, err))
	case reason != nil && !errors.Is(err, reason):
		return fmt.Errorf("%w: %w", reason, err)
	}
	return err
}

// absolute makes two paths absolute, which may not be one file.
func absolute(at, file string) (string, string, error) {
	at, err := realPath(at)
	if err != nil {
		return "", "", err
	}
	if file, err = filepath.Abs(file); err != nil {
		return "", "", fmt.Errorf("finding %s: %w", file, err)
	}
	if same(at, file) {
		return "", "", fmt.Errorf("%w: %s is the database itself, name another file", ErrExists, file)
	}
	return at, file, nil
}

// place gives a file that is on the disk its name, for good.
func place(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return unwritable(ErrUnwritable, to, err)
	}
	return syncFolder(filepath.Dir(to))
}

// syncFolder makes the names in a folder outlast a loss of power, where a folder
// can be told to.
func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the folder %s: %w", path, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("storing the folder %s: %w", path, err)
	}
	return nil
}

// discard removes a database and what SQLite may have left beside it.
func discard(path string) error {
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
