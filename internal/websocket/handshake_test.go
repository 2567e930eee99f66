package websocket

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// handshakes are requests and their answers: the rows of the list of bad
// inputs that concern this level, and their neighbours.
var handshakes = []struct {
	name    string
	replace [2]string // in upgradeRequest
	status  int
	header  string // "Name: value" the answer must have
}{
	{"as it should be", [2]string{}, 101, "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
	{"19 POST", [2]string{"GET", "POST"}, 405, "Allow: GET"},
	{"19 POST with a body", [2]string{"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\nContent-Length: 0\r\n"}, 405, "Allow: GET"},
	{"PUT", [2]string{"GET", "PUT"}, 405, ""},
	{"20 no Upgrade", [2]string{"Upgrade: websocket\r\n", ""}, 426, "Upgrade: websocket"},
	{"20 neither Upgrade nor Connection", [2]string{"Connection: Upgrade\r\nUpgrade: websocket\r\n", ""}, 426, "Upgrade: websocket"},
	{"21 no Connection", [2]string{"Connection: Upgrade\r\n", ""}, 426, "Connection: Upgrade"},
	{"21 Connection without the token", [2]string{"Connection: Upgrade", "Connection: upgraded"}, 426, ""},
	{"Connection with more tokens", [2]string{"Connection: Upgrade", "Connection: keep-alive ,upGRADE"}, 101, ""},
	{"Connection in two lines", [2]string{"Connection: Upgrade", "Connection: keep-alive\r\nConnection: Upgrade"}, 101, ""},
	{"22 Upgrade: h2c", [2]string{"Upgrade: websocket", "Upgrade: h2c"}, 426, "Upgrade: websocket"},
	{"Upgrade: websockets", [2]string{"Upgrade: websocket", "Upgrade: websockets"}, 426, ""},
	{"Upgrade in capitals", [2]string{"Upgrade: websocket", "Upgrade: WebSocket"}, 101, ""},
	{"23 version 8", [2]string{"Version: 13", "Version: 8"}, 426, "Sec-Websocket-Version: 13"},
	{"24 no version", [2]string{"Sec-WebSocket-Version: 13\r\n", ""}, 426, "Sec-Websocket-Version: 13"},
	{"version 013", [2]string{"Version: 13", "Version: 013"}, 426, ""},
	{"a list of versions", [2]string{"Version: 13", "Version: 8, 13"}, 426, ""},
	{"two versions", [2]string{"Version: 13", "Version: 13\r\nSec-WebSocket-Version: 13"}, 426, ""},
	{"25 no key", [2]string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""}, 400, ""},
	{"an empty key", [2]string{"dGhlIHNhbXBsZSBub25jZQ==", ""}, 400, ""},
	{"26 key of 15 bytes", [2]string{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j"}, 400, ""},
	{"key of 17 bytes", [2]string{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZUE="}, 400, ""},
	{"27 key that is not base64", [2]string{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j*Q=="}, 400, ""},
	{"key with bits left over", [2]string{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="}, 400, ""},
	{"key of the other base64", [2]string{"dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25_ZQ=="}, 400, ""},
	{"two keys", [2]string{"Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key:"}, 400, ""},
	{"28 extension constructor", [2]string{"Connection", "Sec-WebSocket-Extensions: constructor\r\nConnection"}, 101, ""},
	{"permessage-deflate is not taken up", [2]string{"Connection", "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection"}, 101, ""},
	{"29 protocol b, 8,000 spaces, x", [2]string{"Connection", "Sec-WebSocket-Protocol: b" + strings.Repeat(" ", 8000) + "x\r\nConnection"}, 400, ""},
	{"an empty protocol list", [2]string{"Connection", "Sec-WebSocket-Protocol: , ,\r\nConnection"}, 101, ""},
	{"protocol that is no token", [2]string{"Connection", "Sec-WebSocket-Protocol: a/b\r\nConnection"}, 400, ""},
	{"protocol twice", [2]string{"Connection", "Sec-WebSocket-Protocol: a, a\r\nConnection"}, 400, ""},
	{"too many protocols", [2]string{"Connection", "Sec-WebSocket-Protocol: " + manyNames(33) + "\r\nConnection"}, 400, ""},
	{"HTTP/1.0", [2]string{"HTTP/1.1", "HTTP/1.0"}, 426, ""},
	{"GET with a body", [2]string{"Connection", "Content-Length: 3\r\nConnection"}, 400, ""},
	{"GET with a chunked body", [2]string{"Connection", "Transfer-Encoding: chunked\r\nConnection"}, 400, ""},
}

func manyNames(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint("p", i)
	}
	return strings.Join(names, ",")
}

func TestHandshakesAreAnsweredAsTheStandardSays(t *testing.T) {
	s := newServer(t, &Options{}, nil)
	for _, h := range handshakes {
		t.Run(h.name, func(t *testing.T) {
			nc, err := net.Dial("tcp", s.addr())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_ = nc.SetDeadline(time.Now().Add(patience))
			request := upgradeRequest
			if h.replace[0] != "" {
				request = strings.Replace(request, h.replace[0], h.replace[1], 1)
			}
			if _, err := io.WriteString(nc, request+"\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != h.status {
				t.Errorf("status %d, want %d", resp.StatusCode, h.status)
			}
			if name, value, ok := strings.Cut(h.header, ": "); ok && resp.Header.Get(name) != value {
				t.Errorf("%s is %q, want %q", name, resp.Header.Get(name), value)
			}
			if ext := resp.Header.Values("Sec-Websocket-Extensions"); len(ext) > 0 {
				t.Errorf("extensions %q were negotiated", ext)
			}
			if h.status == http.StatusSwitchingProtocols {
				p := <-s.peers
				nc.Close()
				p.ended(t)
			}
		})
	}
}

func TestSubprotocolsAreGivenInTheClientsOrder(t *testing.T) {
	r := upgradeTo("/")
	r.Header["Sec-Websocket-Protocol"] = []string{"b, a ,", "c"}
	c, err := Begin(httptest.NewRecorder(), r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a", "c"}, c.Subprotocols()); diff != "" {
		t.Error(diff)
	}
}

func TestOpenSendsProtocolHeadersAndWhatWasCorkedInOrder(t *testing.T) {
	peers := make(chan *peer, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "from=middleware")
		w.Header().Set("Content-Type", "text/html")
		c, err := Begin(w, r, &Options{})
		if err != nil {
			t.Error(err)
			return
		}
		for i := range 3 {
			if err := c.Write(AppendFrame(nil, OpText, fmt.Append(nil, "corked ", i))); err != nil {
				t.Error(err)
			}
		}
		h := http.Header{"X-Room": {"tea\r\nX-Evil: 1"}, "Sec-Websocket-Accept": {"mine"}}
		if err := c.Open("b", h); err != nil {
			t.Error(err)
			return
		}
		_ = c.Write(AppendFrame(nil, OpText, []byte("live")))
		p := &peer{Conn: c, closed: make(chan ending, 2)}
		c.Start(p)
		peers <- p
	}))
	defer s.Close()
	nc, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// The client's first frames come together with its request.
	_, err = io.WriteString(nc, upgradeRequest+"Sec-WebSocket-Protocol: a, b\r\n\r\n"+frames(fin|text, "early")+frames(fin|text, "bird")[:3])
	if err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="},
		"Sec-Websocket-Protocol": {"b"}, "Set-Cookie": {"from=middleware"}, "X-Room": {"tea  X-Evil: 1"},
	}
	if diff := cmp.Diff(want, resp.Header); diff != "" {
		t.Error(diff)
	}
	c := &client{Conn: nc, t: t, br: br}
	for _, p := range []string{"corked 0", "corked 1", "corked 2", "live", "early"} {
		c.expect(OpText, p)
	}
	nc.Close()
	if e := (<-peers).ended(t); e.code != codeAbnormal {
		t.Errorf("Closed was told %v", e)
	}
}

func TestOpenRefusesAProtocolThatWasNotOffered(t *testing.T) {
	w := httptest.NewRecorder()
	c, err := Begin(w, upgradeTo("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Open("teahouse.v1", nil); err == nil || w.Code != http.StatusInternalServerError {
		t.Errorf("got %v and status %d", err, w.Code)
	}
}

func TestOpenReportsAWriterThatCannotBeTakenOver(t *testing.T) {
	w := httptest.NewRecorder()
	c, err := Begin(w, upgradeTo("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Open("", nil); !errors.Is(err, http.ErrNotSupported) || w.Code != http.StatusInternalServerError {
		t.Errorf("got %v and status %d", err, w.Code)
	}
	if err := c.Write(pingFrame); !errors.Is(err, ErrClosed) {
		t.Errorf("Write after a failed Open: %v", err)
	}
}

func TestRefuseAnswersInsteadOfOpening(t *testing.T) {
	w := httptest.NewRecorder()
	c, err := Begin(w, upgradeTo("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Refuse(http.StatusServiceUnavailable, http.Header{"Retry-After": {"3"}}, "full house")
	if w.Code != 503 || w.Header().Get("Retry-After") != "3" || w.Body.String() != "full house\n" {
		t.Errorf("got %d %v %q", w.Code, w.Header(), w.Body)
	}
	if err := c.Write(pingFrame); !errors.Is(err, ErrClosed) {
		t.Errorf("Write after Refuse: %v", err)
	}
}

func TestACloseBeforeOpenIsSentBehindWhatWasCorked(t *testing.T) {
	done := make(chan ending, 2)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _ := Begin(w, r, &Options{})
		_ = c.Write(AppendFrame(nil, OpText, []byte("welcome")))
		c.Close(4401, "sign in")
		if err := c.Open("", nil); err != nil {
			t.Error(err)
		}
		c.Start(&peer{Conn: c, closed: done})
	}))
	defer s.Close()
	c := dial(t, s.Listener.Addr().String())
	c.expect(OpText, "welcome")
	c.expectClose(4401)
	c.Close()
	if e := <-done; e != (ending{4401, "sign in"}) {
		t.Errorf("Closed was told %v", e)
	}
}

// watched is a connection whose listener looks at what comes in.
type watched struct{ *net.TCPConn }

func (w watched) Unwatched() net.Conn { return w.TCPConn }

type watching struct{ net.Listener }

func (l watching) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return watched{nc.(*net.TCPConn)}, nil
}

func TestAWatchingListenerStepsAsideAtTheUpgrade(t *testing.T) {
	peers := make(chan *peer, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Begin(w, r, &Options{})
		if err != nil {
			return
		}
		p := &peer{Conn: c, closed: make(chan ending, 2)}
		if err := c.Open("", nil); err != nil {
			t.Error(err)
			return
		}
		c.Start(p)
		peers <- p
	}))
	s.Listener = watching{s.Listener}
	s.Start()
	defer s.Close()
	c := dial(t, s.Listener.Addr().String())
	c.send(OpText, "x")
	c.expect(OpText, "x")
	p := <-peers
	p.mu.Lock()
	direct := p.fd >= 0
	p.mu.Unlock()
	if !direct {
		t.Error("the socket is not written to directly")
	}
	c.Close()
	p.ended(t)
}
