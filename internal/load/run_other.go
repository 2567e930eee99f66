//go:build !linux

package load

import (
	"context"
	"errors"
)

var errLinux = errors.New("the load generator needs Linux: it waits with epoll and measures by /proc")

// Run is only on Linux.
func Run(context.Context, Plan) (Result, error) { return Result{}, errLinux }

// Files is only on Linux.
func Files() (int, error) { return 0, errLinux }

// Pin is only on Linux.
func Pin([]int) error { return errLinux }

// StartPinned is only on Linux.
func StartPinned([]int, func() error) error { return errLinux }
