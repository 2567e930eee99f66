package channels

import (
	"crypto/tls"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSameOrigin(t *testing.T) {
	for _, tc := range []struct {
		name    string
		host    string
		tls     bool
		origins []string
		cookie  bool
		want    bool
	}{
		{"the own host", "our.host", false, []string{"http://our.host"}, true, true},
		{"the own host and port", "our.host:8080", false, []string{"http://our.host:8080"}, true, true},
		{"the default port spelled out", "our.host:80", false, []string{"http://our.host"}, false, true},
		{"capital letters", "Our.Host", true, []string{"https://our.host:443"}, false, true},
		{"an IPv6 address", "[::1]:8080", false, []string{"http://[::1]:8080"}, false, true},
		{"another site, with a valid cookie", "our.host", true, []string{"https://evil.example"}, true, false},
		{"null", "our.host", false, []string{"null"}, false, false},
		{"empty", "our.host", false, []string{""}, false, false},
		{"the own host as a subdomain", "our.host", true, []string{"https://our.host.evil.example"}, false, false},
		{"http on an https site", "our.host", true, []string{"http://our.host"}, false, false},
		{"https on an http site", "our.host", false, []string{"https://our.host"}, false, false},
		{"another port", "our.host:8080", false, []string{"http://our.host:8081"}, false, false},
		{"a bad port", "our.host", false, []string{"http://our.host:x"}, false, false},
		{"a path", "our.host", false, []string{"http://our.host/"}, false, false},
		{"a user", "our.host", false, []string{"http://our.host@our.host"}, false, false},
		{"two", "our.host", false, []string{"http://our.host", "http://our.host"}, false, false},
		{"none, and a cookie", "our.host", false, nil, true, false},
		{"none, and no cookie", "our.host", false, nil, false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.Host = tc.host
			if tc.tls {
				r.TLS = &tls.ConnectionState{}
			}
			for _, o := range tc.origins {
				r.Header.Add("Origin", o)
			}
			if tc.cookie {
				r.Header.Set("Cookie", "sid=1")
			}
			if got := SameOrigin(r); got != tc.want {
				t.Errorf("allowed: %v, want %v", got, tc.want)
			}
		})
	}
}

func FuzzSameOrigin(f *testing.F) {
	f.Add("http://our.host", "our.host")
	f.Add("null", "")
	f.Add("http://[::1]:80", "[::1]")
	f.Fuzz(func(t *testing.T, origin, host string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		r.Header.Set("Origin", origin)
		if SameOrigin(r) && !strings.HasPrefix(strings.ToLower(origin), "http://") {
			t.Errorf("origin %q allowed on %q", origin, host)
		}
	})
}

func TestAllowedOrigins(t *testing.T) {
	const absent = "absent"
	for _, tc := range []struct {
		name     string
		patterns []string
		origin   string
		want     bool
	}{
		// The cases of Django Channels.
		{"a host, from http", []string{"allowed-domain.com"}, "http://allowed-domain.com", true},
		{"a host, from another", []string{"allowed-domain.com"}, "http://bad-domain.com", false},
		{"a star, which is no wildcard", []string{"*.allowed-domain.com"}, "http://allowed-domain.com", false},
		{"a domain, from below it", []string{".allowed-domain.com"}, "http://www.allowed-domain.com", true},
		{"a scheme, from the same", []string{"http://allowed-domain.com"}, "http://allowed-domain.com", true},
		{"a scheme, from another and another host", []string{"http://allowed-domain.com"}, "https://bad-domain.com:443", false},
		{"everything, and no Origin", []string{"*"}, absent, true},
		{"nothing, and no Origin", nil, absent, false},
		{"a domain, and an empty Origin", []string{".allowed-domain.com"}, "", false},
		{"a domain, and a value without scheme and host", []string{".allowed-domain.com"}, "a value", false},

		{"a star, from below", []string{"*.a.com"}, "http://www.a.com", false},
		{"a domain itself", []string{".a.com"}, "http://a.com", true},
		{"a domain, and one that ends like it", []string{".a.com"}, "http://bada.com", false},
		{"a host, and another port", []string{"a.com"}, "https://a.com:8000", true},
		{"a host and port", []string{"a.com:8000"}, "http://a.com:8000", true},
		{"a host and another port", []string{"a.com:8000"}, "http://a.com:8001", false},
		{"a host and the scheme's port", []string{"a.com:443"}, "https://a.com", true},
		{"a scheme with its port spelled out", []string{"https://a.com"}, "https://a.com:443", true},
		{"a scheme and another port", []string{"https://a.com"}, "https://a.com:444", false},
		{"another scheme on the same port", []string{"https://a.com:80"}, "http://a.com", false},
		{"a scheme and a domain", []string{"https://.a.com"}, "https://www.a.com", true},
		{"a scheme without a known port", []string{"app://a.com"}, "app://a.com", true},
		{"capital letters", []string{"HTTP://A.com"}, "http://a.COM", true},
		{"an IPv6 address and port", []string{"[::1]:80"}, "http://[::1]", true},
		{"a port with zeros", []string{"a.com:080"}, "http://a.com", true},
		{"a bad port", []string{"a.com"}, "http://a.com:x", false},
		{"a port that is too large", []string{"a.com"}, "http://a.com:65536", false},
		{"null", []string{"a.com"}, "null", false},
		{"null, and everything", []string{"*"}, "null", true},
		{"no scheme", []string{"a.com"}, "//a.com", false},
		{"a user", []string{"a.com"}, "http://a.com@a.com", false},
		{"a path", []string{"a.com"}, "http://a.com/a", false},
		{"the second pattern", []string{"b.com", "a.com"}, "http://a.com", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			allowed, err := AllowedOrigins(tc.patterns...)
			must(t, err)
			r := httptest.NewRequest("GET", "/", nil)
			if tc.origin != absent {
				r.Header.Set("Origin", tc.origin)
			}
			if got := allowed(r); got != tc.want {
				t.Errorf("allowed: %v, want %v", got, tc.want)
			}
		})
	}
	t.Run("of several Origins the last counts", func(t *testing.T) {
		allowed, err := AllowedOrigins("a.com")
		must(t, err)
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Origin"] = []string{"http://a.com", "http://b.com"}
		if allowed(r) {
			t.Error("the first counted")
		}
	})
	for _, bad := range []string{"", ".", "a.com:x", "a.com:65536", "a.com/path", "http://", "http://a.com?q", "u@a.com", "a b", "://a.com"} {
		if _, err := AllowedOrigins("a.com", bad); err == nil {
			t.Errorf("the pattern %q is accepted", bad)
		}
	}
}

func FuzzAllowedOrigins(f *testing.F) {
	f.Add("a.com", "http://a.com")
	f.Add(".a.com:8000", "https://www.a.com:8000")
	f.Add("https://[::1]", "null")
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		allowed, err := AllowedOrigins(pattern)
		if err != nil || pattern == "*" {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Origin"] = []string{origin}
		host := strings.Trim(strings.ToLower(pattern[strings.LastIndexAny(pattern, "/")+1:]), ".")
		if allowed(r) && !strings.Contains(strings.ToLower(origin), strings.Split(host, ":")[0]) {
			t.Errorf("%q allows %q", pattern, origin)
		}
	})
}
