package sqlstore_test

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// Who reads a database keeps SQLite from bringing its log into its file. Until
// both are one, a restore that is interrupted between them would leave neither.
func TestARestoreDoesNotTakeADatabaseFromItsLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "served", "teahouse.db"), filepath.Join(dir, "backup")
	s := openAt(t, path)
	mustAppend(t, s, said("lobby", "one", 1))
	mustBackup(t, path, file, sqlstore.BackupOptions{})
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reading, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reading.QueryRow("SELECT count(*) FROM messages").Scan(&n); err != nil || n != 1 {
		t.Fatalf("%d messages, %v", n, err)
	}
	mustAppend(t, s, said("lobby", "two", 1))
	closeStore(t, s)
	before := names(t, filepath.Dir(path))
	if !strings.Contains(strings.Join(before, " "), "-wal") {
		t.Fatalf("there is no log, the test is void: %v", before)
	}
	_, err = sqlstore.Restore(t.Context(), file, path, true)
	if !errors.Is(err, sqlstore.ErrInUse) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("while somebody reads: %v", err)
	}
	if diff := cmp.Diff(before, names(t, filepath.Dir(path))); diff != "" {
		t.Errorf("the folder has changed: %s", diff)
	}
	if err := reading.Rollback(); err != nil {
		t.Fatal(err)
	}
	if r := mustRestore(t, file, path, true); r.Messages != 1 {
		t.Errorf("restored: %+v", r)
	}
}
