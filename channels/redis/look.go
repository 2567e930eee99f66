package redis

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// Server is what one of Options.Hosts tells about itself. What it did not tell,
// since its user may not ask, is empty.
type Server struct {
	Host      string // its URL without credentials
	Err       error  // why it cannot be used; the rest is empty then
	RoundTrip time.Duration

	Version   string // "7.0.15"
	Mode      string // "standalone", "cluster" or "sentinel"
	Role      string // "master" or "slave"
	MaxMemory int64  // bytes; 0 is no bound
	Eviction  string // maxmemory-policy: what it forgets at the bound, "noeviction" for nothing
}

// lookTrips are measured for Server.RoundTrip, their median; an odd number.
const lookTrips = 11

// Look asks each host about itself, for people who want to know why a layer
// does not work. It writes nothing there. It takes as long as ctx lets it, and
// its error is about o alone.
func Look(ctx context.Context, o Options) ([]Server, error) {
	s, err := o.checked()
	if err != nil {
		return nil, err
	}
	servers := make([]Server, len(s.hosts))
	var all sync.WaitGroup
	for i, h := range s.hosts {
		all.Go(func() {
			servers[i].Host = h.name
			servers[i].Err = servers[i].look(ctx, newConn(h, s.TLS, slog.New(slog.DiscardHandler)))
		})
	}
	all.Wait()
	return servers, nil
}

func (s *Server) look(ctx context.Context, c *conn) error {
	defer c.close()
	if _, err := c.pipe(ctx); err != nil {
		return err
	}
	trips := make([]time.Duration, lookTrips)
	for i := range trips {
		sent := time.Now()
		if _, err := c.do(ctx, command{"PING"}); err != nil {
			return fmt.Errorf("redis: ask %s: %w", s.Host, err)
		}
		trips[i] = time.Since(sent)
	}
	slices.Sort(trips)
	s.RoundTrip = trips[lookTrips/2]
	answers, err := c.do(ctx, command{"INFO"})
	if err != nil {
		return fmt.Errorf("redis: ask %s: %w", s.Host, err)
	}
	text, _ := redigo.String(answers[0], nil) // or it may not be asked
	s.read(text)
	return nil
}

// read takes the lines of INFO, "name:value", that are of interest.
func (s *Server) read(info string) {
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			s.Version = value
		case "redis_mode":
			s.Mode = value
		case "role":
			s.Role = value
		case "maxmemory":
			s.MaxMemory, _ = strconv.ParseInt(value, 10, 64) // 0 when it is no number
		case "maxmemory_policy":
			s.Eviction = value
		}
	}
}
