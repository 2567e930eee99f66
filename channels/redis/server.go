package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// requestTimeout bounds what is asked of a host and is not to wait there.
const requestTimeout = 5 * time.Second

// server is what a Core has for one host.
type server struct {
	// fixed
	*conn
	core   *Core
	clock  clock
	roster *roster
	reader *reader
	looks  line[*sending] // for the members of groups
	writes line[*write]

	// guarded by mu
	mu    sync.Mutex
	peers []string // the Go processes that lived when the roster last asked
}

func newServer(c *Core, via *conn) *server {
	s := &server{conn: via, core: c}
	s.roster = newRoster(c, s)
	s.reader = newReader(c, s)
	s.looks = line[*sending]{runners: &c.lookers, work: func(b []*sending) { c.lookup(s, b) }}
	s.writes = line[*write]{runners: &c.writers, work: func(b []*write) { c.push(s, b) }}
	return s
}

// do runs commands in one request. An error is that of the connection or the
// server; that a key holds something strange is logged and of no concern to the
// others.
func (s *server) do(ctx context.Context, commands ...command) error {
	if len(commands) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answers, err := s.conn.do(ctx, commands...)
	if err != nil {
		return err
	}
	for i, answer := range answers {
		told, failed := answer.(redigo.Error)
		switch {
		case failed && isWrongType(told):
			s.log.Warn("redis: a key is something else, what it is for does not work until it is gone",
				"key", commands[i][1], "host", s.host.name, "err", told)
		case failed:
			return told
		}
	}
	return nil
}

func isWrongType(err error) bool {
	var told redigo.Error
	return errors.As(err, &told) && strings.HasPrefix(told.Error(), "WRONGTYPE")
}

// run runs a script.
func (s *server) run(ctx context.Context, script script, keys, args []string) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return s.conn.run(ctx, script, keys, args)
}

func (s *server) setPeers(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peers = ids
}

func (s *server) isPeer(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.peers, id)
}

// stale tells that an entry is older than entries may be.
func (s *server) stale(score float64) bool {
	return score < seconds(s.clock.now())-s.core.node.Expiry.Seconds()
}

// Causes of Node.Dropped.
const (
	dropFull      = "full"      // another process, or a channel of none, had no room
	dropExpired   = "expired"   // it had waited too long in Redis
	dropMalformed = "malformed" // it could not be understood, or was for somebody else
)

// broke notes that a connection broke. The roster finds out whether there are
// others, restores what may be gone, and tells the gap.
func (s *server) broke(err error) {
	s.down(err)
	poke(s.roster.lost)
}

// ignored notes an entry that cannot be delivered.
func (s *server) ignored(err error) {
	s.core.node.Dropped(dropMalformed, 1)
	s.conn.ignored(err)
}

var errMisaddressed = errors.New("an entry for somebody else")
