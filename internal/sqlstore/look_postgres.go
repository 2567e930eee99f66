package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// Postgres is what is known of a PostgreSQL database besides what is in it, as
// the user of the address sees it.
type Postgres struct {
	Version  string // "15.6 (Debian 15.6-0+deb12u1)"
	Database string
	User     string
	Schema   string // where the tables are, or would be
	MayMake  bool   // the user may make tables in Schema
	Pooled   bool   // a pooler stands between, which may share sessions

	Needs int // connections a server of Teahouse has at most
	Most  int // connections that this user and all others together may have
	Open  int // of them now, but this one
	Ours  int // of these, those of Teahouse to this database

	Durability string // synchronous_commit, as the user has it; each server raises it from "off"
	Fsync      bool
	FullPages  bool // full_page_writes

	RoundTrip time.Duration // of the smallest query, the median
	Commit    time.Duration // of a transaction that the server must keep on its disk, the median
	Clock     time.Duration // how much its clock is ahead of ours
	Within    time.Duration // how wrong Clock may be
}

// samples of a latency; an odd number has a median.
const samples = 21

// look asks for everything. It changes nothing that is stored: the transactions
// whose commits it measures consist of a message in the server's log that
// nobody reads.
func (p *Postgres) look(ctx context.Context, conn *sql.Conn) error {
	const facts = `SELECT current_setting('server_version'), current_database(), current_user, coalesce(current_schema(), ''),
		coalesce(has_schema_privilege(current_schema(), 'CREATE'), false),
		(SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'),
		current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
		current_setting('max_connections')::int - CASE (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
			WHEN true THEN 0 ELSE current_setting('superuser_reserved_connections')::int END,
		(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
		(SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND datname = current_database() AND pid <> pg_backend_pid())`
	err := conn.QueryRowContext(ctx, facts, serving).Scan(&p.Version, &p.Database, &p.User, &p.Schema,
		&p.MayMake, &p.Durability, &p.Fsync, &p.FullPages, &p.Most, &p.Open, &p.Ours)
	if err != nil {
		return fmt.Errorf("reading the server's settings: %w", err)
	}
	p.Needs = postgres.readers + 1
	if err := p.lookForPooler(ctx, conn); err != nil {
		return err
	}
	return p.measure(ctx, conn)
}

// lookForPooler compares the process that answers with the one that greeted: a
// pooler greets with a number of its own.
func (p *Postgres) lookForPooler(ctx context.Context, conn *sql.Conn) error {
	var answers, greeted uint32
	err := conn.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&answers)
	if err != nil {
		return fmt.Errorf("asking who answers: %w", err)
	}
	err = conn.Raw(func(driver any) error {
		greeted = driver.(*stdlib.Conn).Conn().PgConn().PID()
		return nil
	})
	p.Pooled = answers != greeted
	return err
}

// measure takes the medians of what a server waits for, and compares the clocks
// by the quickest answer.
func (p *Postgres) measure(ctx context.Context, conn *sql.Conn) error {
	var trips, commits []time.Duration
	for range samples {
		var theirs int64
		sent := time.Now()
		err := conn.QueryRowContext(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).Scan(&theirs)
		if err != nil {
			return fmt.Errorf("measuring a round trip: %w", err)
		}
		took := time.Since(sent)
		trips = append(trips, took)
		if took <= slices.Min(trips) {
			p.Clock, p.Within = time.UnixMicro(theirs).Sub(sent.Add(took/2)), took/2
		}
	}
	for range samples {
		sent := time.Now()
		_, err := conn.ExecContext(ctx, `SELECT pg_logical_emit_message(true, 'teahouse', 'measuring a commit')`)
		if err != nil {
			return fmt.Errorf("measuring a commit: %w", err)
		}
		commits = append(commits, time.Since(sent))
	}
	p.RoundTrip, p.Commit = median(trips), median(commits)
	return nil
}

func median(of []time.Duration) time.Duration {
	slices.Sort(of)
	return of[len(of)/2]
}
