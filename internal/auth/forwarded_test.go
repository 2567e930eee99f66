package auth_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/auth"
)

var trusted = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
}

// through sends a request with these headers ("Name: value", one a line) from an
// address through Forwarded, and says what arrives.
func through(t *testing.T, trusted []netip.Prefix, from, headers string) (remote, scheme, host string) {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr, r.Host = from, "inside:8080"
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		r.Header.Add(name, value)
	}
	auth.Forwarded(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		remote, scheme, host = r.RemoteAddr, auth.Scheme(r), r.Host
	})).ServeHTTP(httptest.NewRecorder(), r)
	if r.RemoteAddr != from || r.Host != "inside:8080" {
		t.Error("the request of the outer handler was changed")
	}
	return remote, scheme, host
}

func TestTheVisitorIsTheRightmostAddressThatIsNoTrustedProxy(t *testing.T) {
	const peer = "127.0.0.1:5000"
	for _, c := range []struct{ name, from, header, want string }{
		{"one proxy", peer, "192.0.2.1", "192.0.2.1:0"},
		{"what the visitor wrote is left of it", peer, "8.8.8.8, 192.0.2.1", "192.0.2.1:0"},
		{"a visitor who claims to be a proxy", peer, "8.8.8.8, 10.0.0.1, 192.0.2.1", "192.0.2.1:0"},
		{"two proxies", peer, "192.0.2.1, 10.0.0.1", "192.0.2.1:0"},
		{"three proxies, and something written before", peer, "8.8.8.8, 192.0.2.1, 10.0.0.1, 10.0.0.2", "192.0.2.1:0"},
		{"several lines are one list", peer, "8.8.8.8\nX-Forwarded-For: 192.0.2.1, 10.0.0.1", "192.0.2.1:0"},
		{"somebody on a proxy's own network", peer, "10.1.2.3, 10.0.0.1", "10.1.2.3:0"},
		{"no header", peer, "", peer},
		{"no proxy", "192.0.2.9:1", "192.0.2.1", "192.0.2.9:1"},
		{"an address next to the proxy's", "127.0.0.2:1", "192.0.2.1", "127.0.0.2:1"},
		{"the proxy through an IPv6 socket", "[::ffff:127.0.0.1]:1", "192.0.2.1", "192.0.2.1:0"},
		{"a proxy with IPv6 and a zone", "[fd00::1%eth0]:1", "2001:db8::1", "[2001:db8::1]:0"},
		{"a port", peer, "192.0.2.1:4711", "192.0.2.1:0"},
		{"IPv6", peer, "2001:db8::1", "[2001:db8::1]:0"},
		{"IPv6 in brackets", peer, "[2001:db8::1]", "[2001:db8::1]:0"},
		{"IPv6 with a port", peer, "[2001:db8::1]:4711", "[2001:db8::1]:0"},
		{"IPv6 with a zone", peer, "fe80::1%eth0", "[fe80::1]:0"},
		{"IPv4 as IPv6", peer, "::ffff:192.0.2.1", "192.0.2.1:0"},
		{"a proxy with IPv4 as IPv6", peer, "192.0.2.1,::ffff:10.0.0.1", "192.0.2.1:0"},
		{"spaces", peer, " \t192.0.2.1 ,\t10.0.0.1 ", "192.0.2.1:0"},
		{"unknown", peer, "unknown", peer},
		{"an empty element", peer, "192.0.2.1,", peer},
		{"only commas", peer, ",,", peer},
		{"nothing is believed left of what cannot be read", peer, "192.0.2.1, nonsense", peer},
		{"then the last proxy stands for them", peer, "192.0.2.1, nonsense, 10.0.0.1", "10.0.0.1:0"},
		{"what cannot be read left of the visitor", peer, "nonsense, 192.0.2.1", "192.0.2.1:0"},
		{"a name", peer, "localhost", peer},
		{"half an address", peer, "192.0.2", peer},
		{"a bracket", peer, "[", peer},
		{"a peer without an address", "@", "192.0.2.1", "@"},
	} {
		t.Run(c.name, func(t *testing.T) {
			headers := ""
			if c.header != "" {
				headers = "X-Forwarded-For: " + c.header
			}
			if got, _, _ := through(t, trusted, c.from, headers); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestSchemeAndHostAreWhatTheProxySaysThatTheVisitorSees(t *testing.T) {
	for _, c := range []struct{ name, headers, scheme, host string }{
		{"nothing", "", "http", "inside:8080"},
		{"https", "X-Forwarded-Proto: https", "https", "inside:8080"},
		{"capital letters", "X-Forwarded-Proto: HTTPS", "https", "inside:8080"},
		{"that of a socket", "X-Forwarded-Proto: wss", "https", "inside:8080"},
		{"http", "X-Forwarded-Proto: http", "http", "inside:8080"},
		{"no scheme of the web", "X-Forwarded-Proto: gopher", "http", "inside:8080"},
		{"a host", "X-Forwarded-Host: tea.example", "http", "tea.example"},
		{"a host with a port", "X-Forwarded-Host: tea.example:8443", "http", "tea.example:8443"},
		{"IPv6", "X-Forwarded-Host: [2001:db8::1]:80", "http", "[2001:db8::1]:80"},
		{"an empty host", "X-Forwarded-Host: ", "http", "inside:8080"},
		{"no host", "X-Forwarded-Host: tea.example/path", "http", "inside:8080"},
		{"a login", "X-Forwarded-Host: me@tea.example", "http", "inside:8080"},
		{"a proxy that adds to what the visitor sent",
			"X-Forwarded-For: 8.8.8.8, 192.0.2.1\nX-Forwarded-Proto: https, http\nX-Forwarded-Host: evil.example, tea.example", "http", "tea.example"},
		{"two proxies, the outer one with TLS, both add",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: https, http\nX-Forwarded-Host: tea.example, inner", "https", "tea.example"},
		{"two proxies, the inner one leaves it alone",
			"X-Forwarded-For: 192.0.2.1, 10.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: tea.example", "https", "tea.example"},
		{"RFC 7239 is not read", "Forwarded: for=192.0.2.1;proto=https;host=tea.example", "http", "inside:8080"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, scheme, host := through(t, trusted, "127.0.0.1:5000", c.headers)
			if scheme != c.scheme || host != c.host {
				t.Errorf("got %s://%s, want %s://%s", scheme, host, c.scheme, c.host)
			}
		})
	}
}

func TestHeadersOfVisitorsMeanNothing(t *testing.T) {
	const spoof = "X-Forwarded-For: 127.0.0.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: tea.example"
	for name, trusted := range map[string][]netip.Prefix{"nobody is trusted": nil, "somebody else is": trusted} {
		remote, scheme, host := through(t, trusted, "192.0.2.9:1", spoof)
		if remote != "192.0.2.9:1" || scheme != "http" || host != "inside:8080" {
			t.Errorf("%s: got %s, %s, %s", name, remote, scheme, host)
		}
	}
}

func TestWithoutAProxyTheConnectionTellsTheScheme(t *testing.T) {
	r := httptest.NewRequest("GET", "http://tea.example/", nil)
	if got := auth.Scheme(r); got != "http" {
		t.Errorf("got %s", got)
	}
	r.TLS = &tls.ConnectionState{}
	if got := auth.Scheme(r); got != "https" {
		t.Errorf("with TLS: got %s", got)
	}
}

// TestAPageBehindTLSOfAProxyIsOfItsOrigin joins what the scheme is used for:
// cookies and origins.
func TestAPageBehindTLSOfAProxyIsOfItsOrigin(t *testing.T) {
	guests, own := auth.NewGuests(logins{}, key, false), sites(t, "")
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:1", "192.0.2.7"
	r.Header.Set("X-Forwarded-Proto", "https")
	r.Header.Set("Origin", "https://192.0.2.7")
	w := httptest.NewRecorder()
	auth.Forwarded(trusted, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !own.AllowSocket(r) {
			t.Error("the page's own origin is refused")
		}
		if _, err := guests.Guest(w, r); err != nil {
			t.Error(err)
		}
	})).ServeHTTP(w, r)
	if cookies := w.Result().Cookies(); len(cookies) != 1 || !cookies[0].Secure || cookies[0].Name != "__Host-sid" {
		t.Errorf("got %v", cookies)
	}
}

// FuzzForwarded checks that no header crashes or makes a visitor of what is not
// an address, and that nothing the visitor sends in front changes who they are.
func FuzzForwarded(f *testing.F) {
	f.Add("192.0.2.1", "https", "tea.example")
	f.Add("8.8.8.8, [::1%z]:1,10.0.0.1", "https,http", "[::1]:80")
	f.Add(",", "", "a@b")
	f.Fuzz(func(t *testing.T, xff, proto, host string) {
		for _, front := range []string{"", xff} {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = "127.0.0.1:5000"
			r.Header = http.Header{"X-Forwarded-For": {front, "192.0.2.1, 10.0.0.1"}, "X-Forwarded-Proto": {proto}, "X-Forwarded-Host": {host}}
			auth.Forwarded(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.RemoteAddr != "192.0.2.1:0" {
					t.Errorf("%q in front made the visitor %s", front, r.RemoteAddr)
				}
				if s := auth.Scheme(r); s != "http" && s != "https" {
					t.Errorf("scheme %q", s)
				}
			})).ServeHTTP(httptest.NewRecorder(), r)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "127.0.0.1:5000"
		r.Header = http.Header{"X-Forwarded-For": {xff}}
		auth.Forwarded(trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := netip.ParseAddrPort(r.RemoteAddr); err != nil {
				t.Errorf("%q made the visitor %q", xff, r.RemoteAddr)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	})
}
