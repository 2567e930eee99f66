package websocket

import (
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Options are the limits of one endpoint. Zero fields stand for the values in
// brackets, which the first [Begin] fills in. One Options serves many
// connections, which share a keepalive goroutine and read buffers through it:
// pass the same pointer to every Begin, and do not copy or change it after.
type Options struct {
	MaxMessage      int           // bytes of one message [64 KiB]; a longer one is refused with 1009 as soon as it is declared
	MaxFragments    int           // frames of one message [128]; more: 1008
	FragmentTimeout time.Duration // from the first byte of a message to its last [60s]; then 1008
	PingEvery       time.Duration // silence of the client before it is pinged [25s]
	PongWait        time.Duration // further silence before it is cut [10s]
	WriteTimeout    time.Duration // with a backlog and no progress before the client is cut with 4408 [10s]
	Backlog         int           // bytes waiting for a slow client [1 MiB]; above, it is cut with 4408
	Budget          *Budget       // of the backlogs of all clients together, may be shared [256 MiB of its own]; above, the worst are cut with 4408
	MaxPings        int           // pings and pongs from the client per second [100]; more: 4429
	Logger          *slog.Logger  // for panics in handlers [slog.Default()]

	once    sync.Once
	wheel   wheel
	buffers sync.Pool // of *readBuffer
}

const (
	// readSize is what a reader borrows while there is something to read: a
	// message that fits is handled in place.
	readSize = 16 << 10

	// closeWait is how long a peer may take to answer a close frame.
	closeWait = 5 * time.Second

	// lingerWait is how long a connection that failed, or was too slow, may
	// take to receive its close frame.
	lingerWait = time.Second
)

type readBuffer [readSize]byte

var (
	// ErrClosed is returned by writes after the connection has begun to close.
	ErrClosed = errors.New("websocket: connection closed")

	// ErrTooSlow is returned by the write that passes the backlog's bound; the
	// connection is being cut with 4408, and later writes return ErrClosed.
	ErrTooSlow = errors.New("websocket: client too slow")
)

// prepare fills in the defaults before the first connection.
func (o *Options) prepare() {
	o.once.Do(func() {
		orDefault(&o.MaxMessage, 64<<10)
		orDefault(&o.MaxFragments, 128)
		orDefault(&o.FragmentTimeout, 60*time.Second)
		orDefault(&o.PingEvery, 25*time.Second)
		orDefault(&o.PongWait, 10*time.Second)
		orDefault(&o.WriteTimeout, 10*time.Second)
		orDefault(&o.Backlog, 1<<20)
		orDefault(&o.MaxPings, 100)
		if o.Budget == nil {
			o.Budget = NewBudget(0)
		}
		if o.Logger == nil {
			o.Logger = slog.Default()
		}
		o.buffers.New = func() any { return new(readBuffer) }
		o.wheel.prepare(min(o.PingEvery, o.PongWait, o.FragmentTimeout))
	})
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}
