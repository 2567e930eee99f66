package sqlstore

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// As a stop while starting, or a disk that fails then.
func TestAStartThatIsInterruptedDoesNotHideAFolderPutBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "teahouse")
	path := filepath.Join(dir, "teahouse.db")
	first := epochOf(t, path, 2)
	copied := saveFolder(t, dir)
	epochOf(t, path, 3)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	copied.putBack(t, dir, true)
	_, err := begin(t.Context(), path, quiet, func(s *Store, ctx context.Context, at string) error {
		if err := errors.Join(s.connect(ctx, at), s.upgrade(ctx)); err != nil {
			return err
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return s.dialect.meet(ended, s)
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if got := epochOf(t, path, 0); got == first {
		t.Error("it has the epoch of what was lost")
	}
}

func TestTheLogSaysWhatWasSeenOfTheLockFile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(lock string) error
		says   string
	}{
		"given to whom it belongs": {func(lock string) error { return os.Lchown(lock, os.Getuid(), os.Getgid()) }, "ctime differs"},
		"another file with the same text": {func(lock string) error {
			text, err := os.ReadFile(lock)
			return errors.Join(err, os.WriteFile(lock+"2", text, 0o600), os.Rename(lock+"2", lock))
		}, "inode differs"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "teahouse.db")
			epochOf(t, path, 1)
			if err := c.change(path + lockSuffix); err != nil {
				t.Fatal(err)
			}
			var log strings.Builder
			s, err := Open(t.Context(), path, slog.New(slog.NewTextHandler(&log, nil)))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if !strings.Contains(log.String(), c.says) {
				t.Errorf("the log lacks %q: %s", c.says, log.String())
			}
		})
	}
}

// A server that was killed has not noted when its lock file changed last: the inode tells.
func TestACopyOfTheFolderOfAKilledServerIsSeenElsewhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "teahouse")
	path := filepath.Join(dir, "teahouse.db")
	first := epochOf(t, path, 1)
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	s.mark = nil // leaves no spot
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	saveFolder(t, dir).putBack(t, dir+"2", true)
	if got := epochOf(t, filepath.Join(dir+"2", "teahouse.db"), 0); got == first {
		t.Error("it has the epoch of the other")
	}
}
