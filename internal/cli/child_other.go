//go:build !linux

package cli

import "syscall"

// childAttributes are of bench's own server, which runs on Linux only.
func childAttributes() *syscall.SysProcAttr { return nil }
