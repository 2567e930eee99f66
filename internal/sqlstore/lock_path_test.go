package sqlstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// unavailable skips a test that this machine cannot run, or fails it where
// nothing may be skipped.
func unavailable(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("TEAHOUSE_REQUIRE") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func TestALinkToADatabaseIsTheDatabase(t *testing.T) {
	dir := t.TempDir()
	file, link, backup := filepath.Join(dir, "disk", "real.db"), filepath.Join(dir, "link.db"), filepath.Join(dir, "backup")
	if err := os.Symlink(file, link); err != nil {
		unavailable(t, err.Error())
	}
	if _, err := sqlstore.Open(t.Context(), link, quiet); !errors.Is(err, sqlstore.ErrUnwritable) || !strings.Contains(err.Error(), "link") {
		t.Errorf("a link to nothing: %v", err)
	}
	s := openAt(t, file)
	mustAppend(t, s, said("lobby", "one", 1))
	mustBackup(t, link, backup, sqlstore.BackupOptions{})
	refused := map[string]error{}
	_, refused["a second server"] = sqlstore.Open(t.Context(), link, quiet)
	_, refused["a restore"] = sqlstore.Restore(t.Context(), backup, link, true)
	_, refused["a copy"] = sqlstore.Copy(t.Context(), link, filepath.Join(dir, "copy"), sqlstore.CopyOptions{Log: quiet})
	for who, err := range refused {
		if !errors.Is(err, sqlstore.ErrInUse) {
			t.Errorf("%s through a link: %v", who, err)
		}
	}
	if seen, err := sqlstore.Look(t.Context(), link, false); err != nil || !seen.File.InUse || seen.File.Path != file {
		t.Errorf("a look: %+v, %v", seen.File, err)
	}
	closeStore(t, s)
	if r := mustRestore(t, backup, link, true); r.Path != file {
		t.Errorf("restored: %+v", r)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is none any more: %v, %v", info, err)
	}
	closeStore(t, openAt(t, link))
}

func TestWhatIsReadIsNotWrittenOver(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "z.db")
	for _, name := range []string{"z.db.partial", "z.db.restoring", "z.db"} {
		s := openAt(t, filepath.Join(dir, name))
		mustAppend(t, s, said("lobby", name, 1))
		closeStore(t, s)
	}
	if err := os.Remove(at); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.Backup(t.Context(), at+".partial", at, sqlstore.BackupOptions{}); !errors.Is(err, sqlstore.ErrExists) {
		t.Errorf("a backup of what would be its part: %v", err)
	}
	if _, err := sqlstore.Backup(t.Context(), at+".partial", at+".partial-wal", sqlstore.BackupOptions{Replace: true}); !errors.Is(err, sqlstore.ErrExists) {
		t.Errorf("a backup to the log of its source: %v", err)
	}
	if _, err := sqlstore.Restore(t.Context(), at+".restoring", at, true); !errors.Is(err, sqlstore.ErrExists) {
		t.Errorf("a restore of what would be its part: %v", err)
	}
	for _, name := range []string{"z.db.partial", "z.db.restoring"} {
		s := openAt(t, filepath.Join(dir, name))
		if log := logOf(t, s, "lobby"); len(log) != 1 {
			t.Errorf("%s holds %+v", name, log)
		}
		closeStore(t, s)
	}
}
