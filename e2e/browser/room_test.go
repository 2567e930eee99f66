package browser_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/browser/link"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// connected waits until the page has its socket.
func connected(tab *chrome.Tab) {
	tab.Until(`document.querySelector('#connection').dataset.state === 'open'`)
}

// roomURL is the address of a room's page.
func roomURL(base, room string) string { return base + "/chat/" + url.PathEscape(room) + "/" }

// enter opens a room as a new person and waits for the socket.
func enter(t *testing.T, base, room string, look chrome.Look) *chrome.Tab {
	t.Helper()
	tab := visit(t, look)
	tab.Open(roomURL(base, room))
	connected(tab)
	return tab
}

// say types a text into the box and sends it.
func say(tab *chrome.Tab, text string) {
	tab.Do(`document.querySelector('#chat-message-input').focus()`)
	tab.Type(text)
	tab.Press("\r")
}

// shows waits until a message with this text is in the log, sent.
func shows(tab *chrome.Tab, text string) {
	tab.Until(`[...document.querySelectorAll('.message[data-state=sent] .text')].some((e) => e.textContent === %s)`, text)
}

// connect puts a link between the pages of a test and s.
func connect(t *testing.T, s *server.Server) *link.Link {
	t.Helper()
	k, err := link.New(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// message is one of the API's.
type message struct {
	Seq    int64
	Text   string
	Nonce  string
	At     string
	Author struct{ ID, Name, Tag string }
}

// stored reads all messages of a room from the server's log.
func stored(t *testing.T, s *server.Server, room string) []message {
	t.Helper()
	var all []message
	for {
		after := int64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Seq
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(fmt.Sprintf("%s/api/rooms/%s/messages?after=%d&limit=200", s.URL, url.PathEscape(room), after))
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Messages []message
			Last     bool
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("reading %s: %s, %v", room, res.Status, err)
		}
		all = append(all, page.Messages...)
		if page.Last || len(page.Messages) == 0 {
			return all
		}
	}
}

// guest is a person without a browser, known by a cookie.
type guest struct {
	t      *testing.T
	s      *server.Server
	client http.Client
	cookie string
}

// stranger is a new guest.
func stranger(t *testing.T, s *server.Server) *guest {
	g := &guest{t: t, s: s, client: http.Client{
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(g.client.CloseIdleConnections)
	return g
}

// post sends a form or JSON to a path and returns the status.
func (g *guest) post(path, kind, body string) int {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.s.URL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	if g.cookie != "" {
		req.Header.Set("Cookie", g.cookie)
	}
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection can be used again
	_ = res.Body.Close()
	for _, c := range res.Cookies() {
		g.cookie = c.Name + "=" + c.Value
	}
	return res.StatusCode
}

// try posts a text to a room and returns the status.
func (g *guest) try(room, text string) int {
	g.t.Helper()
	return g.post("/api/rooms/"+url.PathEscape(room)+"/messages", "text/plain; charset=utf-8", text)
}

// says posts a text to a room.
func (g *guest) says(room, text string) {
	g.t.Helper()
	if code := g.try(room, text); code != http.StatusCreated {
		g.t.Fatalf("posting %q to %s: status %d", text, room, code)
	}
}

// renames asks for another name through the page's form and returns the status.
func (g *guest) renames(room, name string) int {
	g.t.Helper()
	return g.post("/chat/"+url.PathEscape(room)+"/", "application/x-www-form-urlencoded", url.Values{"name": {name}}.Encode())
}

// fill posts the messages "first 1" to "first n".
func fill(g *guest, room, first string, n int) {
	g.t.Helper()
	for i := range n {
		g.says(room, fmt.Sprintf("%s %d", first, i+1))
	}
}
