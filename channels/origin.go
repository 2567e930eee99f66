package channels

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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

// AllowedOrigins returns an Options.Origins that allows the pages that one of
// the patterns is about:
//
//	example.com               that host, with any scheme and port
//	example.com:8000          that host and port
//	.example.com              that host and all below it
//	https://example.com:8000  that scheme, host and port; without one it is the scheme's
//	*                         all pages, and requests without an Origin
//
// Small and capital letters are equal. Apart from *, a request whose Origin is
// absent, null or no origin is not allowed. *.example.com is the host of that
// name, which there is not: write .example.com. A pattern that is none of these
// is an error.
func AllowedOrigins(patterns ...string) (func(*http.Request) bool, error) {
	var allowed []origin
	for _, p := range patterns {
		if p == "*" {
			return func(*http.Request) bool { return true }, nil
		}
		text := p
		if !strings.Contains(text, "://") {
			text = "//" + text
		}
		o, ok := parseOrigin(text)
		if !ok {
			return nil, fmt.Errorf("channels: %q is no pattern of origins", p)
		}
		allowed = append(allowed, o)
	}
	return func(r *http.Request) bool {
		origins := r.Header.Values("Origin")
		if len(origins) == 0 {
			return false
		}
		o, ok := parseOrigin(origins[len(origins)-1]) // as Django Channels does
		return ok && o.scheme != "" && slices.ContainsFunc(allowed, o.matches)
	}, nil
}

// origin is that of a page, or a pattern of some. All is in small letters; the
// port is the scheme's when none was written.
type origin struct{ scheme, host, port string }

func parseOrigin(text string) (origin, bool) {
	u, err := url.Parse(strings.ToLower(text))
	if err != nil || strings.Trim(u.Hostname(), ".") == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return origin{}, false
	}
	o := origin{u.Scheme, u.Hostname(), u.Port()}
	if o.port == "" {
		o.port = map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443"}[o.scheme]
		return o, true
	}
	n, err := strconv.ParseUint(o.port, 10, 16)
	o.port = strconv.FormatUint(n, 10)
	return o, err == nil
}

// matches tells whether a pattern is about the origin.
func (o origin) matches(pattern origin) bool {
	if pattern.scheme != "" && pattern.scheme != o.scheme {
		return false
	}
	if pattern.scheme+pattern.port != "" && pattern.port != o.port {
		return false
	}
	if domain, below := strings.CutPrefix(pattern.host, "."); below {
		return o.host == domain || strings.HasSuffix(o.host, pattern.host)
	}
	return o.host == pattern.host
}
