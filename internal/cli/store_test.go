package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func TestAMistakeAboutStoresIsOneSentenceAndShowsNoPassword(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "teahouse.db")
	for name, tt := range map[string]struct {
		env  []string
		args string
		code int
		want string
	}{
		"a backup without a file":           {nil, "backup", exitUsage, "backup names no file: say teahouse backup FILE"},
		"a backup to two files":             {nil, "backup a postgres://ann:s3cret@host/tea", exitUsage, "takes one file, but got 2: say teahouse backup FILE"},
		"a backup to the standard output":   {nil, "backup -", exitUsage, "name a file, and ./- for one that is called so"},
		"a restore from the standard input": {nil, "restore /dev/stdin", exitUsage, "restore cannot work through a pipe"},
		"a backup with an unknown flag":     {nil, "backup --froce a", exitUsage, "unknown flag --froce: did you mean --force?"},
		"a backup with a far flag":          {nil, "backup --listening-address=x a", exitUsage, "teahouse help backup lists"},
		"a backup of no database":           {nil, "backup --store sqlite:" + missing + " a", exitFailed, "there is no Teahouse database"},
		"a backup of PostgreSQL":            {nil, "backup --store postgres://ann:s3cret@host/tea a", exitUsage, "pg_dump"},
		"a restore of PostgreSQL":           {[]string{"TEAHOUSE_STORE=postgres://ann:s3cret@host/tea"}, "restore a", exitUsage, "pg_restore"},
		"a restore from nothing":            {nil, "restore --store sqlite:" + missing + " " + missing + ".backup", exitFailed, "the backup cannot be read"},
		"a restore with a wrong setting":    {[]string{"TEAHOUSE_BACKLOG=x"}, "restore a", exitUsage, "TEAHOUSE_BACKLOG"},
		"a copy without a target":           {nil, "migrate-store", exitUsage, "say --to postgres://"},
		"a copy with an argument":           {nil, "migrate-store postgres://ann:s3cret@host/tea", exitUsage, "--from STORE --to STORE"},
		"a copy to somewhere unknown":       {nil, "migrate-store --to mysql://ann:s3cret@host/tea", exitUsage, `--to "mysql:" is not supported`},
		"a copy from somewhere unknown":     {[]string{"TEAHOUSE_FROM=mysql://ann:s3cret@host/tea"}, "migrate-store --to sqlite:x", exitUsage, `TEAHOUSE_FROM "mysql:" is not supported`},
		"a copy from nothing":               {nil, "migrate-store --to sqlite:x --from sqlite:" + missing, exitFailed, "the source: there is no Teahouse database"},
		"a copy onto itself":                {nil, "migrate-store --to sqlite:" + missing + " --from sqlite:" + missing, exitFailed, "source and target are the same database"},
		"a copy from a server not there":    {nil, "migrate-store --to sqlite:x --from postgres://ann:s3cret@127.0.0.1:1/tea", exitFailed, "PostgreSQL cannot be reached"},
		"a copy from an address of no kind": {nil, "migrate-store --to sqlite:x --from postgres://ann:s3cret@host:port/tea", exitUsage, "--from: this is not an address of a PostgreSQL database"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(nil, tt.env, strings.Fields(tt.args)...)
			if r.code != tt.code || r.stdout != "" || !strings.Contains(r.stderr, tt.want) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("exit code %d, says %q and %q; want %d and one line with %q", r.code, r.stdout, r.stderr, tt.code, tt.want)
			}
			if strings.Contains(r.stderr, "s3cret") {
				t.Errorf("the password is shown: %s", r.stderr)
			}
		})
	}
	if _, err := os.Stat("x"); err == nil {
		t.Error("a copy that failed left a file")
	}
}

func TestTheHelpOfCommandsAboutStores(t *testing.T) {
	for command, want := range map[string]string{"backup": backupText(), "restore": restoreText(), "migrate-store": migrateText()} {
		for _, args := range [][]string{{"help", command}, {command, "--help"}, {command, "x", "-h"}} {
			if r := run(nil, nil, args...); r.code != exitOK || r.stdout != want || r.stderr != "" {
				t.Errorf("%v: exit code %d, says %q and %q", args, r.code, r.stdout, r.stderr)
			}
		}
	}
}

func TestAStoreGoesToPostgresAndBackByTheCommandLine(t *testing.T) {
	server := parts.Postgres(t)
	dir := t.TempDir()
	s, err := sqlstore.Open(t.Context(), filepath.Join(dir, "teahouse.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(t.Context(), []chat.Draft{{Room: "茶馆", Author: chat.User{ID: 1, Name: "Ann"}, Nonce: "n", Text: "茶", Create: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	url, back := server.URL("postgres"), "sqlite:"+filepath.Join(dir, "back", "teahouse.db")
	for _, r := range []result{
		run(nil, []string{"TEAHOUSE_TO=" + url}, "migrate-store", "--data", dir),
		run(nil, []string{"TEAHOUSE_FROM=sqlite:" + filepath.Join(dir, "nowhere")}, "migrate-store", "--from", url, "--to", back),
	} {
		if r.code != exitOK || !strings.HasPrefix(r.stdout, "copied 1 message in 1 room by 1 person in ") || !strings.Contains(r.stderr, "comparing: 0 of 1") {
			t.Errorf("exit code %d, says %q and %q", r.code, r.stdout, r.stderr)
		}
	}
	again := run(nil, nil, "migrate-store", "--from="+url, "--to="+back)
	if again.code != exitFailed || !strings.Contains(again.stderr, "the target holds something already: it was copied from this source before") {
		t.Errorf("again: exit code %d, says %q", again.code, again.stderr)
	}
	file := filepath.Join(dir, "backup")
	if r := run(nil, nil, "backup", "--store", back, file); r.code != exitOK || !strings.HasPrefix(r.stdout, "saved 1 message in 1 room by 1 person in "+file) {
		t.Errorf("backup: exit code %d, says %q and %q", r.code, r.stdout, r.stderr)
	}
}

func TestThePaceOfACopyIsToldWithTheTimeLeft(t *testing.T) {
	start := time.Unix(0, 0)
	p := &copyPace{start: start}
	copied := func(before, now int64) sqlstore.CopyProgress {
		return sqlstore.CopyProgress{Stage: sqlstore.CopyingMessages, Rooms: 3, AllRooms: 10, Before: before, Messages: now, AllMessages: 1000}
	}
	if _, text := p.tell(sqlstore.CopyProgress{Stage: sqlstore.CopyingPeople, People: 7}, start); text != "copying people: 7" {
		t.Errorf("people: %q", text)
	}
	start = start.Add(time.Hour)
	first, text := p.tell(copied(200, 200), start)
	if want := "copying messages: 200 of 1000, 3 of 10 rooms"; text != want {
		t.Errorf("at first: %q, want %q", text, want)
	}
	same, text := p.tell(copied(200, 400), start.Add(4*time.Second))
	if want := "copying messages: 400 of 1000, 3 of 10 rooms, 50/s, 12s left"; text != want || same != first {
		t.Errorf("then: %q, want %q", text, want)
	}
	if later, _ := p.tell(copied(200, 800), start.Add(12*time.Second)); later == first {
		t.Error("after 12 s there is no new line")
	}
}
