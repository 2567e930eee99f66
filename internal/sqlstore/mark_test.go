package sqlstore

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// epochOf opens the database at path, stores n messages and returns its epoch.
func epochOf(t *testing.T, path string, n int) string {
	t.Helper()
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range n {
		nonce := fmt.Sprint(s.mark.entries, " ", i)
		_, err := s.Append(t.Context(), []chat.Draft{{Room: "lobby", Author: chat.User{ID: 1, Name: "A"}, Nonce: nonce, Text: "x", Create: true}})
		if err != nil {
			t.Fatal(err)
		}
	}
	set, err := s.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return set.Epoch
}

func duplicate(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestARestoredBackupBeginsANewEpoch(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "teahouse.db"), filepath.Join(dir, "backup.db")
	first := epochOf(t, path, 3)
	if again := epochOf(t, path, 0); again != first {
		t.Fatalf("a restart made %s of %s", again, first)
	}
	duplicate(t, path, backup)
	if later := epochOf(t, path, 3); later != first {
		t.Fatalf("posting made %s of %s", later, first)
	}
	duplicate(t, backup, path)
	restored := epochOf(t, path, 0)
	if restored == first {
		t.Error("the restored backup has the epoch of what was lost")
	}
	if again := epochOf(t, path, 1); again != restored {
		t.Errorf("the new epoch did not stay: %s, then %s", restored, again)
	}
}

func TestABackupThatHasItAllIsNoChange(t *testing.T) {
	dir := t.TempDir()
	path, backup := filepath.Join(dir, "teahouse.db"), filepath.Join(dir, "backup.db")
	first := epochOf(t, path, 3)
	duplicate(t, path, backup)
	duplicate(t, backup, path)
	if again := epochOf(t, path, 0); again != first {
		t.Errorf("epoch %s became %s", first, again)
	}
}

func TestADatabaseInAnotherFolderBeginsANewEpoch(t *testing.T) {
	dir := t.TempDir()
	path, moved := filepath.Join(dir, "teahouse.db"), filepath.Join(dir, "moved.db")
	first := epochOf(t, path, 1)
	duplicate(t, path, moved)
	if other := epochOf(t, moved, 0); other == first {
		t.Error("nobody knows what became of it meanwhile, and yet it has the old epoch")
	}
}

func TestAFullDiskBesideTheDatabaseLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "teahouse.db")
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.mark.file, err = os.Open(path + lockSuffix) // cannot be written
	if err != nil {
		t.Fatal(err)
	}
	defer s.mark.file.Close()
	if _, err := s.Append(t.Context(), []chat.Draft{{Room: "lobby", Author: chat.User{ID: 1}, Nonce: "n", Text: "x", Create: true}}); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
