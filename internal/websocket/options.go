package websocket

import (
	"errors"
	"log/slog"
	"time"
)

// Options are the limits of one endpoint. Zero fields stand for the values in
// brackets. One Options serves many connections, which share a keepalive
// goroutine and read buffers through it: pass the same pointer to every
// [Begin], and do not copy or change it after the first.
type Options struct {
	MaxMessage      int           // bytes of one message [64 KiB]; a longer one is refused with 1009 as soon as it is declared
	MaxFragments    int           // frames of one message [128]; more: 1008
	FragmentTimeout time.Duration // from the first byte of a message to its last [60s]; then 1008
	PingEvery       time.Duration // silence of the client before it is pinged [25s]
	PongWait        time.Duration // further silence before it is cut [10s]
	WriteTimeout    time.Duration // with a backlog and no progress before the client is cut with 4408 [10s]
	Backlog         int           // bytes waiting for a slow client [1 MiB]; above, it is cut with 4408
	MaxPings        int           // control frames from the client per second [100]; more: 4429
	Logger          *slog.Logger  // for panics in handlers [slog.Default()]
}

var (
	// ErrClosed is returned by writes after the connection has begun to close.
	ErrClosed = errors.New("websocket: connection closed")
	// ErrTooSlow is returned by the write that passes the backlog's bound; the
	// connection is being cut with 4408, and later writes return ErrClosed.
	ErrTooSlow = errors.New("websocket: client too slow")
)
