package sqlstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// saved is a copy of all files of a folder, as tools make it.
type saved map[string]struct {
	text  []byte
	times time.Time
}

func saveFolder(t *testing.T, dir string) saved {
	t.Helper()
	s := make(saved)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		info, errInfo := e.Info()
		if err := errors.Join(err, errInfo); err != nil {
			t.Fatal(err)
		}
		s[e.Name()] = struct {
			text  []byte
			times time.Time
		}{text, info.ModTime()}
	}
	return s
}

func (s saved) putBack(t *testing.T, dir string, times bool) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, file := range s {
		at := filepath.Join(dir, name)
		err := os.WriteFile(at, file.text, 0o600)
		if times {
			err = errors.Join(err, os.Chtimes(at, file.times, file.times))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFolderPutBackBeginsANewEpoch(t *testing.T) {
	for name, putBack := range map[string]func(t *testing.T, s saved, dir string) string{
		"over what is there":            func(t *testing.T, s saved, dir string) string { s.putBack(t, dir, false); return dir },
		"over it, with the old times":   func(t *testing.T, s saved, dir string) string { s.putBack(t, dir, true); return dir },
		"beside it, with the old times": func(t *testing.T, s saved, dir string) string { s.putBack(t, dir+"2", true); return dir + "2" },
		"in place of it": func(t *testing.T, s saved, dir string) string {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			s.putBack(t, dir, true)
			return dir
		},
	} {
		for before := range 2 { // messages in the copy
			t.Run(name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "teahouse")
				first := epochOf(t, filepath.Join(dir, "teahouse.db"), before)
				copied := saveFolder(t, dir)
				if again := epochOf(t, filepath.Join(dir, "teahouse.db"), 2); again != first {
					t.Fatalf("a restart made %s of %s", again, first)
				}
				at := filepath.Join(putBack(t, copied, dir), "teahouse.db")
				renewed := epochOf(t, at, 0)
				if renewed == first {
					t.Errorf("with %d messages it has the epoch of what was lost", before)
				}
				if again := epochOf(t, at, 1); again != renewed {
					t.Errorf("the new epoch did not stay: %s, then %s", renewed, again)
				}
			})
		}
	}
}

func TestAFolderThatStayedKeepsItsEpoch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "teahouse")
	path := filepath.Join(dir, "teahouse.db")
	first := epochOf(t, path, 2)
	for range 2 {
		if seen, err := Look(t.Context(), path, true); err != nil || seen.Entries != 2 {
			t.Fatalf("%+v, %v", seen, err)
		}
		if got := epochOf(t, path, 0); got != first {
			t.Fatalf("after a look: %s, then %s", first, got)
		}
	}
	if err := os.Rename(dir, dir+"2"); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir+"2", "teahouse.db")
	if got := epochOf(t, path, 1); got != first {
		t.Errorf("renamed: %s, then %s", first, got)
	}
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	// As a server that was killed leaves it.
	if err := errors.Join(s.mark.add(0), s.queries.close(), s.writer.close(), s.reads.Close(), s.writes.Close(), s.lock.Close()); err != nil {
		t.Fatal(err)
	}
	if got := epochOf(t, path, 0); got != first {
		t.Errorf("after a crash: %s, then %s", first, got)
	}
	if got := epochOf(t, path, 0); got != first {
		t.Errorf("after a restart after that: %s, then %s", first, got)
	}
	if err := os.Remove(path + lockSuffix); err != nil {
		t.Fatal(err)
	}
	if got := epochOf(t, path, 0); got == first {
		t.Error("who asks for a new epoch by removing the lock does not get one")
	}
}
