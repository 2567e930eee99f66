package sqlstore

import (
	"sync/atomic"
	"time"
)

// Stats are what a store had to do besides reading and writing.
type Stats struct {
	// now
	Readers int // connections for reading
	Reading int // of them, those in use

	// since the start
	Renewed uint64        // writing connections that took the place of one that had failed
	Again   uint64        // transactions that were begun again, since others got in the way
	Waits   uint64        // reads that waited for a connection
	Waited  time.Duration // by all of them together
}

// counters are of writing, and of reads that wait for their turn. The pool of
// readers has its own.
type counters struct {
	renewed, again, waits atomic.Uint64
	waited                atomic.Int64 // nanoseconds
}

// Stats counts.
func (s *Store) Stats() Stats {
	pool := s.reads.Stats()
	return Stats{
		Readers: pool.OpenConnections, Reading: pool.InUse,
		Renewed: s.count.renewed.Load(), Again: s.count.again.Load(),
		Waits:  uint64(pool.WaitCount) + s.count.waits.Load(),
		Waited: pool.WaitDuration + time.Duration(s.count.waited.Load()),
	}
}
