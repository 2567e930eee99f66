package doctor

import "syscall"

const unsynchronised = 0x40 // STA_UNSYNC of adjtimex(2)

// clockKept says that the kernel was not told that nobody keeps the clock right.
func clockKept() bool {
	var t syscall.Timex
	_, err := syscall.Adjtimex(&t)
	return err != nil || t.Status&unsynchronised == 0
}
