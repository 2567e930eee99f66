package sqlstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTheSystemsReasonsHaveAdviceOfTheirOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "teahouse.db")
	for name, c := range map[string]struct {
		system error
		want   error
		says   string
	}{
		"no more files":   {syscall.EMFILE, ErrFiles, "too many open files): raise the limit of open files (ulimit -n"},
		"another's files": {syscall.EACCES, ErrUnwritable, "permission denied): let this user write " + path},
		"as which user":   {syscall.EACCES, ErrUnwritable, "run this as root or as the user they belong to"},
		"a full disk":     {syscall.ENOSPC, ErrUnwritable, "no space left on device): make " + path + " and its folder writable, with space left on the disk"},
	} {
		t.Run(name, func(t *testing.T) {
			said := fmt.Errorf("reading: %w", &os.PathError{Op: "open", Path: path, Err: c.system})
			for _, err := range []error{unwritable(ErrUnwritable, path, said), explainSQLite(path, said), explainCopy(ErrUnwritable, path, said)} {
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v; want %v saying %q", err, c.want, c.says)
				}
			}
		})
	}
}

func TestAFailureIsOneLineThatSaysEachThingOnce(t *testing.T) {
	full := errors.New("database or disk is full (13)")
	for _, c := range []struct {
		err  error
		want string
	}{
		{failure(ErrForeign, nil, "move it away"), "this is not a Teahouse database: move it away"},
		{failure(ErrUnwritable, errors.Join(full, full, errors.New("late")), "make space"), "the database cannot be written (database or disk is full (13); late): make space"},
		{failure(ErrNewer, fmt.Errorf("%w: version 9", ErrNewer), "run that one"), "the database was made by a newer Teahouse: version 9: run that one"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("says %q, want %q", got, c.want)
		}
	}
}
