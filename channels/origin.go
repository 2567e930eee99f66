package channels

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// SameOrigin is the default of Options.Origins: the page comes from the host
// the request is for, with the same scheme and port. A browser sends cookies
// along from any page, and its handshake is a GET, so nothing else protects a
// connection that trusts them. A request without an Origin is no browser's; it
// is allowed as long as it carries no cookie.
//
// The scheme is that of the connection to this process: behind a proxy that
// ends TLS, compare with the public address instead.
func SameOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return len(r.Header.Values("Cookie")) == 0
	}
	if len(origins) > 1 {
		return false
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return false // "null", among others
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return strings.EqualFold(u.Scheme, scheme) && withPort(u.Host, scheme) == withPort(r.Host, scheme)
}

// withPort spells host with its port, in small letters.
func withPort(host, scheme string) string {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[scheme]
	}
	return strings.ToLower(net.JoinHostPort(name, port))
}
