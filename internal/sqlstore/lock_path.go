package sqlstore

import (
	"fmt"
	"os"
	"path/filepath"
)

// realPath is the absolute path of a database. A link to a file is followed, as
// SQLite does: the lock, and the files of SQLite, are beside the file itself.
func realPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding the database %s: %w", path, err)
	}
	if info, err := os.Lstat(abs); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return abs, nil
	}
	file, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return "", failure(ErrUnwritable, err, abs+" is a link to a file that is not there: name the file itself")
	}
	return file, nil
}

// apart refuses to make a database where it, or what is made beside it, would have
// the name of another one that is read, or of what is beside that.
func apart(read, made, doing string) error {
	beside := []string{"", "-journal", "-wal", "-shm", lockSuffix}
	for _, one := range beside {
		for _, two := range beside {
			if same(read+one, made+two) {
				return fmt.Errorf("%w: %s would be written over by %s, name another file", ErrExists, read+one, doing)
			}
		}
	}
	return nil
}

// same says that two paths are of one file.
func same(a, b string) bool {
	if a == b {
		return true
	}
	one, errOne := os.Stat(a)
	two, errTwo := os.Stat(b)
	return errOne == nil && errTwo == nil && os.SameFile(one, two)
}
