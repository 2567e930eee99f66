package nats

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Server is what the server that answered tells about itself.
type Server struct {
	Host       string // where it is
	Version    string // "2.9.10"
	TLS        bool   // the connection is encrypted
	MaxPayload int64  // bytes of a message; larger events are for one process alone
	Others     int    // servers of its cluster that it told of
	RoundTrip  time.Duration
}

// lookTrips are measured for Server.RoundTrip, their median; an odd number.
const lookTrips = 11

// Look connects as a broker does, to the first server that lets it, and asks it
// about itself, for people who want to know why a layer does not work. It takes
// as long as ctx lets it, and a few seconds at most.
func Look(ctx context.Context, o Options) (Server, error) {
	b, err := New(o)
	if err != nil {
		return Server{}, err
	}
	defer b.end()
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	link, err := b.connect(ctx)
	if err != nil {
		return Server{}, err
	}
	defer link.conn.Close()
	s := Server{
		Host:       link.conn.ConnectedAddr(),
		Version:    link.conn.ConnectedServerVersion(),
		MaxPayload: link.conn.MaxPayload(),
		Others:     len(link.conn.DiscoveredServers()),
	}
	_, err = link.conn.TLSConnectionState()
	s.TLS = err == nil
	trips := make([]time.Duration, lookTrips)
	for i := range trips {
		sent := time.Now()
		if err := link.conn.FlushWithContext(ctx); err != nil {
			return Server{}, fmt.Errorf("nats: ask %s: %w", s.Host, err)
		}
		trips[i] = time.Since(sent)
	}
	slices.Sort(trips)
	s.RoundTrip = trips[lookTrips/2]
	return s, nil
}
