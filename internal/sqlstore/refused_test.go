package sqlstore_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// tree is all that is in a folder.
func tree(t *testing.T, folder string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
		all = append(all, strings.TrimPrefix(path, folder))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWhatIsRefusedLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	furnish(t, at("tea.db"), 10)
	if err := os.Link(at("tea.db"), at("link.db")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("diary"), []byte("Dear diary, it is about tea."), 0o600); err != nil {
		t.Fatal(err)
	}
	execSQLite(t, at("recipes"), `CREATE TABLE recipes (name TEXT)`)
	before := tree(t, dir)
	copied := func(from, to string) func() error {
		return func() error {
			_, err := sqlstore.Copy(t.Context(), at(from), at(to), sqlstore.CopyOptions{Log: quiet})
			return err
		}
	}
	restored := func(file, to string) func() error {
		return func() error {
			_, err := sqlstore.Restore(t.Context(), at(file), at(to), false)
			return err
		}
	}
	for name, c := range map[string]struct {
		do   func() error
		want error
	}{
		"a copy of nothing":                 {copied("no/tea.db", "new/tea.db"), sqlstore.ErrEmpty},
		"a copy of text":                    {copied("diary", "new/tea.db"), sqlstore.ErrForeign},
		"a copy of somebody else's":         {copied("recipes", "new/tea.db"), sqlstore.ErrForeign},
		"a copy of a folder":                {copied("", "new/tea.db"), sqlstore.ErrForeign},
		"a copy onto itself":                {copied("tea.db", "tea.db"), sqlstore.ErrOccupied},
		"a copy onto itself by a link":      {copied("tea.db", "link.db"), sqlstore.ErrOccupied},
		"a copy onto itself by another way": {copied("tea.db", "../"+filepath.Base(dir)+"/./tea.db"), sqlstore.ErrOccupied},
		"a copy onto text":                  {copied("tea.db", "diary"), sqlstore.ErrForeign},
		"a restore of nothing":              {restored("no/backup", "new/tea.db"), sqlstore.ErrUnreadable},
		"a restore of a folder":             {restored("", "new/tea.db"), sqlstore.ErrUnreadable},
		"a restore over another file":       {restored("tea.db", "diary"), sqlstore.ErrExists},
		"a restore of text":                 {restored("diary", "a/new/tea.db"), sqlstore.ErrDamaged},
		"a server of text": {func() error {
			_, err := sqlstore.Open(t.Context(), at("diary"), quiet)
			return err
		}, sqlstore.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.do(); !errors.Is(err, c.want) {
				t.Errorf("%v; want %v", err, c.want)
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("the folder (-before +after):\n%s", diff)
			}
		})
	}
}

func TestACopyThatIsRefusedKeepsTheEpochOfTheSource(t *testing.T) {
	server := parts.Postgres(t)
	dir := t.TempDir()
	for name, from := range map[string]string{"sqlite": filepath.Join(dir, "teahouse.db"), "postgres": inSchema(t, server, "source")} {
		t.Run(name, func(t *testing.T) {
			furnish(t, from, 10)
			target, other := filepath.Join(dir, name, "target.db"), inSchema(t, server, "other"+name)
			furnish(t, other, 10)
			mustCopy(t, from, target)
			_, epoch := readAt(t, from) // served again: this is its own
			for to, says := range map[string]string{target: "it was copied from this source before", other: "name an empty database", from: "the same database"} {
				_, err := sqlstore.Copy(t.Context(), from, to, sqlstore.CopyOptions{Log: quiet})
				if !errors.Is(err, sqlstore.ErrOccupied) || !strings.Contains(err.Error(), says) {
					t.Errorf("to %s: %v; want %q", sqlstore.Place(to), err, says)
				}
			}
			if _, after := readAt(t, from); after != epoch {
				t.Errorf("the epoch was %s and is %s", epoch, after)
			}
			mustCopy(t, from, filepath.Join(dir, name, "new.db"))
			if _, copied := readAt(t, filepath.Join(dir, name, "new.db")); copied != epoch {
				t.Errorf("a copy has the epoch %s, want %s", copied, epoch)
			}
			var log strings.Builder
			if _, err := sqlstore.Copy(t.Context(), from, target, sqlstore.CopyOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}); err == nil || log.Len() > 0 {
				t.Errorf("again: %v, and logs %s", err, log.String())
			}
		})
	}
}
