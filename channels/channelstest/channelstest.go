// Package channelstest drives a consumer in a test, with no network: a Client
// does the handshake with an http.Handler of the same process, such as a
// channels.Endpoint, alone or behind its router and middleware, and then plays
// the browser.
//
//	c := channelstest.New(t, mux, "/ws/chat/lobby/")
//	c.Connect()
//	c.SendText(`{"message":"hi"}`)
//	if got := c.ReceiveText(); got != `{"message":"hi"}` {
//		t.Errorf("got %s", got)
//	}
//	c.ReceiveNothing()
//	c.Disconnect(1000)
//
// A method that does not get what it is for ends the test with what it got
// instead: a consumer that crashed is told apart from one that says nothing. So
// methods are called by the test's goroutine. Everything works in a
// testing/synctest bubble, where waiting takes no time.
package channelstest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Patience of a Client: how long it waits for what should come, and for what
// should not.
const (
	patience = 5 * time.Second
	silence  = 100 * time.Millisecond
)

// key is Sec-WebSocket-Key of every handshake: 16 bytes that need not be secret.
const key = "dGVhaG91c2UgdGVzdGluZw=="

// Client is the client's side of one connection. It answers pings, and a close
// frame, by itself.
type Client struct {
	// Header goes with the handshake; change it before Connect. It holds what
	// the handshake needs and the Origin of the server itself.
	Header http.Header

	// fixed
	t       testing.TB
	handler http.Handler
	target  string

	// owned by the test's goroutine, set by the handshake
	conn   net.Conn
	frames chan channels.Frame // closed at the end of the connection
	ended  ending              // read after frames is closed
	served chan struct{}       // closed when the handler has returned
	reader sync.WaitGroup
	write  sync.Mutex // held while a frame is written
}

// ending is what ended a connection.
type ending struct {
	code   int // of the close frame; 1005 without one in it, 1006 without a frame
	reason string
}

// New returns a client for the handler of a URL path, or a whole URL, as in
// httptest.NewRequest. Nothing happens before Connect.
func New(t testing.TB, h http.Handler, target string) *Client {
	return &Client{
		t: t, handler: h, target: target,
		Header: http.Header{
			"Connection":            {"Upgrade"},
			"Upgrade":               {"websocket"},
			"Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key":     {key},
			"Origin":                {"http://example.com"}, // the host of httptest.NewRequest
		},
	}
}

// Subprotocols offers subprotocols, the preferred one first.
func (c *Client) Subprotocols(offered ...string) {
	for _, p := range offered {
		c.Header.Add("Sec-WebSocket-Protocol", p)
	}
}

// Connect does the handshake and ends the test unless the server accepts. The
// answer holds its headers.
func (c *Client) Connect() *http.Response {
	c.t.Helper()
	resp := c.handshake()
	switch resp.StatusCode {
	case http.StatusSwitchingProtocols:
	case http.StatusInternalServerError:
		c.t.Fatalf("channelstest: connect: the consumer crashed: refused with %s (the error is in the log of its endpoint): %s", resp.Status, body(resp))
	default:
		c.t.Fatalf("channelstest: connect: refused with %s: %s", resp.Status, body(resp))
	}
	return resp
}

// Refused does the handshake and ends the test unless the server turns the
// client away, with the answer returned.
func (c *Client) Refused() *http.Response {
	c.t.Helper()
	resp := c.handshake()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		c.t.Fatal("channelstest: refused: the server accepted")
	}
	return resp
}

func (c *Client) handshake() *http.Response {
	c.t.Helper()
	if c.served != nil {
		c.t.Fatal("channelstest: a Client connects once")
	}
	client, server := net.Pipe()
	w := &writer{ResponseRecorder: httptest.NewRecorder(), conn: server, hijacked: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, c.target, nil)
	r.Header = c.Header
	c.conn, c.served, c.frames = client, make(chan struct{}), make(chan channels.Frame, 1024)
	var crash any
	go func() {
		defer close(c.served)
		defer cancel() // as net/http does
		defer func() { crash = recover() }()
		c.handler.ServeHTTP(w, r)
	}()
	c.t.Cleanup(func() {
		cancel()
		_ = client.Close()
		<-c.served
		for range c.frames {
			// the reader may be waiting to hand over one more
		}
		c.reader.Wait()
	})
	select {
	case <-w.hijacked:
	case <-c.served:
		select {
		case <-w.hijacked: // both, and accepted
		default:
			close(c.frames)
			if crash != nil {
				c.t.Fatalf("channelstest: connect: the handler panicked: %v", crash)
			}
			return w.Result()
		}
	case <-time.After(patience):
		close(c.frames)
		c.t.Fatalf("channelstest: connect: no answer in %v", patience)
	}
	return c.accepted(r)
}

