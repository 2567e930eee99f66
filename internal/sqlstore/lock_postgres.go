package sqlstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Servers share a lock of a PostgreSQL database, and Copy wants it alone. A server
// has it in each of its sessions, so one that only reads is seen too. A session
// that was lost keeps it as long as it can still commit, and the next one gets it
// again before it writes, or does not write. So what Copy has copied is all that
// was ever acknowledged, whatever sessions are called. Servers of before there was
// the lock are known by what theirs are called; those with the lock in another
// schema are not meant.
const (
	serversKey  = `hashtextextended(concat('teahouse serves ', current_schema()), 0)`
	shareLock   = `SELECT pg_try_advisory_lock_shared(` + serversKey + `)`
	excludeLock = `SELECT pg_try_advisory_lock(` + serversKey + `)`
	noneWithout = `SELECT count(*) = 0 FROM pg_stat_activity a
		WHERE datname = current_database() AND application_name = '` + serving + `' AND NOT EXISTS (
			SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.granted)`
)

// othersLeave is how long a session may take to end after its process.
const othersLeave = 2 * time.Second

// obtain asks by a query whether nobody is in the way, which may take a lock for
// as long as the writing connection lasts. While somebody is, it asks again for a
// while.
func (s *Store) obtain(ctx context.Context, query string, refused error) error {
	for end := time.Now().Add(othersLeave); ; {
		var mine bool
		if err := s.writer.conn.QueryRowContext(ctx, query).Scan(&mine); err != nil {
			return fmt.Errorf("looking for who has the database: %w", err)
		}
		if mine {
			return nil
		}
		if time.Now().After(end) {
			return refused
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rejoin readies a new connection of a server that runs: it shares the lock, and
// the database has the epoch that this server has told people.
func (s *Store) rejoin(ctx context.Context, conn *pgx.Conn) error {
	shared := false
	if err := conn.QueryRow(ctx, shareLock, pgx.QueryExecModeExec).Scan(&shared); err != nil {
		return fmt.Errorf("sharing the database: %w", err)
	}
	if !shared {
		return ErrCopying
	}
	const whose = `SELECT o.value, e.value FROM settings o, settings e WHERE o.key = 'origin' AND e.key = 'epoch'`
	var origin, epoch string
	if err := conn.QueryRow(ctx, whose, pgx.QueryExecModeExec).Scan(&origin, &epoch); err != nil {
		return fmt.Errorf("recognising the database: %w", err)
	}
	if origin != s.origin || epoch != s.settings.Epoch { // given up for a copy, or begun anew after that
		return s.isReplaced()
	}
	return nil
}

// isReplaced tells who serves, and is the failure of the call that found it.
func (s *Store) isReplaced() error {
	s.replace.Do(func() { close(s.replaced) })
	return ErrReplaced
}
