//go:build unix

package app

import "syscall"

// mostFiles is how many files this process may have open at once: the soft limit,
// which every Go program raises to the hard one at its start.
func mostFiles() uint64 {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0
	}
	return uint64(files.Cur)
}
