package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/teahouse-chat/teahouse/internal/planted"
)

const (
	postgresReaders = 8                        // connections for reading; one more writes
	oldestPostgres  = 14                       // major version; pg_terminate_backend can wait since then
	serving         = "teahouse"               // what the sessions of servers are called, unless the address says otherwise
	copying         = "teahouse migrate-store" // and those of Copy
	connectPatience = 4 * time.Second          // for all hosts of an address together
	hostPatience    = time.Second              // for each of them at least, while the time of a call lasts
	sessionPatience = 2 * time.Second          // for a session to end

	postgresPatience = 10 * time.Second // for a call
)

// postgres is the dialect of PostgreSQL.
var postgres = dialect{
	name: "postgres",
	// Each statement sees what was committed before it, so what is read under
	// a room's lock is the newest there is.
	begin: "BEGIN ISOLATION LEVEL READ COMMITTED",
	guard: `SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0;
		SELECT pg_advisory_xact_lock(hashtextextended('teahouse ' || current_schema(), 0))`,
	tables:    `SELECT count(*) FROM (SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()) t WHERE true`,
	recognise: originQuery,
	exclude:   []string{excludeLock, noneWithout},
	long:      `SET statement_timeout = 0; SET enable_sort = off; SET enable_bitmapscan = off`, // rows come in order, at once
	freeze: `SET LOCAL idle_in_transaction_session_timeout = 0;
		LOCK TABLE users, logins, rooms, chunks, nonces IN EXCLUSIVE MODE`,
	numbered: `SELECT setval(pg_get_serial_sequence('rooms', 'id'), coalesce(max(id), 0) + 1, false) FROM rooms;
		ANALYZE users, logins, rooms, chunks`,
	lockRooms:  ` ORDER BY slug FOR NO KEY UPDATE`,
	param:      func(n int) string { return "$" + strconv.Itoa(n) },
	among:      `= ANY ($1)`,
	names:      func(texts []string) any { return texts },
	ids:        func(ids []int64) any { return ids },
	readers:    postgresReaders,
	patience:   postgresPatience,
	session:    `SELECT pid || ' ' || extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = pg_backend_pid()`,
	connect:    connectPostgres,
	collided:   collidedPostgres,
	cut:        cutPostgres,
	meet:       meetOrigin,
	disown:     disownOrigin,
	explain:    explainPostgres,
	endSession: endPostgresSession,
}

// limits are settings of each session, in milliseconds where they are times,
// unless the address sets them. An idle transaction is one whose server stands
// still or cannot be reached: others wait for the rooms it has locked, and what
// was lost with its connection must be decided before chat.Service looks for the
// last time whether it was stored, 5 s after a failure.
var limits = map[string]string{
	"application_name":                    serving,
	"statement_timeout":                   "8000",
	"lock_timeout":                        "5000",
	"idle_in_transaction_session_timeout": "3000",
	"jit":                                 "off", // all statements are small
}

// purposes are the settings that differ.
var purposes = map[use]map[string]string{
	writing: {
		"plan_cache_mode": "force_generic_plan", // lists of rows take longer to plan than to run
		// All look rows up by their keys, and a plan outlives the time in which a table is small.
		"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
	},
	reading: {"default_transaction_read_only": "on", "max_parallel_workers_per_gather": "0"},
}

func connectPostgres(s *Store, at string, use use) (*sql.DB, error) {
	config, err := parseAddress(at)
	if err != nil {
		return nil, err
	}
	for _, settings := range []map[string]string{limits, purposes[use]} {
		for name, value := range settings {
			if _, chosen := config.RuntimeParams[name]; !chosen {
				config.RuntimeParams[name] = value
			}
		}
	}
	if s.program != "" {
		config.RuntimeParams["application_name"] = s.program
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectWithin(config)
	}
	if config.ValidateConnect == nil { // of several hosts, the one that can be written
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	return sql.OpenDB(connector{stdlib.GetConnector(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
		defer cancel()
		return s.greet(ctx, conn, use)
	}))}), nil
}

// connectWithin is the time that each host of an address has to answer. They are
// asked one after another, and a call that needs a connection has to come to one
// that works, however many before it are silent.
func connectWithin(config *pgx.ConnConfig) time.Duration {
	type host struct {
		name string
		port uint16
	}
	hosts := map[host]bool{{config.Host, config.Port}: true}
	for _, f := range config.Fallbacks {
		hosts[host{f.Host, f.Port}] = true
	}
	n := time.Duration(len(hosts))
	return min(max(connectPatience/n, hostPatience), (postgresPatience-beginWithin)/n)
}

// greet looks whether a new connection leads to a database that can be used,
// and, except for the first, to the one the store was opened with.
func (s *Store) greet(ctx context.Context, conn *pgx.Conn, use use) error {
	if err := suitable(conn.PgConn().ParameterStatus); err != nil {
		return err
	}
	if use == writing { // durable before acknowledged, whatever the user's default is
		const raise = `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`
		if _, err := conn.Exec(ctx, raise); err != nil {
			return fmt.Errorf("asking for durable commits: %w", err)
		}
		if planted.AckBeforeCommit {
			_, _ = conn.Exec(ctx, `SET synchronous_commit = off`)
		}
	}
	if s.origin == "" {
		return nil
	}
	var origin string
	if err := conn.QueryRow(ctx, originQuery, pgx.QueryExecModeExec).Scan(&origin); err != nil {
		return fmt.Errorf("recognising the database: %w", err)
	}
	if origin != s.origin {
		return s.isReplaced()
	}
	if s.program != "" {
		return nil
	}
	return s.rejoin(ctx, conn)
}

// suitable looks at what a server says of itself when it is connected to.
func suitable(status func(name string) string) error {
	version := status("server_version") // "15.6 (Debian 15.6-0+deb12u1)", "17beta1"
	digits := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(version)
	}
	if major, err := strconv.Atoi(version[:digits]); err != nil || major < oldestPostgres {
		return fmt.Errorf("%w: it is PostgreSQL %s, upgrade it to %d or newer", ErrUnsuitable, version, oldestPostgres)
	}
	if encoding := status("server_encoding"); encoding != "UTF8" {
		return fmt.Errorf("%w: its encoding is %s, make one with: createdb --template=template0 --encoding=UTF8 NAME",
			ErrUnsuitable, encoding)
	}
	return nil
}

// endPostgresSession ends a session whose connection was lost, and waits until
// its transaction is committed or undone. A number of a process may be used
// again, so the time it began is part of the name.
func endPostgresSession(ctx context.Context, conn *sql.Conn, session string) error {
	const end = `SELECT pg_terminate_backend(pid, $2) FROM pg_stat_activity
		WHERE pid || ' ' || extract(epoch FROM backend_start) = $1`
	var ended bool
	err := conn.QueryRowContext(ctx, end, session, sessionPatience.Milliseconds()).Scan(&ended)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("ending the session before: %w", err)
	case !ended:
		return errors.New("the session before is still at work")
	}
	return nil
}

// collidedPostgres names the failures of a transaction that others got in the
// way of. The order of locks leaves no deadlock among servers of one version.
func collidedPostgres(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01") // serialization_failure, deadlock_detected
}

// cutPostgres names the failures of a connection that was in use: not of making
// one, and not what a server says that goes on.
func cutPostgres(err error) bool {
	var said *pgconn.PgError
	if errors.As(err, &said) {
		return strings.HasPrefix(said.Code, "57P0") // the server ended the session, or itself
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return !errors.As(err, &connecting) &&
		(errors.As(err, &network) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, driver.ErrBadConn))
}
