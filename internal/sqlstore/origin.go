package sqlstore

import (
	"context"
	"fmt"
)

// originQuery says which PostgreSQL database this is, and of which history: the
// cluster, its timeline, the database in it and the table of settings. One of
// them is another one after a backup was restored by pg_restore, into whatever
// place, or to a point in time, and after a standby was promoted.
const originQuery = `SELECT concat_ws(' ',
	(SELECT system_identifier FROM pg_control_system()),
	left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
	(SELECT oid FROM pg_database WHERE datname = current_database()),
	to_regclass('settings')::oid)`

// meetOrigin is meet of the dialect of PostgreSQL. The settings hold the origin
// they were made at; when it is not where they are now, a new epoch begins:
// positions that clients hold may name entries that are not there any more, or
// others. Of several servers that start, one begins it. Servers that run learn
// by ErrReplaced, when they connect again.
func meetOrigin(ctx context.Context, s *Store) error {
	conn := s.writer.conn
	if s.program == "" {
		if err := s.obtain(ctx, shareLock, ErrCopying); err != nil {
			return err
		}
	}
	var origin, fsync string
	if err := conn.QueryRowContext(ctx, originQuery).Scan(&origin); err != nil {
		return fmt.Errorf("recognising the database: %w", err)
	}
	renewed := false
	err := inTransaction(ctx, s.dialect, conn, func() error {
		_, err := conn.ExecContext(ctx, `INSERT INTO settings (key, value) VALUES ('origin', $1) ON CONFLICT DO NOTHING`, origin)
		if err != nil {
			return err
		}
		var before string
		if err := conn.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = 'origin' FOR UPDATE`).Scan(&before); err != nil {
			return err
		}
		if renewed = before != origin; renewed {
			const renew = `UPDATE settings SET value = CASE key WHEN 'epoch' THEN $1 ELSE $2 END WHERE key IN ('epoch', 'origin')`
			if _, err := conn.ExecContext(ctx, renew, freshEpoch(), origin); err != nil {
				return err
			}
		}
		return conn.QueryRowContext(ctx, `SELECT value FROM settings WHERE key = 'epoch'`).Scan(&s.settings.Epoch)
	})
	if err != nil {
		return fmt.Errorf("settling the epoch: %w", err)
	}
	s.origin = origin
	if renewed {
		s.log.Warn("a new epoch begins: the database is not where it was, as after restoring a backup or promoting a standby; clients load their rooms afresh",
			"epoch", s.settings.Epoch)
	}
	if err := conn.QueryRowContext(ctx, `SELECT current_setting('fsync')`).Scan(&fsync); err != nil {
		return fmt.Errorf("reading the server's settings: %w", err)
	}
	if fsync == "off" {
		s.log.Warn("PostgreSQL runs with fsync=off: a loss of power loses messages that were acknowledged, or the database")
	}
	return nil
}

// disownOrigin is disown of the dialect of PostgreSQL.
func disownOrigin(ctx context.Context, s *Store) error {
	_, err := s.writer.conn.ExecContext(ctx, `UPDATE settings SET value = 'copied' WHERE key = 'origin'`)
	return err
}
