package auth

import (
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	aCrowd     = 5         // visitors named by one address that is not trusted: it is a proxy
	maxClaims  = 64        // addresses that are watched at a time
	claimEvery = time.Hour // one warning
)

// WarnOfProxies logs, at most once an hour, that an address which is not among the
// trusted ones sends X-Forwarded-For for several visitors: most likely it is a
// proxy that the operator forgot, whose visitors meet the limits of one address
// together. Anybody can send the header, so nothing else follows from it. It
// stands outside of [Forwarded].
func WarnOfProxies(trusted []netip.Prefix, log *slog.Logger, next http.Handler) http.Handler {
	c := &claims{of: make(map[netip.Addr]map[netip.Addr]bool)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if entries := list(r, "X-Forwarded-For"); len(entries) > 0 {
			at, err := netip.ParseAddrPort(r.RemoteAddr)
			peer := bare(at.Addr())
			if err == nil && !within(trusted, peer) && c.add(peer, entries[len(entries)-1]) {
				log.WarnContext(r.Context(), "X-Forwarded-For of several visitors comes from an address that is not trusted: "+
					"if that is your proxy, name it in --trusted-proxy, or all of them count as one against the limits", "from", peer.String())
			}
		}
		next.ServeHTTP(w, r)
	})
}

// claims are the visitors that addresses speak of without being trusted.
type claims struct {
	mu   sync.Mutex
	of   map[netip.Addr]map[netip.Addr]bool // guarded by mu; at most maxClaims of at most aCrowd
	said time.Time                          // guarded by mu
}

// add takes what peer says of a visitor, and tells whether to speak of it now.
func (c *claims) add(peer netip.Addr, entry string) bool {
	visitor, ok := parseAddress(entry)
	if !ok || visitor == peer {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if !c.said.IsZero() && now.Sub(c.said) < claimEvery {
		return false
	}
	if c.of[peer] == nil {
		if len(c.of) == maxClaims {
			clear(c.of) // who is a proxy is here again in a moment
		}
		c.of[peer] = make(map[netip.Addr]bool)
	}
	c.of[peer][visitor] = true
	if len(c.of[peer]) < aCrowd {
		return false
	}
	c.said = now
	clear(c.of)
	return true
}
