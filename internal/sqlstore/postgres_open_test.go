package sqlstore_test

import (
	"errors"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func TestAPostgresThatCannotBeOpenedSaysWhyAndWhatToDo(t *testing.T) {
	server := parts.Postgres(t)
	server.Must("postgres", `CREATE ROLE ann LOGIN PASSWORD 'right'; GRANT locked TO ann; CREATE ROLE bob LOGIN`)
	for _, statement := range []string{
		`CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`, `CREATE DATABASE recipes`, `CREATE DATABASE newer`,
	} {
		server.Must("postgres", statement)
	}
	server.Must("recipes", `CREATE TABLE recipes (name TEXT)`)
	openPostgres(t, server.URL("newer")).Close()
	server.Must("newer", `INSERT INTO migrations VALUES (99, 'of the future', 0)`)
	as := func(user *url.Userinfo, database string, options ...string) string {
		u, err := url.Parse(server.URL(database, options...))
		if err != nil {
			t.Fatal(err)
		}
		u.User = user
		return u.String()
	}
	for name, c := range map[string]struct {
		at   string
		want error
		says string
	}{
		"a wrong password":            {as(url.UserPassword("ann", "s3cret"), "postgres"), sqlstore.ErrRefused, "password"},
		"an unknown user":             {as(url.User("nobody"), "postgres"), sqlstore.ErrRefused, "pg_hba.conf"},
		"no such database":            {server.URL("tea"), sqlstore.ErrNoDatabase, "createdb"},
		"a database in Latin 1":       {server.URL("latin"), sqlstore.ErrUnsuitable, "--encoding=UTF8"},
		"somebody else's database":    {server.URL("recipes"), sqlstore.ErrForeign, "search_path"},
		"a newer schema":              {server.URL("newer"), sqlstore.ErrNewer, "another database"},
		"a user who may make nothing": {as(url.User("bob"), "postgres"), sqlstore.ErrUnwritable, "owner"},
		"a schema that is not there":  {server.URL("postgres", "search_path=nowhere"), sqlstore.ErrUnwritable, "schema"},
		"nobody at the address":       {"postgres://ann:s3cret@127.0.0.1:1/tea", sqlstore.ErrUnreachable, "runs at"},
		"an address without sense":    {"postgres://ann:s3cret@host:port/tea", sqlstore.ErrAddress, "a port is not a number"},
		"the other scheme":            {"postgresql://ann:s3cret@127.0.0.1:1/tea", sqlstore.ErrUnreachable, "runs at"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sqlstore.Open(t.Context(), c.at, quiet)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v saying %q", err, c.want, c.says)
			} else if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}

func epochIn(t *testing.T, s *sqlstore.Store) string {
	t.Helper()
	settings, err := s.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return settings.Epoch
}

func TestADatabaseThatTookAnothersPlaceBeginsANewEpoch(t *testing.T) {
	server := parts.Postgres(t)
	server.Must("postgres", "CREATE DATABASE tea")
	running := openPostgres(t, server.URL("tea"))
	defer running.Close()
	if _, err := running.Append(t.Context(), []chat.Draft{said("lobby", "one", 1)}); err != nil {
		t.Fatal(err)
	}
	first := epochIn(t, running)
	again := openPostgres(t, server.URL("tea"))
	if got := epochIn(t, again); got != first {
		t.Errorf("another server has the epoch %s, not %s", got, first)
	}
	again.Close()

	// A copy takes the database's place while one server runs.
	const leave = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'tea'`
	server.Must("postgres", `ALTER DATABASE tea WITH ALLOW_CONNECTIONS false`)
	server.Must("postgres", leave)
	server.Must("postgres", `CREATE DATABASE copy TEMPLATE tea`)
	server.Must("postgres", `ALTER DATABASE tea RENAME TO before`)
	server.Must("postgres", `ALTER DATABASE copy RENAME TO tea`)
	server.Must("postgres", `ALTER DATABASE tea WITH ALLOW_CONNECTIONS true`)
	if _, err := running.Append(t.Context(), []chat.Draft{said("lobby", "two", 1)}); !errors.Is(err, sqlstore.ErrReplaced) {
		t.Errorf("the server that runs writes to it: %v", err)
	}
	if _, err := running.Messages(t.Context(), "lobby", chat.Newest(10)); !errors.Is(err, sqlstore.ErrReplaced) {
		t.Errorf("the server that runs reads it: %v", err)
	}
	restored := openPostgres(t, server.URL("tea"))
	defer restored.Close()
	renewed := epochIn(t, restored)
	if renewed == first {
		t.Error("the copy has the epoch of what it was made from")
	}
	if log := logOf(t, restored, "lobby"); len(log) != 1 {
		t.Errorf("the copy holds %+v", log)
	}
	for range 2 {
		other := openPostgres(t, server.URL("tea"))
		if got := epochIn(t, other); got != renewed {
			t.Errorf("the new epoch did not stay: %s, then %s", renewed, got)
		}
		other.Close()
	}
}

// What operations.md says about backups: a dump that was restored begins a new
// epoch by itself, with the key it had, whether its place is new or old; a copy of
// the disk does after one statement.
func TestARestoredDumpBeginsANewEpoch(t *testing.T) {
	server := parts.Postgres(t)
	server.Must("postgres", "CREATE DATABASE tea")
	s := openPostgres(t, server.URL("tea"))
	if _, err := s.Append(t.Context(), []chat.Draft{said("lobby", "one", 1)}); err != nil {
		t.Fatal(err)
	}
	before, err := s.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	dump := filepath.Join(t.TempDir(), "dump")
	command := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(parts.Program(t, name), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	command("pg_dump", "--format=custom", "--file="+dump, "--dbname="+server.URL("tea"))
	server.Must("postgres", "CREATE DATABASE other")
	command("pg_restore", "--dbname="+server.URL("other"), dump)
	server.Must("postgres", "DROP DATABASE tea")
	server.Must("postgres", "CREATE DATABASE tea")
	command("pg_restore", "--dbname="+server.URL("tea"), dump)
	epochs := map[string]bool{before.Epoch: true}
	for _, name := range []string{"other", "tea", "tea after a copy of the disk"} {
		database, disk, _ := strings.Cut(name, " ")
		if disk != "" {
			server.Must(database, "UPDATE settings SET value = 'restored' WHERE key = 'origin'")
		}
		s := openPostgres(t, server.URL(database))
		after, err := s.Settings(t.Context())
		if err != nil || epochs[after.Epoch] || after.Key != before.Key || len(logOf(t, s, "lobby")) != 1 {
			t.Errorf("%s: settings %+v, which were %+v: %v", name, after, before, err)
		}
		epochs[after.Epoch] = true
		if _, err := s.Append(t.Context(), []chat.Draft{said("lobby", "two", 1), said("a new room", "three", 2)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		closeStore(t, s)
		server.Must(database, "DELETE FROM chunks WHERE id & 68719476735 = 2; UPDATE rooms SET last_seq = 1")
	}
}
