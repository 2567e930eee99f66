package websocket

import "syscall"

const (
	// tcpNotSentLowat is TCP_NOTSENT_LOWAT of tcp(7), which package syscall lacks.
	tcpNotSentLowat = 25

	// kernelUnsent is how many bytes the kernel may hold that it has not sent. On
	// a fast path without loss it would take 4 MB, unseen by any budget, from
	// a client that has stopped reading.
	kernelUnsent = 128 << 10
)

// boundKernel bounds what the kernel holds for a slow client beside what is on
// its way. A Unix socket has a bound of its own, and keeps it.
func boundKernel(fd int) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, tcpNotSentLowat, kernelUnsent)
}
