package auth_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/auth"
)

func TestAProxyThatWasForgottenIsToldOfOnceAnHour(t *testing.T) {
	for _, c := range []struct {
		name     string
		visitors func(n int) (from, header string)
		want     int // warnings in three hours
	}{
		{"a proxy that is not trusted", func(n int) (string, string) { return "192.0.2.1:5000", fmt.Sprintf("198.51.100.%d", n%100) }, 3},
		{"with what visitors wrote", func(n int) (string, string) {
			return "[2001:db8::1]:5000", fmt.Sprintf("8.8.8.8, 198.51.100.%d", n%100)
		}, 3},
		{"a proxy that is trusted", func(n int) (string, string) { return "10.0.0.1:5000", fmt.Sprintf("198.51.100.%d", n%100) }, 0},
		{"a few people behind something", func(n int) (string, string) { return "192.0.2.1:5000", fmt.Sprintf("198.51.100.%d", n%4) }, 0},
		{"many with the header of their own", func(n int) (string, string) { return fmt.Sprintf("192.0.2.%d:1", n%100), "10.9.8.7" }, 0},
		{"no header", func(int) (string, string) { return "192.0.2.1:5000", "" }, 0},
		{"nonsense", func(n int) (string, string) { return "192.0.2.1:5000", fmt.Sprint("nonsense", n) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				served := 0
				h := auth.WarnOfProxies(trusted, slog.New(slog.NewTextHandler(&log, nil)), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
				const requests = 3 * 3600 / 5
				for n := range requests {
					r := httptest.NewRequest("GET", "/", nil)
					from, header := c.visitors(n)
					r.RemoteAddr = from
					if header != "" {
						r.Header.Set("X-Forwarded-For", header)
					}
					h.ServeHTTP(httptest.NewRecorder(), r)
					time.Sleep(5 * time.Second)
				}
				if got := strings.Count(log.String(), "--trusted-proxy"); got != c.want || served != requests {
					t.Errorf("%d warnings, want %d; %d of %d were served:\n%s", got, c.want, served, requests, log.String())
				}
			})
		})
	}
}
