package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/planted"
)

//go:embed migrations
var embedded embed.FS

// migration is one step of the schema. Steps are never changed once released.
type migration struct {
	version int // 1, 2, 3, ...
	name    string
	sql     string
}

// migrations reads the embedded steps of a dialect, files named
// "0001_what_it_does.sql", in order.
func migrations(dialect string) ([]migration, error) {
	files, err := fs.Glob(embedded, path.Join("migrations", dialect, "*.sql")) // sorted
	if err != nil {
		return nil, err
	}
	steps := make([]migration, 0, len(files))
	for i, file := range files {
		number, name, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != i+1 {
			return nil, fmt.Errorf("migration %s: want number %d", file, i+1)
		}
		text, err := embedded.ReadFile(file)
		if err != nil {
			return nil, err
		}
		steps = append(steps, migration{version: version, name: name, sql: string(text)})
	}
	return steps, nil
}

// migrate brings the schema up to the last step. Each step and the record of it
// are one transaction, so that an interrupted upgrade goes on where it stopped.
// Of several servers that start at once, one makes a step and the others wait.
func migrate(ctx context.Context, d dialect, conn *sql.Conn, steps []migration, log *slog.Logger) error {
	fresh := false
	for {
		version, err := schemaVersion(ctx, d, conn)
		if err != nil {
			return err
		}
		if version > len(steps) {
			return fmt.Errorf("%w: its schema is version %d, this Teahouse knows up to %d", ErrNewer, version, len(steps))
		}
		if version == len(steps) {
			return nil
		}
		fresh = fresh || version == 0
		step, start, mine := steps[version], time.Now(), false
		err = inTransaction(ctx, d, conn, func() error {
			if d.guard != "" {
				if _, err := conn.ExecContext(ctx, d.guard); err != nil {
					return fmt.Errorf("waiting for other servers: %w", err)
				}
			}
			now, err := schemaVersion(ctx, d, conn)
			if err != nil || now != version { // another server was first
				return err
			}
			if mine = true; !fresh {
				log.Info("upgrading the database", "version", step.version, "step", step.name)
			}
			return applyMigration(ctx, conn, step)
		})
		if err != nil {
			return fmt.Errorf("migration %d (%s): %w", step.version, step.name, err)
		}
		if mine && !fresh { // a new database is not an upgrade
			log.Info("upgraded the database", "version", step.version, "step", step.name,
				"took", time.Since(start).Round(time.Millisecond))
		}
	}
}

// schemaVersion is the number of the newest step applied, 0 for a database
// without tables. Another program's tables are ErrForeign.
func schemaVersion(ctx context.Context, d dialect, conn *sql.Conn) (int, error) {
	var tables int
	if err := conn.QueryRowContext(ctx, d.tables).Scan(&tables); err != nil {
		return 0, fmt.Errorf("reading the schema: %w", err)
	}
	if tables == 0 {
		return 0, nil
	}
	var ours int
	if err := conn.QueryRowContext(ctx, d.tables+" AND name = 'migrations'").Scan(&ours); err != nil {
		return 0, fmt.Errorf("reading the schema: %w", err)
	}
	if ours == 0 {
		return 0, ErrForeign
	}
	var version int
	err := conn.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM migrations`).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("reading the version of the schema: %w", err)
	}
	return version, nil
}

func applyMigration(ctx context.Context, conn *sql.Conn, step migration) error {
	const record = `CREATE TABLE IF NOT EXISTS migrations (
		version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)`
	for _, statements := range []string{record, step.sql} {
		if _, err := conn.ExecContext(ctx, statements); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, `INSERT INTO migrations (version, name, applied_at) VALUES ($1, $2, $3)`,
		step.version, step.name, time.Now().UnixMilli())
	return err
}

// errBegin is the failure of a transaction that did not even begin: nothing can
// be stored of it.
var errBegin = errors.New("beginning a transaction")

// rollbackWait bounds the wait for a server that may be there no more.
const rollbackWait = 2 * time.Second

// inTransaction runs f in a transaction that will write, on a connection that
// nobody else uses. Whatever fails, the transaction is over when it returns.
func inTransaction(ctx context.Context, d dialect, conn *sql.Conn, f func() error) error {
	if _, err := conn.ExecContext(ctx, d.begin); err != nil {
		return fmt.Errorf("%w: %w", errBegin, err)
	}
	err := f()
	if err == nil {
		if _, err = conn.ExecContext(ctx, "COMMIT"); err == nil || planted.CommitUnchecked {
			return nil
		}
		err = fmt.Errorf("committing: %w", err)
	}
	// After some failures SQLite has rolled back already, and says so: the
	// first error is the one that matters.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackWait)
	defer cancel()
	_, _ = conn.ExecContext(ctx, "ROLLBACK")
	return err
}
