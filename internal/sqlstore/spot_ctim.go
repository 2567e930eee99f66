//go:build linux || openbsd || dragonfly

package sqlstore

import "syscall"

func changedAt(s *syscall.Stat_t) int64 { return s.Ctim.Nano() }
