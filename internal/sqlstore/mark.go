package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// mark is what the file beside the database knows of it: the epoch, and how
// many entries it had. When a backup takes the database's place, or another
// database does, the two disagree, and the store begins a new epoch: positions
// that clients hold may name entries that are not there any more, or others.
//
// The mark is written after each commit and never synced. So it may know fewer
// entries than the database, after a loss of power, but never more.
type mark struct {
	file    *os.File // the lock file
	epoch   string
	entries int64
}

const markFormat = "%016s %020d\n"

// readMark reads the mark of an earlier run. It is zero when there is none.
func readMark(file *os.File) *mark {
	m := &mark{file: file}
	var line [64]byte
	n, _ := file.ReadAt(line[:], 0) // shorter than line: io.EOF, like a file that was never written
	if _, err := fmt.Sscanf(string(line[:n]), "%16s %d\n", &m.epoch, &m.entries); err != nil {
		return &mark{file: file}
	}
	return m
}

// add notes that entries were stored.
func (m *mark) add(entries int) error {
	m.entries += int64(entries)
	_, err := fmt.Fprintf(atStart{m.file}, markFormat, m.epoch, m.entries)
	return err
}

// atStart writes at the beginning of a file.
type atStart struct{ file *os.File }

func (a atStart) Write(p []byte) (int, error) { return a.file.WriteAt(p, 0) }

// meetMark is meet of the dialect of SQLite. A store has its mark only when it has
// met all of it: who is interrupted before must not leave as if it had.
func meetMark(ctx context.Context, s *Store) error {
	m := readMark(s.lock)
	known := m.epoch != ""
	moved, err := m.moved(ctx, s.writer.conn)
	if err != nil {
		return err
	}
	renewed, err := m.meet(ctx, s.writer.conn, &s.settings, moved != "")
	if err != nil {
		return err
	}
	if at, ok := spotOf(m.file); ok {
		at.changed = 0
		if err := at.save(ctx, s.writer.conn); err != nil {
			return err
		}
	}
	s.mark = m
	if renewed {
		s.log.Warn("a new epoch begins: the database is not as this folder left it, as after restoring a backup; clients load their rooms afresh",
			"epoch", s.settings.Epoch, "folder_known", known, "lock_file", cmp.Or(moved, "as it was left"))
	}
	return nil
}

// meet compares the mark with the database and brings it up to it, drawing a new
// epoch when the database is not the one the mark was made for, or an older
// state of it, or both were moved together.
func (m *mark) meet(ctx context.Context, conn *sql.Conn, s *chat.Settings, moved bool) (renewed bool, err error) {
	var entries int64
	if err := conn.QueryRowContext(ctx, `SELECT coalesce(sum(last_seq), 0) FROM rooms`).Scan(&entries); err != nil {
		return false, fmt.Errorf("counting the entries: %w", err)
	}
	if moved || entries < m.entries || entries > 0 && m.epoch != s.Epoch {
		epoch := freshEpoch()
		if _, err := conn.ExecContext(ctx, `UPDATE settings SET value = $1 WHERE key = 'epoch'`, epoch); err != nil {
			return false, fmt.Errorf("beginning a new epoch: %w", err)
		}
		s.Epoch, renewed = epoch, true
	}
	m.epoch, m.entries = s.Epoch, entries
	if err := m.add(0); err != nil {
		return renewed, fmt.Errorf("%w: noting the epoch beside it: %w", ErrUnwritable, err)
	}
	return renewed, nil
}

// disownMark is disown of the dialect of SQLite: the mark is then of no database.
func disownMark(_ context.Context, s *Store) error {
	s.mark.epoch, s.mark.entries = "", 0
	return s.mark.keep()
}

// keep writes the mark so that it also outlasts a loss of power.
func (m *mark) keep() error {
	err := m.add(0)
	if err == nil {
		err = m.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("%w: noting the epoch beside it: %w", ErrUnwritable, err)
	}
	return nil
}

// spot is where the lock file is, which the database knows too. A copy of the
// whole folder, put back or served elsewhere, has its mark with it and may be of
// any time; but its lock file is another one, or was written since, which no copy
// can hide. A folder that was only renamed is the same. Whatever else changes the
// lock file after the server, such as chown, costs a new epoch, and nothing else.
type spot struct {
	inode   uint64
	changed int64 // when the file changed last, as it was left, in ns; 0 while a server has it
}

const spotFormat = "%d %d"

// What is seen of a lock file that is not where, or as, the last server left it.
const (
	inodeDiffers = "another file (its inode differs)"
	ctimeDiffers = "touched since (its ctime differs, as after chown, chmod or writing)"
)

// moved says what is seen of the lock file, "" when it is as the last server left it.
func (m *mark) moved(ctx context.Context, conn *sql.Conn) (string, error) {
	var saved string
	err := conn.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = 'spot'`).Scan(&saved)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("reading the settings: %w", err)
	}
	var left spot
	if _, err := fmt.Sscanf(saved, spotFormat, &left.inode, &left.changed); err != nil {
		return "", fmt.Errorf("%w: its spot is %q", ErrDamaged, saved)
	}
	now, ok := spotOf(m.file)
	switch {
	case !ok:
	case now.inode != left.inode:
		return inodeDiffers, nil
	case left.changed != 0 && now.changed != left.changed:
		return ctimeDiffers, nil
	}
	return "", nil
}

// save notes a spot in the database.
func (p spot) save(ctx context.Context, conn *sql.Conn) error {
	const save = `INSERT INTO settings (key, value) VALUES ('spot', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	if _, err := conn.ExecContext(ctx, save, fmt.Sprintf(spotFormat, p.inode, p.changed)); err != nil {
		return fmt.Errorf("noting the spot of the database: %w", err)
	}
	return nil
}

// leave notes how the last server left the lock file, which nobody writes after.
func (m *mark) leave(ctx context.Context, conn *sql.Conn) error {
	if err := m.file.Sync(); err != nil {
		return err
	}
	at, ok := spotOf(m.file)
	if !ok {
		return nil
	}
	return at.save(ctx, conn)
}
