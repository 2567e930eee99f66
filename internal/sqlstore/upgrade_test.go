package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// frozen makes the database that an older version left, from testdata.
func frozen(t *testing.T, name string) (path string) {
	t.Helper()
	dump, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "teahouse.db")
	edit(t, path, string(dump))
	return path
}

// edit runs statements on the file at path.
func edit(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}

func TestADatabaseOfVersion1IsUpgradedWithAllItHolds(t *testing.T) {
	path := frozen(t, "v1.sql")
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	set, err := s.Settings(t.Context())
	if err != nil || len(set.Epoch) != 16 || // a new one: no mark lies beside it
		set.Key[31] != 0x1f {
		t.Fatalf("settings %+v %v", set, err)
	}
	rooms, err := s.Rooms(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []chat.Room{
		{Slug: "茶馆", LastSeq: 1, LastAt: time.UnixMilli(1700000005000).UTC()},
		{Slug: "lobby", LastSeq: 3, LastAt: time.UnixMilli(1700000001000).UTC()},
		{Slug: "empty", LastSeq: 0, LastAt: time.UnixMilli(0).UTC()},
	}
	if diff := cmp.Diff(want, rooms); diff != "" {
		t.Fatalf("rooms (-want +got):\n%s", diff)
	}
	p, err := s.Messages(t.Context(), "lobby", chat.Newest(10))
	if err != nil || len(p.Messages) != 3 || p.Messages[1].Author.Name != "白鹭" || p.Messages[2].Text != "line one\nline two" {
		t.Fatalf("lobby: %+v %v", p, err)
	}
	if l, err := s.Login(t.Context(), [32]byte{1}); err != nil || l.User.Name != "Ann" {
		t.Fatalf("login: %+v %v", l, err)
	}
	again := chat.Draft{Room: "lobby", Author: chat.User{ID: 1}, Nonce: "a1", Text: "hi"}
	next := chat.Draft{Room: "lobby", Author: chat.User{ID: 1}, Nonce: "a3", Text: "ho", At: time.UnixMilli(0)}
	r, err := s.Append(t.Context(), []chat.Draft{again, next})
	if err != nil || !r[0].Duplicate || r[0].Message.Seq != 1 || r[1].Message.Seq != 4 || !r[1].Message.At.Equal(rooms[1].LastAt) {
		t.Fatalf("appended: %+v %v", r, err)
	}
}

// A process that dies between two steps, or in one, goes on from there.
func TestAnInterruptedUpgradeGoesOnWhereItStopped(t *testing.T) {
	steps, err := migrations("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	for stop := range len(steps) + 1 {
		path := filepath.Join(t.TempDir(), "teahouse.db")
		db, err := connectSQLite(nil, path, writing)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := migrate(t.Context(), sqlite, conn, steps[:stop], quiet); err != nil {
			t.Fatal(err)
		}
		// The next step fails after having done its work.
		if stop < len(steps) {
			broken := append(append([]migration{}, steps[:stop]...), steps[stop])
			broken[stop].sql += "; INSERT INTO no_such_table VALUES (1);"
			if err := migrate(t.Context(), sqlite, conn, broken, quiet); err == nil || !strings.Contains(err.Error(), steps[stop].name) {
				t.Fatalf("broken step %d: %v", stop+1, err)
			}
			if version, err := schemaVersion(t.Context(), sqlite, conn); err != nil || version != stop {
				t.Fatalf("after a broken step the version is %d, %v; want %d", version, err, stop)
			}
		}
		conn.Close()
		db.Close()
		s, err := Open(t.Context(), path, quiet)
		if err != nil {
			t.Fatalf("going on after step %d: %v", stop, err)
		}
		if _, err := s.Append(t.Context(), []chat.Draft{{Room: "a", Nonce: "n", Create: true}}); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

func TestWhatCannotBeOpenedSaysWhyAndWhatToDo(t *testing.T) {
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	made := func(statements string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			s, err := Open(t.Context(), path, quiet)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if statements != "" {
				edit(t, path, statements)
			}
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    error
		says    string
	}{
		{"text", write("Dear diary, today I opened a teahouse.\n"), ErrForeign, "another kind of file"},
		{"a few bytes", write("SQLite"), ErrForeign, "restore it from a backup if"},
		{"text where a database was", func(t *testing.T, path string) {
			made("")(t, path)
			write("Dear diary, today I opened a teahouse.\n")(t, path)
		}, ErrDamaged, "restore"},
		{"a header and rubbish", write("SQLite format 3\x00" + strings.Repeat("rubbish!", 1000)), ErrDamaged, "restore"},
		{"a header with its end missing", func(t *testing.T, path string) {
			made("")(t, path)
			if err := os.Truncate(path, 5000); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "restore"},
		{"a schema page overwritten", func(t *testing.T, path string) {
			made("")(t, path)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", 3000)), 100); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "restore"},
		{"a newer database", made("INSERT INTO migrations VALUES (99, 'from the future', 0)"), ErrNewer, "version 99"},
		{"somebody else's database", func(t *testing.T, path string) { edit(t, path, "CREATE TABLE recipes (name TEXT)") }, ErrForeign, "move"},
		{"a damaged key", made("UPDATE settings SET value = 'xyz' WHERE key = 'key'"), ErrDamaged, "restore"},
		{"a folder in its place", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, ErrUnwritable, "writable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "teahouse.db")
			c.prepare(t, path)
			s, err := Open(t.Context(), path, quiet)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path) {
				t.Fatalf("Open: %v; want %v saying %q and the path", err, c.want, c.says)
			}
		})
	}
}

func TestAFolderThatCannotBeMadeSaysSo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), filepath.Join(file, "teahouse.db"), quiet); !errors.Is(err, ErrUnwritable) {
		t.Fatalf("Open: %v", err)
	}
}

func TestAnEmptyFileIsANewDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a folder with ?#% in it", "tea house ?mode=ro&x=#%41.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if f, err := os.Stat(path); err != nil || f.Size() == 0 {
		t.Fatalf("the database is not where it was asked for: %v %v", f, err)
	}
}

func TestTwoServersDoNotShareOneDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "teahouse.db")
	first, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, quiet); !errors.Is(err, ErrInUse) {
		t.Fatalf("second: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatalf("after the first: %v", err)
	}
	second.Close()
}

// hold keeps the database locked from another connection until release.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(context.Background(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		conn.Close()
		db.Close()
	}
}

func TestALockOfAnotherProgramIsWaitedForAndThenToldAndHeals(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "teahouse.db")
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := []chat.Draft{{Room: "a", Nonce: "n", Create: true}}
	release := hold(t, path)
	if _, err := s.Append(t.Context(), d); !errors.Is(reasonSQLite(err), ErrLocked) {
		t.Fatalf("locked: %v", err)
	}
	if _, err := s.Messages(t.Context(), "a", chat.Newest(1)); err != nil {
		t.Fatalf("reading while locked: %v", err)
	}
	time.AfterFunc(50*time.Millisecond, release)
	if r, err := s.Append(t.Context(), d); err != nil || r[0].Message.Seq != 1 {
		t.Fatalf("released while waiting: %+v %v", r, err)
	}
}

func TestOpeningALockedDatabaseIsRefusedInTheEnd(t *testing.T) {
	t.Parallel()
	path := frozen(t, "v1.sql")
	release := hold(t, path)
	defer release()
	if _, err := Open(t.Context(), path, quiet); !errors.Is(err, ErrLocked) {
		t.Fatalf("Open: %v", err)
	}
}

func TestALostWritingConnectionIsReplaced(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "teahouse.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := []chat.Draft{{Room: "a", Nonce: "n", Create: true}}
	s.writer.discard()
	if _, err := s.Append(t.Context(), d); err == nil {
		t.Fatal("an append on a lost connection succeeded")
	}
	for want := range 2 {
		if r, err := s.Append(t.Context(), d); err != nil || r[0].Message.Seq != 1 || r[0].Duplicate != (want == 1) {
			t.Fatalf("append %d afterwards: %+v %v", want, r, err)
		}
	}
}

func TestTheDatabaseIsReadableByItsOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode bits there")
	}
	dir := t.TempDir()
	s, err := Open(t.Context(), filepath.Join(dir, "teahouse.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 4 { // database, log, its index, lock
		t.Fatalf("%v %v", entries, err)
	}
	for _, e := range entries {
		if f, err := e.Info(); err != nil || f.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), f.Mode(), err)
		}
	}
}
