//go:build unix && !solaris && !aix

package sqlstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errHeld tells that another process holds the lock.
var errHeld = errors.New("the lock is held")

// lockFile takes an exclusive lock on the file at path, making it when there is
// none. The kernel frees it when the process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if err := inherit(f); err != nil {
			f.Close()
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, errHeld
			}
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		locked, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if now, err := os.Stat(path); err == nil && os.SameFile(locked, now) {
			return f, nil
		}
		f.Close() // who had the lock has removed it meanwhile: another file may have the name
	}
}

// removeLock removes a lock that this process holds, and then frees it: who opens
// the file before sees by its name that it is gone.
func removeLock(lock *os.File) error {
	_ = os.Remove(lock.Name()) // it does no harm if it stays
	return freeLock(lock)
}

// freeLock frees a lock at once, although a process that is just being started may
// have the file for a moment too.
func freeLock(lock *os.File) error {
	return errors.Join(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN), lock.Close())
}

// inherit gives a file that root has made to the owner of its folder, as SQLite
// does with the files it makes beside a database: else what root restores could
// not be opened by the server it is for.
func inherit(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	folder, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return err
	}
	owner, ok := folder.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	file, err := f.Stat()
	if err != nil {
		return err
	}
	if has, ok := file.Sys().(*syscall.Stat_t); ok && has.Uid == owner.Uid && has.Gid == owner.Gid {
		return nil // else the file would count as changed, see spot
	}
	return f.Chown(int(owner.Uid), int(owner.Gid))
}
