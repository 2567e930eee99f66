package doctor

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/config"
)

// teahouse is what a server answers to who looks at it.
func teahouse(ready int, sockets bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(ready)
		_, _ = w.Write([]byte("said so\n"))
	})
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) {
		if !sockets || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
			http.Error(w, "no socket", http.StatusBadRequest)
			return
		}
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Connection", "Upgrade")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	return mux
}

// serving is the address of a handler.
func serving(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestAnAddressIsFreeOrOursOrTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		address string
		runs    bool
		level   Level
		says    string
	}{
		"free":            {free, false, OK, "is free"},
		"any":             {"127.0.0.1:0", false, OK, "any free port"},
		"ours":            {serving(t, teahouse(200, true)), true, OK, `says "said so"`},
		"ours, not ready": {serving(t, teahouse(503, true)), true, Warn, "said so"},
		"another's":       {serving(t, http.NotFoundHandler()), false, Fail, "--listen"},
		"another's, kind": {serving(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a page") })), false, Fail, "--listen"},
		"elsewhere":       {"192.0.2.1:8080", false, Fail, "not an address of this machine"},
		"no address":      {"8080", false, Fail, "host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			f, runs := lookAtAddress(t.Context(), "address", c.address, "--listen")
			if runs != c.runs {
				t.Errorf("a server runs: %v", runs)
			}
			expect(t, f, c.level, c.says)
		})
	}
}

func TestWhatOperatorsSeeIsNotForEverybody(t *testing.T) {
	for address, level := range map[string]Level{
		"localhost:0": OK, "127.0.0.1:0": OK, "[::1]:0": OK, "10.1.2.3:0": OK, ":0": Warn, "0.0.0.0:0": Warn, "203.0.113.9:0": Warn, "example.org:0": Warn,
	} {
		c := settings(t)
		c.Admin = address
		expect(t, named(t, lookAtAddresses(t.Context(), c), "admin address"), level)
	}
}

func TestThePublicAddressIsTriedAsAVisitorDoes(t *testing.T) {
	good, deaf, other := serving(t, teahouse(200, true)), serving(t, teahouse(200, false)), serving(t, http.NotFoundHandler())
	for name, c := range map[string]struct {
		listen, base string
		level        Level
		says         string
	}{
		"it leads here":       {good, "http://" + good, OK, "for pages and for WebSockets"},
		"it leads elsewhere":  {good, "http://" + other, Warn, "404"},
		"no sockets":          {good, "http://" + deaf, Warn, "Upgrade"},
		"nobody there":        {good, "http://127.0.0.1:1", Warn, "refused"},
		"TLS that is none":    {good, "https://" + good, Warn, "does not lead"},
		"no such name":        {good, "http://no-such-name.invalid", Warn, "DNS"},
		"nobody runs to lead": {"127.0.0.1:0", "http://localhost", OK, "no server runs here"},
	} {
		t.Run(name, func(t *testing.T) {
			findings := lookAtAddresses(t.Context(), config.Config{Listen: c.listen, BaseURL: c.base})
			expect(t, named(t, findings, "public address"), c.level, c.says)
		})
	}
}
