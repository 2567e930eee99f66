package doctor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

const (
	slowTrip   = 5 * time.Millisecond // each batch of messages makes about five
	slowCommit = 50 * time.Millisecond
	wrongClock = time.Second
)

func lookAtStore(ctx context.Context, c config.Config, deep bool) []Finding {
	seen, err := sqlstore.Look(ctx, c.StoreAt(), deep)
	switch {
	case err != nil && deep && ctx.Err() != nil:
		return []Finding{found("store", "all of the database could not be read in %v", withinDeep).warn("try it on a copy")}
	case err != nil:
		return []Finding{storeFailed(err)}
	case seen.Postgres != nil:
		return judgePostgres(seen)
	}
	return []Finding{judgeFile(seen, deep)}
}

// storeFailed parts an error of sqlstore into what is the matter and what to do.
func storeFailed(err error) Finding {
	if strings.Contains(err.Error(), "unsupported startup parameter") {
		return found("store", "a pooler stands between, which refuses what sessions need: %v", err).
			fail("connect to PostgreSQL itself")
	}
	var f *sqlstore.Failure
	if errors.As(err, &f) {
		return found("store", "%s", f.What()).fail("%s", f.Do)
	}
	return found("store", "%v", err).fail("correct --store, or what it stands for: docs/operations.md says what a database needs")
}

func judgeFile(seen sqlstore.Sight, deep bool) Finding {
	file := seen.File
	switch {
	case file.Wrong != "":
		return found("store", "the database is damaged: %s", file.Wrong).fail("stop the server and restore %s from a backup", file.Path)
	case file.Bytes == 0 || seen.Schema == 0:
		return found("store", "SQLite, %s: a new database will be made", file.Path)
	}
	state, all := "", ""
	if file.InUse {
		state = ", a server runs with it"
	}
	if deep {
		all = ", all of it can be read"
	}
	if seen.Schema < seen.Steps {
		state += ", to be upgraded when a server of this version starts"
	}
	return found("store", "SQLite, %s: %d messages in %d rooms, %s%s%s",
		file.Path, seen.Entries, seen.Rooms, size(uint64(file.Bytes)), state, all)
}

func judgePostgres(seen sqlstore.Sight) []Finding {
	p := seen.Postgres
	store := found("store", "PostgreSQL %s, database %s, schema %s: %d messages in %d rooms", p.Version, p.Database, p.Schema, seen.Entries, seen.Rooms)
	if seen.Schema < seen.Steps {
		store = found("store", "PostgreSQL %s, database %s, schema %s: tables will be made or upgraded when a server of this version starts", p.Version, p.Database, p.Schema)
	}
	switch {
	case p.Schema == "":
		store = store.fail("make a schema that the user can use, or name one with ?search_path=NAME in --store")
	case seen.Schema < seen.Steps && !p.MayMake:
		store = store.fail("the user %s may not make tables: GRANT CREATE ON SCHEMA %s TO %s", p.User, p.Schema, p.User)
	case p.Pooled:
		store = store.warn("a pooler stands between: it must give each session a connection of its own (pgbouncer: pool_mode = session)")
	}
	trip := found("store latency", "%v for a round trip, %v for a commit", short(p.RoundTrip), short(p.Commit))
	switch {
	case p.RoundTrip > slowTrip:
		trip = trip.warn("a batch of messages makes about five round trips: bring the server and PostgreSQL nearer to each other")
	case p.Commit > slowCommit:
		trip = trip.warn("each batch of messages waits for the disk of PostgreSQL, or for its standby: see what is slow there")
	}
	return []Finding{store, judgeDurability(p), judgeConnections(p), trip, judgeStoreClock(p)}
}

func judgeDurability(p *sqlstore.Postgres) Finding {
	f := found("store durability", "synchronous_commit is %s, fsync is %s", p.Durability, onOff(p.Fsync))
	switch {
	case !p.Fsync:
		return f.fail("a loss of power loses messages that were acknowledged, or the database: set fsync = on in postgresql.conf")
	case !p.FullPages:
		return found("store durability", "full_page_writes is off").warn("a loss of power may damage the database: set full_page_writes = on, unless the file system writes pages as a whole")
	case p.Durability == "off":
		return f.warn("servers raise it to on for themselves, other programs with this user lose what they committed: ALTER ROLE %s SET synchronous_commit = on", p.User)
	}
	return f
}

func judgeConnections(p *sqlstore.Postgres) Finding {
	f := found("store connections", "%d of %d in use, %d of them by Teahouse; a server needs up to %d", p.Open, p.Most, p.Ours, p.Needs)
	others := p.Open - p.Ours
	switch {
	case p.Most-others < p.Needs:
		return f.fail("raise max_connections in postgresql.conf: servers times %d, and some for others", p.Needs)
	case p.Most-p.Open < p.Needs:
		return f.warn("for one more server raise max_connections in postgresql.conf: servers times %d, and some for others", p.Needs)
	}
	return f
}

func judgeStoreClock(p *sqlstore.Postgres) Finding {
	shows := "as ours"
	switch {
	case p.Clock > p.Within:
		shows = short(p.Clock).String() + " ahead of ours"
	case -p.Clock > p.Within:
		shows = short(-p.Clock).String() + " behind ours"
	}
	f := found("store clock", "PostgreSQL's is %s, give or take %v; nothing is put in order by either", shows, short(p.Within))
	if p.Clock.Abs()-p.Within > wrongClock {
		f = f.warn("have both machines ask the same time service: people see times beside messages")
	}
	return f
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}
