package sqlstore

import (
	"errors"
	"os"
	"syscall"
)

// errHeld tells that another process holds the lock.
var errHeld = errors.New("the lock is held")

// lockFile takes an exclusive lock on the file at path, making it when there is
// none: the file is opened without sharing, until it is closed or the process
// ends.
func lockFile(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	const sharingViolation = syscall.Errno(32)
	switch {
	case errors.Is(err, sharingViolation):
		return nil, errHeld
	case err != nil:
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

// removeLock frees a lock and removes it, unless another process has taken it at
// once: then the file cannot be removed, and need not be.
func removeLock(lock *os.File) error {
	err := lock.Close()
	_ = os.Remove(lock.Name())
	return err
}

// freeLock frees a lock.
func freeLock(lock *os.File) error { return lock.Close() }

// inherit is for systems where a file belongs to who made it: here it belongs to
// its folder's rules.
func inherit(*os.File) error { return nil }
