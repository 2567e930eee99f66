package parts

import (
	"os/exec"
	"syscall"
)

// noOrphan ends the program with this process, also when that is killed and
// runs no cleanup.
func noOrphan(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
