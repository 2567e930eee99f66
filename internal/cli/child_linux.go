package cli

import "syscall"

// childAttributes are of bench's own server: signals from the terminal are for
// bench, which then stops the server, and when bench is killed the kernel stops
// it. That happens when the thread that started the server ends, see hold.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
