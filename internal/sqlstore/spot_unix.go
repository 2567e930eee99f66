//go:build linux || openbsd || dragonfly || darwin || freebsd || netbsd

package sqlstore

import (
	"os"
	"syscall"
)

// spotOf is where a file is, if the system tells.
func spotOf(f *os.File) (spot, bool) {
	info, err := f.Stat()
	if err != nil {
		return spot{}, false
	}
	known, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return spot{}, false
	}
	return spot{inode: known.Ino, changed: changedAt(known)}, true
}
