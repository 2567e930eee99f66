package suite

import (
	"github.com/teahouse-chat/teahouse/bench/peer"
	"github.com/teahouse-chat/teahouse/internal/load"
)

// writeCount counts the write system calls of a server while it delivers.
type writeCount struct {
	server *peer.Server
	begun  bool

	// at begin
	writes     int64
	deliveries int64
}

// begin is a load.Plan's Progress: it takes the first look when everybody has
// joined.
func (c *writeCount) begin(p load.Progress) {
	if c.begun || p.Doing != "warming up" {
		return
	}
	// A server that is gone has no count, and no sample either.
	if n, err := c.server.Writes(); err == nil {
		c.begun, c.writes, c.deliveries = true, n, p.Deliveries
	}
}

// end is how many deliveries came with each write; 0 when that is not known.
func (c *writeCount) end(r load.Result) float64 {
	n, err := c.server.Writes()
	if !c.begun || err != nil {
		return 0
	}
	all := r.Posts * int64(r.Members)
	return over(float64(all-c.deliveries), float64(n-c.writes))
}
