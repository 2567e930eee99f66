// Package live is the chat on sockets: two consumers, rich and plain, that turn
// frames into calls of chat.Service and events into frames.
//
// A room is one group of the channel layer. What is stored in the room's log is
// published there as an event with its seq, rendered once per protocol and
// written to every member. A rich socket that joins is held in the group while
// it is sent what it missed, so that it sees each position once, ascending.
//
// Where several servers share the log, what each stores reaches the others through
// a broker that may lose, double and reorder it. So a room in use has a tail, which
// gives the group all positions in order and reads the log for those that are
// missing: within 20 ms when a later one is heard of, or 250 ms while others come
// in its place, else within 5 s. Its memory is bounded; while the log cannot be
// read, what comes in order is served.
//
// Who is here and who is typing is gathered per room and told at most once a
// second, to other processes with the same log by a roll. It is best effort:
// nothing else waits for it.
package live

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// Identities says who is on a socket.
type Identities interface {
	// FromRequest is the person of a cookie or bearer token; ok is false when
	// the request brings neither, and an error refuses what it brings.
	FromRequest(r *http.Request) (l chat.Login, ok bool, err error)
	// FromToken is the person of a token that New gave.
	FromToken(ctx context.Context, token, locale string) (chat.Login, error)
	// New is a new guest and the token that brings them back.
	New(locale string) (token string, l chat.Login)
}

// Sockets counts open sockets against their limits.
type Sockets interface {
	// AcquireAddress and AcquireUser count one more, or say that there are too
	// many already. The matching Release must follow exactly once.
	AcquireAddress(address string) bool
	ReleaseAddress(address string)
	AcquireUser(id chat.UserID) bool
	ReleaseUser(id chat.UserID)
}

// Options of a Server. All but Relay, Shared, Locale, Occupied and Logger are needed.
type Options struct {
	Layer      *channels.Layer
	Relay      *Relay // the layer's broker; nil: it has none, or nothing of rooms leaves the process
	Shared     bool   // other servers have the same log
	Service    *chat.Service
	Key        [32]byte // of the store's settings: servers with the same log know each other by it
	Identities Identities
	Sockets    Sockets
	Limiter    chat.Limiter
	Origins    func(*http.Request) bool
	Locale     func(*http.Request) string // language of a request; nil is English

	// Occupied is told when the first person comes into a room on this server,
	// and when the last has left. It must not wait. Nil tells nobody.
	Occupied func(room string, somebody bool)

	Limits  wire.Limits // told in the welcome
	Version string      // of the server
	Logger  *slog.Logger
}

// Server is the chat on sockets.
type Server struct {
	// fixed
	layer      *channels.Layer
	service    *chat.Service
	groups     groupName
	identities Identities
	sockets    Sockets
	limiter    chat.Limiter
	locale     func(*http.Request) string
	limits     wire.Limits
	version    string
	log        *slog.Logger
	presence   *presence
	tails      *tails // nil: nobody else has the log
	rich       *channels.Endpoint
	plain      *channels.Endpoint

	badFrames atomic.Int64
}

// New makes a Server; its endpoints serve at once. One with a Relay reads the log
// for what the broker loses, until Shutdown.
func New(o Options) *Server {
	s := &Server{
		layer:      o.Layer,
		service:    o.Service,
		groups:     groups(o.Service.Epoch()),
		identities: o.Identities,
		sockets:    o.Sockets,
		limiter:    o.Limiter,
		locale:     o.Locale,
		limits:     o.Limits,
		version:    o.Version,
		log:        o.Logger,
	}
	if s.locale == nil {
		s.locale = func(*http.Request) string { return "en" }
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.presence = newPresence(s.send)
	if o.Occupied != nil {
		s.presence.occupied = o.Occupied
	}
	if o.Shared {
		seal := newSeal(o.Key, o.Service.Epoch())
		s.tails = newTails(o.Service, o.Relay, o.Layer, seal, s.log)
		if o.Relay != nil {
			o.Relay.tails.Store(s.tails)
			s.presence.share(s.layer, s.groups.nodes(), seal, s.log)
		}
	}
	s.rich = channels.Handler(func() channels.Consumer { return &rich{server: s} }, &channels.Options{
		Layer:        s.layer,
		Render:       s.presence.rendering(richRender),
		Subprotocols: []string{wire.Subprotocol},
		Origins:      o.Origins,
		MaxMessage:   wire.MaxFrame,
		Logger:       s.log,
	})
	s.plain = channels.Handler(func() channels.Consumer { return &plain{server: s} }, &channels.Options{
		Layer:      s.layer,
		Render:     s.presence.rendering(plainRender),
		Origins:    o.Origins,
		MaxMessage: wire.MaxFrame,
		Logger:     s.log,
	})
	return s
}

// Rich serves the teahouse.v1 protocol.
func (s *Server) Rich() http.Handler { return s.rich }

// Plain serves the plain protocol; its pattern has the path value "room".
func (s *Server) Plain() http.Handler { return s.plain }

// Sizes of the server now.
type Stats struct {
	Rich, Plain int   // open sockets
	Rooms       int   // rooms with somebody in them
	BadFrames   int64 // client frames that were refused, since the start
	Rolls       RollStats
	Tails       TailStats
}

// Stats counts.
func (s *Server) Stats() Stats {
	return Stats{Rich: s.rich.Len(), Plain: s.plain.Len(), Rooms: s.presence.rooms(), BadFrames: s.badFrames.Load(), Rolls: s.presence.rollStats(), Tails: s.tails.stats()}
}

// send publishes a best-effort event in a room.
func (s *Server) send(room string, e channels.Event) {
	if err := s.layer.GroupSend(context.Background(), s.groups.of(room), e); err != nil {
		s.log.Warn("publish", "room", room, "type", e.Type, "err", err)
	}
}

// retryReason is a close reason with the time to stay away.
func retryReason(why string, wait time.Duration) string {
	return why + " retry_ms=" + strconv.FormatInt(wait.Milliseconds(), 10)
}
