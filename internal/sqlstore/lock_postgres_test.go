package sqlstore_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func copyTo(t *testing.T, from string, progress func(sqlstore.CopyProgress)) error {
	t.Helper()
	to := filepath.Join(t.TempDir(), "teahouse.db")
	_, err := sqlstore.Copy(t.Context(), from, to, sqlstore.CopyOptions{Log: quiet, Progress: progress})
	return err
}

func TestAServerKeepsACopyAwayWhateverItsSessionsAreCalled(t *testing.T) {
	server := parts.Postgres(t)
	for name, c := range map[string]struct{ address, environment string }{
		"by its address":         {"application_name=chat-1", ""},
		"by its environment":     {"lock_timeout=5s", "chat-1"},
		"as migrate-store calls": {"application_name=teahouse migrate-store", ""},
		"with a schema":          {"search_path=public", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PGAPPNAME", c.environment)
			s := openPostgres(t, server.URL("postgres", c.address))
			t.Setenv("PGAPPNAME", "")
			mustAppend(t, s, said("lobby", name, 1))
			if err := copyTo(t, server.URL("postgres"), nil); !errors.Is(err, sqlstore.ErrInUse) {
				t.Errorf("a copy of what is served: %v", err)
			}
			closeStore(t, s)
			if err := copyTo(t, server.URL("postgres"), nil); err != nil {
				t.Errorf("a copy of what was served: %v", err)
			}
		})
	}
}

// PostgreSQL was restarted, and since then people only read.
func TestAServerThatOnlyReadsKeepsACopyAway(t *testing.T) {
	server := parts.Postgres(t)
	s := openPostgres(t, server.URL("postgres", "application_name=chat-1"))
	mustAppend(t, s, said("lobby", "one", 1))
	server.Must("postgres", "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'chat-1'")
	if _, err := s.Messages(t.Context(), "lobby", chat.Newest(10)); err != nil {
		t.Fatal(err)
	}
	if err := copyTo(t, server.URL("postgres"), nil); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("a copy of what is served: %v", err)
	}
	mustAppend(t, s, said("lobby", "two", 1))
	closeStore(t, s)
}

func TestAServerOfBeforeTheLockKeepsACopyAway(t *testing.T) {
	server := parts.Postgres(t)
	closeStore(t, openPostgres(t, server.URL("postgres")))
	old, err := sql.Open("pgx", server.URL("postgres", "application_name=teahouse"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := old.PingContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := copyTo(t, server.URL("postgres"), nil); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("a copy of what is served: %v", err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	if err := copyTo(t, server.URL("postgres"), nil); err != nil {
		t.Errorf("a copy of what was served: %v", err)
	}
}

func TestServersInAnotherSchemaDoNotKeepACopyAway(t *testing.T) {
	server := parts.Postgres(t)
	s := openPostgres(t, inSchema(t, server, "one"))
	defer closeStore(t, s)
	from := inSchema(t, server, "two")
	closeStore(t, openPostgres(t, from))
	if err := copyTo(t, from, nil); err != nil {
		t.Error(err)
	}
}

func TestASourceThatIsServedIsNotBroughtUpToDate(t *testing.T) {
	server := parts.Postgres(t)
	s := openPostgres(t, server.URL("postgres"))
	defer closeStore(t, s)
	server.Must("postgres", "UPDATE settings SET value = 'elsewhere' WHERE key = 'origin'; DELETE FROM settings WHERE key = 'key'")
	if err := copyTo(t, server.URL("postgres"), nil); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("a copy of what is served: %v", err)
	}
	const unchanged = "SELECT count(*) FROM settings WHERE value = 'elsewhere' OR key = 'key'"
	if n := server.Must("postgres", unchanged); n != "1" {
		t.Errorf("the settings have changed: %s", n)
	}
}

// A server without connections is nobody that a copy can see. When it comes back,
// it neither writes beside the copy nor goes on with what was copied.
func TestAServerThatWasCutOffDoesNotStoreWhatACopyLacks(t *testing.T) {
	server := parts.Postgres(t)
	from := inSchema(t, server, "tea")
	p := newProxy(t, server)
	late := openPostgres(t, p.url("search_path=tea"))
	defer late.Close()
	later := openPostgres(t, p.url("search_path=tea"))
	defer later.Close()
	mustAppend(t, late, said("lobby", "one", 1))
	mustAppend(t, later, said("lobby", "two", 1))
	try := func(when string, s *sqlstore.Store, want error) {
		t.Helper()
		if r, err := s.Append(t.Context(), []chat.Draft{said("lobby", when, 1)}); !errors.Is(err, want) {
			t.Errorf("%s it stores %+v, %v; want %v", when, r, err, want)
		}
	}
	p.set(everything)
	first := true
	err := copyTo(t, from, func(sqlstore.CopyProgress) {
		if first {
			first = false
			p.set(none)
			try("during the copy", late, sqlstore.ErrCopying)
			p.set(everything)
		}
	})
	if err != nil || first {
		t.Fatalf("a copy without servers: %v", err)
	}
	p.set(none)
	try("after the copy", late, sqlstore.ErrReplaced)
	select {
	case <-late.Replaced():
	default:
		t.Error("who serves is not told")
	}
	closeStore(t, openPostgres(t, from)) // another serves the source: with a new epoch
	try("after the source was served again", later, sqlstore.ErrReplaced)
	if _, err := later.Messages(t.Context(), "lobby", chat.Newest(10)); !errors.Is(err, sqlstore.ErrReplaced) {
		t.Errorf("it reads: %v", err)
	}
}
