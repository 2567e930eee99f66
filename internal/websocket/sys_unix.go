//go:build unix

package websocket

import (
	"net"
	"syscall"
)

// descriptor returns the file descriptor of a plain socket, which can be tried
// without waiting, and -1 for everything else. Types that only wrap a socket
// are something else: what they do on Write must not be left out.
func descriptor(nc net.Conn) int {
	switch nc.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return -1
	}
	fd := -1
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err == nil {
		err = raw.Control(func(f uintptr) { fd = int(f) })
	}
	if err != nil {
		return -1
	}
	return fd
}

// trySend writes what the socket takes at once: n < len(b) without an error
// means that it is full.
func trySend(fd int, b []byte) (n int, err error) {
	for {
		n, err = syscall.Write(fd, b)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// tryRead reads what the socket has; ok is false when it has nothing yet.
func tryRead(fd uintptr, b []byte) (n int, ok bool, err error) {
	for {
		n, err = syscall.Read(int(fd), b)
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, false, nil
		default:
			return n, true, err
		}
	}
}

// readable tells whether the socket has something to read, or has ended.
func readable(fd uintptr) bool {
	var one [1]byte
	for {
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		if err != syscall.EINTR {
			return err != syscall.EAGAIN
		}
	}
}

// hangUp ends both directions, which wakes the reader. With reset, closing the
// descriptor drops what the kernel still holds and tells the peer so (RST).
func hangUp(fd int, reset bool) {
	if reset {
		_ = syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	}
	_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
}

// endSending sends FIN behind everything written.
func endSending(fd int) { _ = syscall.Shutdown(fd, syscall.SHUT_WR) }
