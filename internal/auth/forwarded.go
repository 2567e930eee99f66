package auth

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Forwarded gives next the visitor in place of the proxy: where a connection
// comes from one of the trusted networks, the request's RemoteAddr, Host and
// Scheme are what its X-Forwarded-For, -Host and -Proto say. Anybody can send
// these headers, so from elsewhere they mean nothing; the same goes for all that
// stands in X-Forwarded-For left of the visitor. The Forwarded header of RFC
// 7239, which hardly any proxy writes, is not read.
func Forwarded(trusted []netip.Prefix, next http.Handler) http.Handler {
	if len(trusted) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, behind(trusted, r))
	})
}

// schemeKey is the context's key for what a proxy has said about the scheme.
type schemeKey struct{}

// Scheme is what the visitor sees in front of the address, "https" or "http":
// as a trusted proxy says, see [Forwarded], else as the connection is.
func Scheme(r *http.Request) string {
	if scheme, ok := r.Context().Value(schemeKey{}).(string); ok {
		return scheme
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// behind is the request as the visitor made it, or r itself when it does not
// come from a trusted proxy.
func behind(trusted []netip.Prefix, r *http.Request) *http.Request {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !within(trusted, bare(peer.Addr())) {
		return r
	}
	ctx := r.Context()
	address, hops := visitor(trusted, list(r, "X-Forwarded-For"))
	if scheme := schemeOf(nth(list(r, "X-Forwarded-Proto"), hops)); scheme != "" {
		ctx = context.WithValue(ctx, schemeKey{}, scheme)
	}
	r = r.WithContext(ctx)
	if address.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(address, 0).String() // the port is the proxy's business
	}
	if host := nth(list(r, "X-Forwarded-Host"), hops); isHost(host) {
		r.Host = host
	}
	return r
}

// visitor goes through X-Forwarded-For from its right end, where the nearest
// proxy wrote, and stops at the first address that is not a trusted proxy's: to
// the left of it stands what the visitor sent. An entry that is no address ends
// it too, and then the last proxy before it stands for whoever is behind. hops
// is how many entries were read; an invalid address is that of the connection.
func visitor(trusted []netip.Prefix, entries []string) (address netip.Addr, hops int) {
	for _, entry := range slices.Backward(entries) {
		a, ok := parseAddress(entry)
		if !ok {
			break
		}
		address = a
		hops++
		if !within(trusted, a) {
			break
		}
	}
	return address, hops
}

// parseAddress reads an address with or without a port, IPv6 with or without brackets.
func parseAddress(s string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return bare(at.Addr()), true
	}
	if inner, found := strings.CutPrefix(s, "["); found {
		s = strings.TrimSuffix(inner, "]")
	}
	a, err := netip.ParseAddr(s)
	return bare(a), err == nil
}

// bare leaves out what does not tell two addresses apart here: the zone, and
// that an IPv4 address came through an IPv6 socket.
func bare(a netip.Addr) netip.Addr { return a.WithZone("").Unmap() }

func within(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// list is all elements of a header that may stand in several lines.
func list(r *http.Request, header string) []string {
	var elements []string
	for _, line := range r.Header.Values(header) {
		for element := range strings.SplitSeq(line, ",") {
			elements = append(elements, strings.Trim(element, " \t"))
		}
	}
	return elements
}

// nth is what the proxy said that spoke to the visitor. Proxies that add to a
// header add one element each, so it is as far from the right end as the visitor
// is in X-Forwarded-For; in a shorter list it is the first, for then the proxies
// behind that one have left alone what it said.
func nth(elements []string, hops int) string {
	if len(elements) == 0 {
		return ""
	}
	return elements[max(0, len(elements)-max(1, hops))]
}

// schemeOf is the page's scheme for one of a page or a socket, or "".
func schemeOf(s string) string {
	switch strings.ToLower(s) {
	case "https", "wss":
		return "https"
	case "http", "ws":
		return "http"
	}
	return ""
}

// isHost says that s can stand where a Host header does.
func isHost(s string) bool {
	u, err := url.Parse("http://" + s)
	return err == nil && s != "" && u.Host == s
}
