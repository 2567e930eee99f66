package auth_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/auth"
)

func sites(t *testing.T, base string, origins ...string) *auth.Sites {
	t.Helper()
	s, err := auth.NewSites(base, origins)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOriginsOfSockets(t *testing.T) {
	own := sites(t, "")
	public := sites(t, "https://tea.example", "https://friend.example:8443")
	for _, c := range []struct {
		name   string
		sites  *auth.Sites
		host   string
		tls    bool
		origin []string
		cookie string
		want   bool
	}{
		{"the page of the same host", own, "localhost:8080", false, []string{"http://localhost:8080"}, "sid", true},
		{"case does not matter", own, "LocalHost:8080", false, []string{"http://LOCALHOST:8080"}, "", true},
		{"an address", own, "127.0.0.1:8080", false, []string{"http://127.0.0.1:8080"}, "", true},
		{"an IPv6 address", own, "[::1]:8080", false, []string{"http://[::1]:8080"}, "", true},
		{"the usual port is not written", own, "localhost", false, []string{"http://localhost"}, "", true},
		{"another site", own, "localhost:8080", false, []string{"https://evil.example"}, "sid", false},
		{"null", own, "localhost:8080", false, []string{"null"}, "", false},
		{"empty", own, "localhost:8080", false, []string{""}, "", false},
		{"our name as a prefix", own, "localhost:8080", false, []string{"http://localhost.evil.example:8080"}, "", false},
		{"another port", own, "localhost:8080", false, []string{"http://localhost:9090"}, "", false},
		{"another scheme", own, "localhost:8080", false, []string{"https://localhost:8080"}, "", false},
		{"http on https", own, "localhost:8080", true, []string{"http://localhost:8080"}, "", false},
		{"https on https", own, "localhost:8080", true, []string{"https://localhost:8080"}, "", true},
		{"a path behind it", own, "localhost:8080", false, []string{"http://localhost:8080/"}, "", false},
		{"user information", own, "localhost:8080", false, []string{"http://a@localhost:8080"}, "", false},
		{"two of them", own, "localhost:8080", false, []string{"http://localhost:8080", "http://localhost:8080"}, "", false},
		{"none, no cookie", own, "localhost:8080", false, nil, "", true},
		{"none, a cookie", own, "localhost:8080", false, nil, "sid", false},
		{"none, a cookie of TLS", own, "localhost:8080", false, nil, "__Host-sid", false},
		{"none, another cookie", own, "localhost:8080", false, nil, "lang", true},
		{"the base URL", public, "tea.example", false, []string{"https://tea.example"}, "__Host-sid", true},
		{"the base URL over http", public, "tea.example", false, []string{"http://tea.example"}, "", false},
		{"an allowed one", public, "tea.example", false, []string{"https://friend.example:8443"}, "", true},
		{"an allowed one, other port", public, "tea.example", false, []string{"https://friend.example"}, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/ws", nil)
			r.Host = c.host
			if c.tls {
				r.TLS = &tls.ConnectionState{}
			}
			for _, o := range c.origin {
				r.Header.Add("Origin", o)
			}
			if c.cookie != "" {
				r.AddCookie(&http.Cookie{Name: c.cookie, Value: "x"})
			}
			if got := c.sites.AllowSocket(r); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestProtectRefusesForeignHostsAndForeignForms(t *testing.T) {
	own, public := sites(t, ""), sites(t, "https://tea.example", "https://friend.example")
	for _, c := range []struct {
		name, method, host, origin, site string
		sites                            *auth.Sites
		want                             int
	}{
		{"localhost", "GET", "localhost:8080", "", "", own, 200},
		{"a name below localhost", "GET", "a.localhost:8080", "", "", own, 200},
		{"an address", "GET", "192.0.2.7:8080", "", "", own, 200},
		{"an IPv6 address", "GET", "[2001:db8::1]:8080", "", "", own, 200},
		{"a name that was bound to our address", "GET", "evil.example:8080", "", "", own, 421},
		{"the base URL", "GET", "tea.example", "", "", public, 200},
		{"the base URL with the final dot", "GET", "tea.example.", "", "", public, 200},
		{"an allowed origin is not a host", "GET", "friend.example", "", "", public, 421},
		{"a form of our own", "POST", "localhost:8080", "http://localhost:8080", "same-origin", own, 200},
		{"curl", "POST", "localhost:8080", "", "", own, 200},
		{"a form of another site", "POST", "localhost:8080", "https://evil.example", "cross-site", own, 403},
		{"the same from an older browser", "POST", "localhost:8080", "https://evil.example", "", own, 403},
		{"an allowed origin", "POST", "tea.example", "https://friend.example", "cross-site", public, 200},
		{"behind a proxy that changes Host", "POST", "127.0.0.1:8080", "https://tea.example", "", public, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/", nil)
			r.Host = c.host
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.site != "" {
				r.Header.Set("Sec-Fetch-Site", c.site)
			}
			w := httptest.NewRecorder()
			c.sites.Protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("got %d, want %d", w.Code, c.want)
			}
		})
	}
}

func TestOriginsThatCannotBe(t *testing.T) {
	for _, bad := range []string{"tea.example", "*", "ftp://tea.example", "://", "https://", "https://tea.example:port"} {
		if _, err := auth.NewSites("", []string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
