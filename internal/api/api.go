// Package api is the chat over HTTP for machines: post a message, page through
// a room's log, follow it as server-sent events. Bodies are JSON; errors are
// {"code","message","hint"} with the codes of package wire.
package api

import (
	"context"
	"net/http"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Identities says who sends a request, and gives newcomers their cookie.
type Identities interface {
	Guest(w http.ResponseWriter, r *http.Request) (chat.Login, error)
	FromRequest(r *http.Request) (l chat.Login, ok bool, err error)
}

// Follower gives a room's messages after a position to send until ctx ends,
// and calls idle when it has been quiet for a while.
type Follower interface {
	Follow(ctx context.Context, room string, after int64, send func([]chat.Message) error, idle func() error) error
}

// Sockets counts the streams that are open from one address.
type Sockets interface {
	AcquireAddress(address string) bool
	ReleaseAddress(address string)
}

// Options of a handler; all are needed.
type Options struct {
	Service    *chat.Service
	Identities Identities
	Follower   Follower
	Sockets    Sockets
}

// handler holds what the routes share.
type handler struct{ Options }

// New serves /api/. Put protection against other sites' requests in front.
func New(o Options) http.Handler {
	h := &handler{o}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/rooms/{room}/messages", h.messages)
	mux.HandleFunc("POST /api/rooms/{room}/messages", h.post)
	mux.HandleFunc("/api/rooms/{room}/messages", methodNotAllowed("GET, POST"))
	mux.HandleFunc("GET /api/rooms/{room}/stream", h.stream)
	mux.HandleFunc("/api/rooms/{room}/stream", methodNotAllowed("GET"))
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, failure{Code: "not_found", Message: "there is nothing at this address",
			Hint: "see docs/protocol.md for the addresses of the API"})
	})
	return noStore(mux)
}

// noStore keeps answers out of caches and from being taken for pages.
func noStore(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		next.ServeHTTP(w, r)
	})
}

func methodNotAllowed(allow string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		writeError(w, http.StatusMethodNotAllowed, failure{Code: "method_not_allowed", Message: r.Method + " is not possible here", Hint: "use " + allow})
	}
}

// bodyTimeout is how long a request's body may take.
const bodyTimeout = 30 * time.Second
