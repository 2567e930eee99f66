package app

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"path"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/api"
	"github.com/teahouse-chat/teahouse/internal/auth"
)

// handler is the whole site.
func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws", a.live.Rich())
	mux.Handle("/ws/chat/{room}", a.live.Plain())
	mux.Handle("/ws/chat/{room}/{$}", a.live.Plain())
	mux.Handle("/api/", api.New(api.Options{
		Service:    a.service,
		Identities: a.guests,
		Follower:   a.live,
		Sockets:    sockets{a.limiter},
	}))
	mux.Handle("/", a.pages)
	all := http.NewServeMux() // a balancer asks after health by whatever name it knows this server
	all.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	all.HandleFunc("GET /readyz", a.readyz)
	all.Handle("/", a.sites.Protect(mux))
	trusted := a.config.TrustedProxies
	return auth.WarnOfProxies(trusted, a.log, auth.Forwarded(trusted, a.logged(strict(all))))
}

// readyz says whether visitors should be sent here.
func (a *app) readyz(w http.ResponseWriter, _ *http.Request) {
	why := a.unready()
	switch {
	case why != "":
		say(w, http.StatusServiceUnavailable, why)
	case a.disconnected():
		// Visitors are served as ever; sending them elsewhere would not help.
		say(w, http.StatusOK, "ready, but the layer's "+a.brokerName+" cannot be reached: see the log")
	default:
		say(w, http.StatusOK, "ready")
	}
}

// unready is why visitors should not be sent here; "" when they should.
func (a *app) unready() string {
	switch {
	case a.leaving.Load():
		return "stopping: send visitors to other servers"
	case !a.ready.Load():
		return "starting"
	case a.service.Stats().Failing || a.live.LogFails():
		return "the store fails: see the log"
	}
	return ""
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

// adminHandler serves operators; it belongs on an address of their own. Where
// that is local, a page that somebody on this machine looks at must not read more
// than health by binding its name to it (DNS rebinding). Where it is not, the
// operator has put it into a network for Prometheus, which asks by the name of the
// machine, whatever it is there; profiles are protected in either case.
func (a *app) adminHandler(local bool) http.Handler {
	mux, all := http.NewServeMux(), http.NewServeMux()
	all.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	all.HandleFunc("GET /readyz", a.readyz)
	scraped := all
	if local {
		scraped = mux
	}
	scraped.Handle("GET /metrics", a.metrics.Handler())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // heap, goroutine and the other profiles
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	all.Handle("/", a.sites.ProtectOperators(mux))
	return strict(all)
}

// maxHeaders is how many header lines a request may have.
const maxHeaders = 128

// strict refuses what no visitor sends and no handler should see.
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lines := 0
		for _, values := range r.Header {
			lines += len(values)
		}
		switch {
		case r.Method == http.MethodTrace || r.Method == http.MethodConnect:
			w.Header().Set("Allow", "GET, HEAD, POST")
			http.Error(w, "This method is not possible here.", http.StatusMethodNotAllowed)
		case lines > maxHeaders:
			w.Header().Set("Connection", "close")
			http.Error(w, "Too many header lines.", http.StatusRequestHeaderFieldsTooLarge)
		case climbs(r.URL.Path):
			http.NotFound(w, r)
		default:
			if len(r.TransferEncoding) > 0 || r.Header.Get("Upgrade") != "" {
				w.Header().Set("Connection", "close") // where the next request begins was not seen, see head
			}
			next.ServeHTTP(w, r)
		}
	})
}

// climbs says that a path leads up by a segment . or .., also one that a system
// with backslashes would see; a mux would answer with a redirect.
func climbs(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." || strings.HasPrefix(segment, `..\`) {
			return true
		}
	}
	return false
}

// logged writes each request at level debug, without its query and cookies.
func (a *app) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.log.Enabled(r.Context(), slog.LevelDebug) {
			next.ServeHTTP(w, r)
			return
		}
		method, where, start := r.Method, path.Clean(r.URL.Path), time.Now()
		next.ServeHTTP(w, r)
		a.log.Debug("request", "client", r.RemoteAddr, "method", method, "path", where, "took", time.Since(start))
	})
}
