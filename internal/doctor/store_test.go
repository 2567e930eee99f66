package doctor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// opened is a store with one message, as of a server that runs.
func opened(t *testing.T, at string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), at, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	draft := chat.Draft{Room: "lobby", Author: chat.User{ID: 1, Name: "Ann"}, Nonce: "n", Text: "hello", Create: true}
	if _, err := s.Append(t.Context(), []chat.Draft{draft}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestADatabaseOfSQLiteIsLookedAt(t *testing.T) {
	c := settings(t)
	path := filepath.Join(c.Data, "teahouse.db")
	look := func(deep bool) Finding {
		t.Helper()
		return named(t, lookAtStore(t.Context(), c, deep), "store")
	}
	expect(t, look(false), OK, "a new database will be made")
	s := opened(t, path)
	expect(t, look(false), OK, "1 messages in 1 rooms", "a server runs with it")
	expect(t, look(true), OK, "all of it can be read")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if f := look(true); strings.Contains(f.Found, "runs") {
		t.Errorf("stopped: %s", f.Found)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for says, text := range map[string]string{
		"is not a database file": strings.Repeat("tea ", 1000),
		"restore":                string(whole[:100]) + strings.Repeat("\xa5", len(whole)-100),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		expect(t, look(false), Fail, "the database is damaged (", says)
	}
}

func TestWhatSQLiteFindsWrongFails(t *testing.T) {
	seen := sqlstore.Sight{Schema: 2, Steps: 3, File: &sqlstore.File{Path: "teahouse.db", Bytes: 1}}
	expect(t, judgeFile(seen, false), OK, "to be upgraded")
	seen.File.Wrong = "Tree 7 page 9"
	expect(t, judgeFile(seen, true), Fail, "Tree 7 page 9", "restore teahouse.db")
}

func TestADatabaseOfPostgreSQLIsLookedAt(t *testing.T) {
	server := parts.Postgres(t, "fsync=off", "full_page_writes=off", "max_connections=14", "superuser_reserved_connections=0")
	server.Must("postgres", `CREATE ROLE tea LOGIN PASSWORD 's3cret'; GRANT locked TO tea; CREATE SCHEMA tea AUTHORIZATION tea`)
	server.Must("postgres", `ALTER ROLE tea SET synchronous_commit = off`)
	as := func(user, password string) config.Config {
		u, err := url.Parse(server.URL("postgres", "search_path=tea"))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(user, password)
		c := settings(t)
		c.Store = u.String()
		return c
	}
	findings := lookAtStore(t.Context(), as("tea", "s3cret"), false)
	expect(t, named(t, findings, "store"), OK, "PostgreSQL 1", "schema tea", "will be made or upgraded")
	expect(t, named(t, findings, "store durability"), Fail, "fsync is off", "synchronous_commit is off")
	expect(t, named(t, findings, "store connections"), OK, "0 of 14 in use", "a server needs up to 9")
	expect(t, named(t, findings, "store latency"), OK, "round trip")
	expect(t, named(t, findings, "store clock"), OK)
	if n := server.Must("postgres", `SELECT count(*) FROM pg_tables WHERE schemaname = 'tea'`); n != "0" {
		t.Errorf("it made %s tables", n)
	}

	opened(t, as("tea", "s3cret").Store)
	server.Must("postgres", `REVOKE CREATE ON SCHEMA tea FROM tea`)
	findings = lookAtStore(t.Context(), as("tea", "s3cret"), false)
	expect(t, named(t, findings, "store"), OK, "1 messages in 1 rooms")
	expect(t, named(t, findings, "store connections"), OK, "by Teahouse")

	server.Must("postgres", `CREATE SCHEMA empty; GRANT USAGE ON SCHEMA empty TO tea; ALTER ROLE tea SET search_path = empty`)
	c := as("tea", "s3cret")
	c.Store = strings.Replace(c.Store, "search_path=tea", "", 1)
	expect(t, named(t, lookAtStore(t.Context(), c, false), "store"), Fail, "GRANT CREATE ON SCHEMA empty TO tea")

	f := named(t, lookAtStore(t.Context(), as("tea", "wr0ng"), false), "store")
	expect(t, f, Fail, "PostgreSQL refuses this user (", "password")
	if strings.Contains(f.Found+f.Do, "wr0ng") {
		t.Errorf("the password is shown: %+v", f)
	}
}

func TestNoFindingShowsThePasswordOfAStore(t *testing.T) {
	for _, at := range []string{
		"postgres://ann:s3cret@127.0.0.1:1/tea",
		"postgres://127.0.0.1:1/tea?user=ann&password=s3cret",
		"postgres://ann@127.0.0.1:1/tea?sslmode=require&sslpassword=s3cret",
		"postgres://127.0.0.1:1/tea?user=ann&pass%77ord=s3cret",
		"postgres://ann:s3cret@127.0.0.1:1,127.0.0.1:2/tea",
		"postgres://ann:s3cret@127.0.0.1:port/tea",
		"postgres://ann:s3%xxcret@127.0.0.1/tea",
		"postgres://tea:s3cret",
	} {
		c := settings(t)
		c.Store = at
		findings := Examine(t.Context(), Options{Config: c})
		if named(t, findings, "store").Level != Fail {
			t.Errorf("%s fails nothing", at)
		}
		for _, write := range []func(io.Writer, []Finding) error{Write, WriteJSON} {
			var text strings.Builder
			if err := write(&text, findings); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), "s3") {
				t.Errorf("%s: the password is shown:\n%s", at, text.String())
			}
		}
	}
}

