package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// Sites says which hosts this server answers for and which pages of other
// sites may use it. Go's CrossOriginProtection covers unsafe methods; a
// WebSocket handshake is a GET, so AllowSocket covers that.
type Sites struct {
	hosts   map[string]bool // host names, lower case, without port
	origins map[string]bool // scheme://host[:port], lower case, no default port
	base    string          // origin of the base URL, or ""
	cross   *http.CrossOriginProtection
}

// NewSites reads the base URL (or ""), the further allowed origins, and the
// addresses the server listens on: a name there is a name of its own.
func NewSites(base string, origins []string, listen ...string) (*Sites, error) {
	s := &Sites{
		hosts:   map[string]bool{"localhost": true},
		origins: make(map[string]bool),
		cross:   http.NewCrossOriginProtection(),
	}
	if name, err := os.Hostname(); err == nil && name != "" {
		s.hosts[strings.ToLower(name)] = true
		s.hosts[strings.ToLower(name)+".local"] = true
	}
	for _, address := range listen {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" {
			s.hosts[strings.ToLower(host)] = true
		}
	}
	all := origins
	if base != "" {
		all = append([]string{base}, origins...)
	}
	for i, o := range all {
		origin, host, err := parseOrigin(o)
		if err != nil {
			return nil, fmt.Errorf("origin %q: %w", o, err)
		}
		if err := s.cross.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %q: %w", o, err)
		}
		s.origins[origin] = true
		if i == 0 && base != "" {
			s.base = origin
			s.hosts[host] = true
		}
	}
	return s, nil
}

// parseOrigin brings an http(s) URL to the form browsers send as Origin.
func parseOrigin(s string) (origin, host string, err error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", "", errors.New("write it as http://host or https://host, with :port where it is not the usual one")
	}
	host = strings.ToLower(u.Hostname())
	origin = u.Scheme + "://" + host
	if strings.Contains(host, ":") {
		origin = u.Scheme + "://[" + host + "]"
	}
	if p := u.Port(); p != "" && p != defaultPort(u.Scheme) {
		origin += ":" + p
	}
	return origin, host, nil
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// Protect refuses requests for hosts that are not this server's (421, against
// DNS rebinding) and unsafe requests from other sites (403).
func (s *Sites) Protect(next http.Handler) http.Handler {
	return s.protect(next, "This server does not answer for this host name. If it should, start it with --base-url and its address.")
}

// ProtectOperators is Protect for a listener of operators, with another advice.
func (s *Sites) ProtectOperators(next http.Handler) http.Handler {
	return s.protect(next, "The operators' address does not answer for this host name. Ask by localhost, by an IP address or by the host that --admin names.")
}

func (s *Sites) protect(next http.Handler, misdirected string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.allowHost(r.Host) {
			slog.DebugContext(r.Context(), "request for a host that is not ours", "host", r.Host)
			http.Error(w, misdirected, http.StatusMisdirectedRequest)
			return
		}
		if err := s.cross.Check(r); err != nil {
			http.Error(w, "This request came from another site. If that site is yours, start the server with --origin and its address.",
				http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowHost allows names that are ours, and addresses, which nobody can rebind.
func (s *Sites) allowHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if s.hosts[host] || strings.HasSuffix(host, ".localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// AllowSocket decides on the Origin of a WebSocket handshake: our own host, our
// base URL or an allowed one, compared with scheme, host and port. Without an
// Origin it is no browser, and then a cookie has no business there.
func (s *Sites) AllowSocket(r *http.Request) bool {
	values := r.Header.Values("Origin")
	switch len(values) {
	case 0:
		return len(r.CookiesNamed("sid"))+len(r.CookiesNamed("__Host-sid")) == 0
	case 1:
	default:
		return false
	}
	origin, _, err := parseOrigin(values[0])
	if err != nil || !strings.EqualFold(origin, values[0]) {
		return false // "null", a path, user information, a default port spelled out
	}
	if s.origins[origin] {
		return true
	}
	if s.base != "" && strings.HasPrefix(s.base, "https:") {
		return false // an http page of the same host is another site
	}
	own, _, err := parseOrigin(Scheme(r) + "://" + r.Host)
	return err == nil && origin == own
}