func (c *Client) accepted(r *http.Request) *http.Response {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewReader(c.conn)
	resp, err := http.ReadResponse(in, r)
	if err != nil {
		close(c.frames)
		c.t.Fatalf("channelstest: connect: read the answer: %v", err)
	}
	_ = c.conn.SetReadDeadline(time.Time{})
	c.reader.Go(func() { c.read(in) })
	return resp
}

// Send sends one frame.
func (c *Client) Send(f channels.Frame) {
	c.t.Helper()
	op := opText
	if f.Kind == channels.Binary {
		op = opBinary
	}
	if err := c.frame(op, f.Data); err != nil {
		c.t.Fatalf("channelstest: send: %s", c.why(err))
	}
}

// SendText sends a text frame.
func (c *Client) SendText(s string) {
	c.t.Helper()
	c.Send(channels.TextFrame([]byte(s)))
}

// SendJSON sends v as JSON in a text frame.
func (c *Client) SendJSON(v any) {
	c.t.Helper()
	f, err := channels.JSONFrame(v)
	if err != nil {
		c.t.Fatalf("channelstest: send: %v", err)
	}
	c.Send(f)
}

// Receive returns the next frame from the server. It ends the test when none
// comes in 5 s, or when the connection ended.
func (c *Client) Receive() channels.Frame {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if !ok {
			c.t.Fatalf("channelstest: receive: %s", c.why(nil))
		}
		return f
	case <-time.After(patience):
		c.t.Fatalf("channelstest: receive: nothing came in %v", patience)
	}
	return channels.Frame{}
}

// ReceiveText is the data of the next frame, which must be text.
func (c *Client) ReceiveText() string {
	c.t.Helper()
	f := c.Receive()
	if f.Kind != channels.Text {
		c.t.Fatalf("channelstest: receive: binary frame of %d bytes, want text", len(f.Data))
	}
	return string(f.Data)
}

// ReceiveJSON decodes the next frame into v, a pointer.
func (c *Client) ReceiveJSON(v any) {
	c.t.Helper()
	text := c.ReceiveText()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		c.t.Fatalf("channelstest: receive: %v in %s", err, text)
	}
}

// ReceiveNothing ends the test when a frame comes within 0.1 s, or the
// connection ends.
func (c *Client) ReceiveNothing() {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if !ok {
			c.t.Fatalf("channelstest: receive nothing: %s", c.why(nil))
		}
		c.t.Fatalf("channelstest: receive nothing: got %q", f.Data)
	case <-time.After(silence):
	}
}

// Closed waits until the server ends the connection and returns its close code
// and reason: 1006 when it sent no close frame, 1005 when that had no code. A
// frame that comes instead ends the test.
func (c *Client) Closed() (code int, reason string) {
	c.t.Helper()
	select {
	case f, ok := <-c.frames:
		if ok {
			c.t.Fatalf("channelstest: closed: got the frame %q instead", f.Data)
		}
	case <-time.After(patience):
		c.t.Fatalf("channelstest: closed: still open after %v", patience)
	}
	return c.ended.code, c.ended.reason
}

// Disconnect closes the connection as a browser does, with a code, and waits
// for the server's answer. Frames that come before it are dropped.
func (c *Client) Disconnect(code int) {
	c.t.Helper()
	if err := c.frame(opClose, []byte{byte(code >> 8), byte(code)}); err != nil {
		c.t.Fatalf("channelstest: disconnect: %s", c.why(err))
	}
	late := time.After(patience)
	for {
		select {
		case _, ok := <-c.frames:
			if !ok {
				if c.ended.code != code {
					c.t.Fatalf("channelstest: disconnect: %s", c.why(nil))
				}
				return
			}
		case <-late:
			c.t.Fatalf("channelstest: disconnect: no answer in %v", patience)
		}
	}
}

// Drop ends the connection without a word, as a browser whose network is gone.
func (c *Client) Drop() { _ = c.conn.Close() }

// why says what became of a connection that cannot be used any more.
func (c *Client) why(err error) string {
	if err != nil {
		// The end of the connection explains more than the error it caused.
		select {
		case <-time.After(silence):
			return err.Error()
		case _, ok := <-c.frames:
			if ok {
				return err.Error()
			}
		}
	}
	switch e := c.ended; e.code {
	case channels.CloseFailed:
		return "the consumer crashed: closed with 1011 (the error is in the log of its endpoint)"
	case channels.CloseAbnormal:
		return "the connection was cut without a close frame"
	default:
		return fmt.Sprintf("the server closed the connection: %d %s", e.code, e.reason)
	}
}
