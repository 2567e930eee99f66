package hostile_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// cookie is a visitor's, as a header line.
func cookie(t *testing.T, s *site) string {
	t.Helper()
	res, err := http.Post(s.URL+"/api/rooms/cookies/messages", "text/plain", strings.NewReader("hi"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	if len(res.Cookies()) != 1 {
		t.Fatalf("status %d, cookies %v", res.StatusCode, res.Cookies())
	}
	c := res.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("the cookie is %v", c)
	}
	s.secrets = append(s.secrets, c.Value)
	return "Cookie: " + c.Name + "=" + c.Value
}

func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	var refused *socket.Refused
	if !errors.As(err, &refused) || refused.Status != status {
		t.Errorf("got %v, want %d", err, status)
	}
}

func TestSocketsFromOtherSites(t *testing.T) {
	s := besiege(t, "--limits", "off")
	mine := cookie(t, s)
	_, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		lines []string
	}{
		{"O33 another site", []string{"Origin: https://evil.example"}},
		{"O34 a site without an origin", []string{"Origin: null"}},
		{"O35 a site whose name begins like ours", []string{"Origin: http://127.0.0.1.evil.example"}},
		{"O35 a site whose name ends like ours", []string{"Origin: http://evil.example." + s.Address}},
		{"O36 another scheme", []string{"Origin: https://" + s.Address}},
		{"O36 a scheme of its own", []string{"Origin: file://" + s.Address}},
		{"O37 another port", []string{"Origin: http://127.0.0.1:1"}},
		{"O37 no port", []string{"Origin: http://127.0.0.1"}},
		{"O37 another name of this machine", []string{"Origin: http://localhost:" + port}},
		{"O38 no origin", nil},
		{"an empty origin", []string{"Origin: "}},
		{"two origins", []string{"Origin: http://" + s.Address, "Origin: http://" + s.Address}},
		{"two origins in one line", []string{"Origin: http://" + s.Address + ", https://evil.example"}},
		{"a user in the origin", []string{"Origin: http://a@" + s.Address}},
		{"a path in the origin", []string{"Origin: http://" + s.Address + "/"}},
	} {
		s.row(t, c.name, func(t *testing.T) {
			for _, path := range []string{"/ws", "/ws/chat/lobby/"} {
				_, err := socket.Dial(s.Address, path, append(c.lines, mine)...)
				wantStatus(t, err, http.StatusForbidden)
			}
		})
	}
	s.row(t, "O38 no origin and a bearer token is let in", func(t *testing.T) {
		_, token, _ := strings.Cut(mine, "=")
		g, err := guest.Enter(s.Address, wire.Hello{}, "Authorization: Bearer "+token)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	s.row(t, "our own origin and the cookie is let in", func(t *testing.T) {
		g, err := guest.Enter(s.Address, wire.Hello{}, "Origin: http://"+s.Address, mine)
		if err != nil {
			t.Fatal(err)
		}
		if g.Welcome.Token != "" {
			t.Error("who has a cookie was given a token")
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestASiteBehindTLS(t *testing.T) {
	s := besiege(t, "--limits", "off", "--base-url", "https://chat.example.org", "--origin", "https://friend.example.org")
	for name, c := range map[string]struct {
		origin string
		want   int
	}{
		"O36 an http origin on an https site": {"http://chat.example.org", 403},
		"O37 another port":                    {"https://chat.example.org:8443", 403},
		"O35 a name that ends like ours":      {"https://evilchat.example.org", 403},
		"our own":                             {"https://chat.example.org", 101},
		"the friend's":                        {"https://friend.example.org", 101},
		"the friend's without TLS":            {"http://friend.example.org", 403},
	} {
		s.row(t, name, func(t *testing.T) {
			nc, err := net.Dial("tcp", s.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_, err = socket.Upgrade(nc, socket.Request("chat.example.org", "/ws", "Origin: "+c.origin))
			if c.want != http.StatusSwitchingProtocols {
				wantStatus(t, err, c.want)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	s.row(t, "the cookie is for TLS and this host only", func(t *testing.T) {
		post := "POST /api/rooms/a/messages HTTP/1.1\r\nHost: chat.example.org\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nhi"
		res, _, err := socket.Exchange(s.Address, "POST", post)
		if err != nil {
			t.Fatal(err)
		}
		if c := res.Header.Get("Set-Cookie"); !strings.HasPrefix(c, "__Host-sid=") || !strings.Contains(c, "; Secure") {
			t.Errorf("cookie %q", c)
		}
	})
}

func TestFormsOfOtherSites(t *testing.T) {
	s := besiege(t, "--limits", "off")
	mine := cookie(t, s)
	for _, path := range []string{"/chat/lobby/", "/api/rooms/lobby/messages", "/preferences"} {
		for name, line := range map[string]string{
			"by its origin":         "Origin: https://evil.example",
			"without an origin":     "Origin: null",
			"as browsers now say":   "Sec-Fetch-Site: cross-site",
			"of a neighbouring one": "Sec-Fetch-Site: same-site",
		} {
			s.row(t, "O39 a form of another site, "+name+", to "+path, func(t *testing.T) {
				for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"} {
					s.sendRaw(t, rawRow{want: []int{403}, raw: "POST PATH HTTP/1.1\r\nHost: HOST\r\n" + line + "\r\n" + mine +
						"\r\nContent-Type: " + kind + "\r\nContent-Length: 7\r\n\r\ntext=hi"}, path)
				}
			})
		}
	}
	s.row(t, "O40 a body that is neither JSON nor text", func(t *testing.T) {
		for _, kind := range []string{"text/html", "application/xml", "image/png", "multipart/form-data; boundary=b", "text/plain/x", ";"} {
			s.sendRaw(t, rawRow{want: []int{415}, raw: "POST PATH HTTP/1.1\r\nHost: HOST\r\nContent-Type: " + kind +
				"\r\nContent-Length: 7\r\n\r\ntext=hi"}, "/api/rooms/lobby/messages")
		}
	})
	s.row(t, "O41 methods that change something are no GET", func(t *testing.T) {
		s.sendRaw(t, rawRow{want: []int{405, 404}, raw: "GET PATH HTTP/1.1\r\nHost: HOST\r\n\r\n"}, "/preferences")
		for _, method := range []string{"DELETE", "PUT", "PATCH"} {
			for _, path := range []string{"/chat/lobby/", "/api/rooms/lobby/messages", "/api/rooms/lobby/stream"} {
				s.sendRaw(t, rawRow{want: []int{405}, raw: method + " PATH HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n"}, path)
			}
		}
	})
}

// policy is what every page must say of itself.
var policy = []string{
	"default-src 'none'", "script-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
	"require-trusted-types-for 'script'",
}

func TestPagesDefendThemselves(t *testing.T) {
	s := server.Start(t)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/", "/chat/lobby/", "/no/such/page"} {
		t.Run(fmt.Sprint("O42 ", path), func(t *testing.T) {
			res, err := client.Get(s.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			csp := res.Header.Get("Content-Security-Policy")
			for _, want := range policy {
				if !strings.Contains(csp, want) {
					t.Errorf("the policy lacks %s: %s", want, csp)
				}
			}
			if strings.Contains(csp, "unsafe") {
				t.Errorf("the policy is %s", csp)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "no-referrer",
				"Cross-Origin-Opener-Policy":   "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := res.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
		})
	}
}
