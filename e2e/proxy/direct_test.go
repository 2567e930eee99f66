package proxy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// TestWithoutATrustedProxyItsHeadersMeanNothing tries each thing that they
// could change: the log, cookies, links, origins, and the limits. It does so
// with nobody trusted, and with somebody else.
func TestWithoutATrustedProxyItsHeadersMeanNothing(t *testing.T) {
	for name, flags := range map[string][]string{
		"nobody is trusted":      nil,
		"somebody else is so":    {"--trusted-proxy", "127.0.0.9,10.0.0.0/8"},
		"those next to them are": {"--trusted-proxy", "127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := server.Start(t, append(flags, "--log-level", "debug")...)
			transport := &http.Transport{DialContext: from("127.0.0.2").DialContext}
			t.Cleanup(transport.CloseIdleConnections)
			c := &http.Client{Transport: transport}
			made := 0
			do := func(method, path string) (*http.Response, string) {
				t.Helper()
				made++
				req, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader("x"))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Forwarded-For", fmt.Sprintf("203.0.113.%d", made))
				req.Header.Set("X-Forwarded-Proto", "https")
				req.Header.Set("X-Forwarded-Host", "evil.example")
				req.Header.Set("Forwarded", fmt.Sprintf("for=203.0.113.%d;proto=https;host=evil.example", made))
				res, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res, string(body)
			}

			res, body := do(http.MethodGet, "/chat/lobby/")
			if cookies := res.Cookies(); len(cookies) != 1 || cookies[0].Name != "sid" || cookies[0].Secure {
				t.Errorf("the cookies are %v", res.Cookies())
			}
			if !strings.Contains(body, s.URL+"/chat/lobby/") || strings.Contains(body, "evil.example") {
				t.Error("the page's links are not to where it is")
			}
			parts.Eventually(t, "the request is logged", func() bool { return requested(s.Log(), "/chat/lobby") })
			if log := s.Log(); !strings.Contains(log, "client=127.0.0.2:") || strings.Contains(log, "203.0.113.") {
				t.Errorf("the log believes the visitor")
			}

			spoof := []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example", "X-Forwarded-For: 203.0.113.1"}
			for _, origin := range []string{"https://" + s.Address, "https://evil.example", "http://evil.example"} {
				var refused *socket.Refused
				conn, err := socket.DialFrom("127.0.0.2", s.Address, "/ws", append(spoof, "Origin: "+origin)...)
				if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
					t.Errorf("a page of %s got %v, %v", origin, conn, err)
				}
			}

			for n := 0; ; n++ {
				if res, _ := do(http.MethodPost, fmt.Sprintf("/api/rooms/room-%d/messages", n)); res.StatusCode == http.StatusTooManyRequests {
					break
				}
				if n == 10 {
					t.Fatal("a visitor with many names has no limit of new rooms")
				}
			}
		})
	}
}
