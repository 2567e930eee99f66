package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestTwoServersBehindEachProxy(t *testing.T) {
	chromium, err := chrome.Launch(server.Need(t, "chromium"), "ignore-certificate-errors", "host-resolver-rules=MAP "+name+" 127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := chromium.Close(); err != nil {
			t.Error(err)
		}
	})
	both := shared{parts.Postgres(t), parts.NATS(t, parts.NATSOptions{}), chromium}
	for i, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			s := open(t, both, i)
			run := func(name string, test func(*testing.T, *site)) {
				t.Run(name, func(t *testing.T) {
					of := *s // with the inner test, for the clients' ends
					of.t = t
					test(t, &of)
				})
			}
			run("a page comes over TLS, with a cookie for TLS alone", page)
			run("plain HTTP leads to TLS", redirected)
			run("the visitor is who comes to the proxy, whatever they send", visitor)
			run("rich sockets of the page's origin see each other", rich)
			run("a page in a browser is connected, over HTTP/2 where that is offered", browsed)
			run("a plain socket", plain)
			run("a stream's events come at once", stream)
			run("one server after the other goes and comes back, and nobody is lost", replaced)
			run("limits count each visitor", limits)
		})
	}
}

func page(t *testing.T, s *site) {
	res, body := s.do(s.browser("127.0.0.2", true), http.MethodGet, "/chat/lobby/", "")
	if res.StatusCode != http.StatusOK || !strings.Contains(body, s.base+"/chat/lobby/") {
		t.Errorf("got %d, and no link to %s in the page", res.StatusCode, s.base)
	}
	if cookie := cookieOf(res); cookie == nil || !cookie.Secure {
		t.Errorf("got the cookies %v", res.Cookies())
	}
	if res.ProtoMajor != 2 {
		t.Errorf("came by %s", res.Proto)
	}
}

// cookieOf is the guest's cookie of a page over TLS.
func cookieOf(res *http.Response) *http.Cookie {
	for _, c := range res.Cookies() {
		if c.Name == "__Host-sid" {
			return c
		}
	}
	return nil
}

func redirected(t *testing.T, s *site) {
	res, _, err := socket.Exchange(s.plain, "GET", "GET /chat/lobby/ HTTP/1.1\r\nHost: "+name+"\r\nConnection: close\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	want := "https://" + name
	if got := res.Header.Get("Location"); res.StatusCode/100 != 3 || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "/chat/lobby/") {
		t.Errorf("got %d to %q", res.StatusCode, got)
	}
}

// visitor looks into the servers' logs, where each request has its client.
func visitor(t *testing.T, s *site) {
	c := s.browser("127.0.0.2", true)
	s.do(c, http.MethodGet, "/chat/honest/", "")
	res, _ := s.do(c, http.MethodGet, "/chat/spoofed/", "", "X-Forwarded-For: 203.0.113.7, 127.0.0.1",
		"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "Forwarded: for=203.0.113.7", "X-Real-IP: 203.0.113.7")
	if cookie := cookieOf(res); res.StatusCode != http.StatusOK || cookie == nil {
		t.Errorf("with headers of their own a visitor gets %d, %v", res.StatusCode, res.Cookies())
	}
	for _, path := range []string{"/chat/honest/", "/chat/spoofed/"} {
		parts.Eventually(t, "the request is logged", func() bool { return len(s.clients(path)) > 0 }) // behind its answer
		if got := s.clients(path); len(got) != 1 || got[0] != "127.0.0.2:0" {
			t.Errorf("the server saw %s come from %v", path, got)
		}
	}
}

// clients are those that the servers' logs have for a path.
func (s *site) clients(path string) (clients []string) {
	path = strings.TrimSuffix(path, "/") // as the log has it
	for _, n := range s.nodes {
		for line := range strings.Lines(n.Log()) {
			if _, after, found := strings.Cut(line, "msg=request client="); found && requested(after, path) {
				client, _, _ := strings.Cut(after, " ")
				clients = append(clients, client)
			}
		}
	}
	return clients
}

// requested says that a log has a request for a path.
func requested(log, path string) bool { return strings.Contains(log, " path="+path+" ") }

func rich(t *testing.T, s *site) {
	res, _ := s.do(s.browser("127.0.0.2", true), http.MethodGet, "/chat/lobby/", "")
	cookie := "Cookie: __Host-sid=" + cookieOf(res).Value
	ana, ben := s.enter("127.0.0.2", "Origin: "+s.base, cookie), s.enter("127.0.0.3", "Origin: "+s.base)
	if _, _, err := ana.Post(wire.Post{Room: "lobby", Nonce: "1", Text: "the kettle is on"}); err != nil {
		t.Fatal(err)
	}
	if m, err := guest.Await[wire.MessageFrame](ben); err != nil || m.Message.Text != "the kettle is on" {
		t.Errorf("got %+v, %v", m, err)
	}
	var refused *socket.Refused
	if _, err := s.dial("127.0.0.2", "/ws", "Origin: https://evil.example", cookie); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("another site's page got %v", err)
	}
	if _, err := s.dial("127.0.0.2", "/ws", "Origin: http://"+s.host, cookie); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("a page without TLS got %v", err)
	}
}