func TestAPostgreSQLThatHangsIsAFinding(t *testing.T) {
	server := parts.Postgres(t)
	hang(t, server.Process)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := settings(t)
	c.Store = server.URL("postgres")
	expect(t, named(t, lookAtStore(ctx, c, false), "store"), Fail, "PostgreSQL cannot be reached (")
}

func TestWhatAPoolerRefusesIsNotTheDatabasesFault(t *testing.T) {
	err := errors.New("FATAL: unsupported startup parameter: statement_timeout (SQLSTATE 08P01)")
	expect(t, storeFailed(err), Fail, "a pooler", "PostgreSQL itself")
}

func TestAPostgreSQLIsJudged(t *testing.T) {
	good := sqlstore.Postgres{
		Version: "15.6", Database: "tea", User: "ann", Schema: "public", MayMake: true, Durability: "on", Fsync: true, FullPages: true,
		Needs: 9, Most: 100, Open: 20, Ours: 9, RoundTrip: time.Millisecond, Commit: 2 * time.Millisecond, Within: time.Millisecond,
	}
	for name, c := range map[string]struct {
		change func(*sqlstore.Postgres)
		about  string
		level  Level
		says   string
	}{
		"all is well":                     {func(*sqlstore.Postgres) {}, "store", OK, "7 messages in 3 rooms"},
		"no schema":                       {func(p *sqlstore.Postgres) { p.Schema = "" }, "store", Fail, "search_path"},
		"a pooler":                        {func(p *sqlstore.Postgres) { p.Pooled = true }, "store", Warn, "pool_mode = session"},
		"not durable by itself":           {func(p *sqlstore.Postgres) { p.Durability = "off" }, "store durability", Warn, "ALTER ROLE ann"},
		"half pages":                      {func(p *sqlstore.Postgres) { p.FullPages = false }, "store durability", Warn, "full_page_writes = on"},
		"no durability":                   {func(p *sqlstore.Postgres) { p.Fsync = false }, "store durability", Fail, "fsync = on"},
		"room for this one":               {func(p *sqlstore.Postgres) { p.Most = 25 }, "store connections", Warn, "one more server"},
		"room for none":                   {func(p *sqlstore.Postgres) { p.Most = 19 }, "store connections", Fail, "max_connections"},
		"far away":                        {func(p *sqlstore.Postgres) { p.RoundTrip = 30 * time.Millisecond }, "store latency", Warn, "nearer"},
		"a slow disk":                     {func(p *sqlstore.Postgres) { p.Commit = time.Second }, "store latency", Warn, "slow"},
		"a clock behind":                  {func(p *sqlstore.Postgres) { p.Clock = -time.Minute }, "store clock", Warn, "1m0s behind"},
		"a clock, as far as one can tell": {func(p *sqlstore.Postgres) { p.Clock, p.Within = 2*time.Second, 2*time.Second }, "store clock", OK, "as ours"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			c.change(&p)
			findings := judgePostgres(sqlstore.Sight{Schema: 3, Steps: 3, Rooms: 3, Entries: 7, Postgres: &p})
			expect(t, named(t, findings, c.about), c.level, c.says)
		})
	}
}
