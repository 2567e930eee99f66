//go:build unix && !solaris && !aix

package sqlstore

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errHeld tells that another process holds the lock.
var errHeld = errors.New("the lock is held")

// lockFile takes an exclusive lock on the file at path, making it when there is
// none. The kernel frees it when the process ends, however it ends; the file
// stays, since removing it would let two processes lock two files of one name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errHeld
		}
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return f, nil
}
