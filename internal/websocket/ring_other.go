//go:build !linux

package websocket

import "errors"

// ringSize is of no use here.
const ringSize = 0

// ring is many writes in one call: only Linux has that, so there is none here,
// and none of its methods is called.
type ring struct {
	results []int32
	batch
}

func newRing() (*ring, error) { return nil, errors.ErrUnsupported }

func (*ring) close() {}

func (*ring) add(int, []byte) {}

func (*ring) submit([]byte) error { return errors.ErrUnsupported }
