package browser_test

import (
	_ "embed"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// plainPage has the script of the original chat page, unchanged.
//
//go:embed testdata/plain.html
var plainPage []byte

// withPlainPage is the base URL of s with one page more: /plain/{room}/. The
// page comes from the same origin and has no policy of ours, as the page of
// somebody else's server in front of ours would.
func withPlainPage(t *testing.T, s *server.Server) string {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /plain/{room}/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(plainPage)
	})
	mux.Handle("/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // the origin that the browser knows
	}})
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	return front.URL
}

// openPlain opens the original page and waits for its socket.
func openPlain(t *testing.T, base, room string) *chrome.Tab {
	t.Helper()
	tab := visit(t, chrome.Look{})
	tab.Open(base + "/plain/" + url.PathEscape(room) + "/")
	tab.Until(`chatSocket.readyState === WebSocket.OPEN`)
	return tab
}

func TestTheOriginalPageWorksUnchanged(t *testing.T) {
	s := server.Start(t)
	base := withPlainPage(t, s)

	t.Run("two browsers exchange messages", func(t *testing.T) {
		for _, room := range []string{"lobby", "茶馆"} {
			a, b := openPlain(t, base, room), openPlain(t, base, room)
			a.Type("good morning")
			a.Click("#chat-message-submit")
			b.Until(`document.querySelector('#chat-log').value === 'good morning\n'`)
			b.Type("早上好 <b>&amp;")
			b.Press("\r")
			for _, tab := range []*chrome.Tab{a, b} {
				tab.Until(`document.querySelector('#chat-log').value === 'good morning\n早上好 <b>&amp;\n'`)
			}
		}
	})

	t.Run("the original page and the rich page see each other", func(t *testing.T) {
		plain := openPlain(t, base, "both")
		rich := visit(t, chrome.Look{})
		rich.Open(base + "/chat/both/")
		connected(rich)
		plain.Type("from the plain page")
		plain.Press("\r")
		rich.Until(`[...document.querySelectorAll('.message .text')].some((e) => e.textContent === 'from the plain page')`)
		rich.Type("from the rich page")
		rich.Press("\r")
		plain.Until(`document.querySelector('#chat-log').value === 'from the plain page\nfrom the rich page\n'`)
		rich.Until(`document.querySelectorAll('.message[data-state=sent]').length === 2`)
	})
}
