//go:build !unix

package websocket

import (
	"errors"
	"net"
)

// Here no socket can be tried without waiting: every connection has a blocking
// reader and writes through its flusher, and the rest is never called.

func descriptor(net.Conn) int { return -1 }

func trySend(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

func tryRead(uintptr, []byte) (int, bool, error) { return 0, true, errors.ErrUnsupported }

func readable(uintptr) bool { return true }

func hangUp(int, bool) {}

func endSending(int) {}
