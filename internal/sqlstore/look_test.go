package sqlstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// contents are the files of a folder, by their names.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		text, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[f.Name()] = string(text)
	}
	return files
}

func TestLookingAtAFileChangesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "teahouse.db")
	look := func(name string, wantEntries int64, inUse bool) {
		t.Helper()
		before := contents(t, folder)
		seen, err := sqlstore.Look(t.Context(), path, true)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if seen.File.InUse != inUse || seen.Entries != wantEntries || seen.File.Path != path || seen.File.Wrong != "" {
			t.Errorf("%s: saw %+v in %+v", name, seen, seen.File)
		}
		if (seen.Schema == seen.Steps) != (wantEntries > 0) || (seen.File.Bytes > 0) != (wantEntries > 0) {
			t.Errorf("%s: saw %+v in %+v", name, seen, seen.File)
		}
		after := contents(t, folder)
		delete(before, "teahouse.db-shm") // shared memory of who has the database open, not kept
		delete(after, "teahouse.db-shm")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: the folder changed: %.300s", name, diff)
		}
	}
	look("nothing", 0, false)
	if _, err := sqlstore.Look(t.Context(), filepath.Join(folder, "none", "teahouse.db"), false); err != nil {
		t.Errorf("no folder: %v", err)
	}

	s, err := sqlstore.Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), []chat.Draft{said("lobby", "one", 1), said("garden", "two", 2)}); err != nil {
		t.Fatal(err)
	}
	look("a server runs", 2, true)
	crashed := filepath.Join(t.TempDir(), "teahouse.db")
	for _, suffix := range []string{"", "-wal"} {
		if err := os.WriteFile(crashed+suffix, []byte(contents(t, folder)["teahouse.db"+suffix]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look("stopped", 2, false)
	folder, path = filepath.Dir(crashed), crashed
	look("crashed", 2, false)
}

func TestLookingSaysWhyAFileCannotBeUsed(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "teahouse.db")
	s, err := sqlstore.Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		if _, err := s.Append(t.Context(), []chat.Draft{said("lobby", strconv.Itoa(i)+strings.Repeat(" long", 1000), 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := contents(t, folder)["teahouse.db"]
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"text":              {"this is long enough not to be taken for an empty file", sqlstore.ErrDamaged},
		"a schema of noise": {whole[:100] + strings.Repeat("\xa5", len(whole)-100), sqlstore.ErrDamaged},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlstore.Look(t.Context(), path, false); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	end := len(whole) - 8192
	if err := os.WriteFile(path, []byte(whole[:end]+strings.Repeat("\xa5", 4096)+whole[end+4096:]), 0o600); err != nil {
		t.Fatal(err)
	}
	if seen, err := sqlstore.Look(t.Context(), path, false); err != nil || seen.Entries != 40 {
		t.Errorf("one bad page among many, not looked for: %+v, %v", seen, err)
	}
	if seen, err := sqlstore.Look(t.Context(), path, true); err != nil || seen.File.Wrong == "" {
		t.Errorf("one bad page among many, looked for: %+v, %v", seen.File, err)
	}
}

func TestLookingAtPostgresChangesNothing(t *testing.T) {
	server := parts.Postgres(t, "max_connections=30", "superuser_reserved_connections=4")
	url := inSchema(t, server, "tea")
	const tables = `SELECT count(*) FROM pg_tables WHERE schemaname = 'tea'`
	seen, err := sqlstore.Look(t.Context(), url, false)
	if err != nil || seen.Schema != 0 || seen.Steps == 0 {
		t.Fatalf("an empty schema: %+v, %v", seen, err)
	}
	if n := server.Must("postgres", tables); n != "0" {
		t.Errorf("looking made %s tables", n)
	}
	p := seen.Postgres
	if !p.MayMake || p.Pooled || p.Most != 26 || p.Open != 0 || p.Ours != 0 || p.Needs < 2 || p.Schema != "tea" ||
		p.User != ordinary || p.Durability != "on" || !p.Fsync || !p.FullPages {
		t.Errorf("saw %+v", p)
	}
	if p.RoundTrip <= 0 || p.Commit <= 0 || p.Clock.Abs() > time.Second || p.Within <= 0 {
		t.Errorf("measured %+v", p)
	}
	s := openPostgres(t, url)
	defer s.Close()
	if _, err := s.Append(t.Context(), []chat.Draft{said("lobby", "one", 1)}); err != nil {
		t.Fatal(err)
	}
	server.Must("postgres", `ALTER ROLE `+ordinary+` SET synchronous_commit = off; REVOKE CREATE ON SCHEMA tea FROM `+ordinary)
	seen, err = sqlstore.Look(t.Context(), url, false)
	if err != nil || seen.Schema != seen.Steps || seen.Rooms != 1 || seen.Entries != 1 {
		t.Fatalf("beside a server: %+v, %v", seen, err)
	}
	if p := seen.Postgres; p.Durability != "off" || p.Ours < 1 || p.Open < p.Ours || p.MayMake {
		t.Errorf("saw %+v", p)
	}
}

func TestLookingRefusesACopyThatIsNotFinished(t *testing.T) {
	server := parts.Postgres(t)
	url := inSchema(t, server, "tea")
	openPostgres(t, url).Close()
	server.Must("postgres", `INSERT INTO tea.settings VALUES ('copying', 'from elsewhere')`)
	if _, err := sqlstore.Look(t.Context(), url, false); err == nil || !strings.Contains(err.Error(), "unfinished copy") {
		t.Errorf("got %v", err)
	}
}