func browsed(t *testing.T, s *site) {
	tab := s.chromium.Visit(t, chrome.Look{})
	tab.Open(s.base + "/chat/browsed/")
	tab.Until(`document.querySelector('#connection').dataset.state === 'open'`)
	tab.Click("#chat-message-input")
	tab.Type("who is there?")
	tab.Press("\r")
	tab.Until(`document.querySelectorAll('.message[data-state=sent]').length === 1`)
	if blocked := chrome.Eval[[]string](tab, `window.__seen.csp`); len(blocked) > 0 {
		t.Errorf("the page's own policy blocks %q", blocked)
	}
	if got := chrome.Eval[string](tab, `performance.getEntriesByType('navigation')[0].nextHopProtocol`); got != "h2" {
		t.Errorf("the page came by %s", got)
	}
}

func plain(t *testing.T, s *site) {
	c, err := s.dial("127.0.0.2", "/ws/chat/lobby/", "Origin: "+s.base)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SendText(`{"message":"green or black?"}`); err != nil {
		t.Fatal(err)
	}
	if text, err := c.ReadText(socket.Patience); err != nil || !strings.Contains(text, `"message":"green or black?"`) {
		t.Errorf("got %q, %v", text, err)
	}
}

// stream reads an event while the answer goes on: a proxy that waits for more
// would never let it through.
func stream(t *testing.T, s *site) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/api/rooms/stream/stream?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.browser("127.0.0.2", true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("got %d, %s", res.StatusCode, got)
	}
	lines := bufio.NewScanner(res.Body)
	for i := range 3 {
		text := fmt.Sprintf("infusion %d", i)
		if posted, body := s.do(s.browser("127.0.0.3", true), http.MethodPost, "/api/rooms/stream/messages", text); posted.StatusCode/100 != 2 {
			t.Fatalf("posted: %d %s", posted.StatusCode, body)
		}
		for lines.Scan() && !strings.Contains(lines.Text(), text) {
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// limits counts new rooms, of which an address may make five at once. It runs
// on one server: each counts for itself.
func limits(t *testing.T, s *site) {
	s.nodes[1].Kill()
	made := 0
	post := func(local string, lines ...string) (status int) {
		made++
		c := s.browser(local, true)
		parts.Eventually(t, "the proxy has noticed", func() bool { // a post on a connection that was cut may have been done
			res, _ := s.do(c, http.MethodPost, fmt.Sprintf("/api/rooms/limit-%d/messages", made), "mine", lines...)
			status = res.StatusCode
			return status != http.StatusBadGateway
		})
		return status
	}
	for post("127.0.0.5") != http.StatusTooManyRequests {
		if made > 20 {
			t.Fatal("nobody counts")
		}
	}
	if got := post("127.0.0.5", "X-Forwarded-For: 203.0.113.7"); got != http.StatusTooManyRequests {
		t.Errorf("who has used up their rooms calls themselves otherwise, and gets %d", got)
	}
	if got := post("127.0.0.6"); got/100 != 2 {
		t.Errorf("somebody else gets %d", got)
	}
}
