package websocket

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that are expected to end at once; no test is judged by
// how long something took.
const patience = 20 * time.Second

// ending is what Handler.Closed was told.
type ending struct {
	code   int
	reason string
}

// peer is the server's side of one connection under test.
type peer struct {
	*Conn
	onMessage func(p *peer, op Opcode, b []byte) // nil echoes
	closed    chan ending                        // room for two, so that a second call is seen
}

func (p *peer) Message(op Opcode, b []byte) {
	if p.onMessage != nil {
		p.onMessage(p, op, b)
		return
	}
	_ = p.Write(AppendFrame(nil, op, b))
}

func (p *peer) Closed(code int, reason string) { p.closed <- ending{code, reason} }

// ended waits for the end and checks that it came once.
func (p *peer) ended(t testing.TB) ending {
	t.Helper()
	select {
	case e := <-p.closed:
		select {
		case again := <-p.closed:
			t.Fatalf("Closed was called twice: %v, then %v", e, again)
		default:
		}
		return e
	case <-time.After(patience):
		t.Fatal("Closed was not called")
		return ending{}
	}
}

// server accepts connections on a loopback socket and hands their peers over.
type server struct {
	*httptest.Server
	peers chan *peer
}

func newServer(t testing.TB, o *Options, onMessage func(p *peer, op Opcode, b []byte)) *server {
	t.Helper()
	s := &server{peers: make(chan *peer, 20000)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Begin(w, r, o)
		if err != nil {
			return
		}
		p := &peer{Conn: c, onMessage: onMessage, closed: make(chan ending, 2)}
		if err := c.Open("", nil); err != nil {
			t.Errorf("Open: %v", err)
			return
		}
		c.Start(p)
		s.peers <- p
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) addr() string { return s.Listener.Addr().String() }

// connect returns both ends of a new connection.
func (s *server) connect(t testing.TB) (*client, *peer) {
	t.Helper()
	c := dial(t, s.addr())
	return c, <-s.peers
}

// client is a WebSocket client that can send anything.
type client struct {
	net.Conn
	t  testing.TB
	br *bufio.Reader
}

const upgradeRequest = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	return upgrade(t, nc, "")
}

// upgrade speaks the handshake on nc; behind is sent together with it.
func upgrade(t testing.TB, nc net.Conn, behind string) *client {
	t.Helper()
	t.Cleanup(func() { nc.Close() })
	c := &client{Conn: nc, t: t, br: bufio.NewReaderSize(nc, 512)}
	_ = nc.SetDeadline(time.Now().Add(patience))
	c.raw([]byte(upgradeRequest + "\r\n" + behind))
	status, err := c.br.ReadString('\n')
	if err != nil || !strings.Contains(status, " 101 ") {
		t.Fatalf("handshake: %q, %v", status, err)
	}
	for line := status; line != "\r\n"; {
		if line, err = c.br.ReadString('\n'); err != nil {
			t.Fatalf("handshake: %v", err)
		}
	}
	return c
}

func (c *client) raw(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("client write: %v", err)
	}
}

func (c *client) send(op Opcode, p string) { c.t.Helper(); c.raw(clientFrame(bitFIN|byte(op), p)) }

// clientFrame is a masked frame with the given first byte.
func clientFrame(first byte, payload string) []byte {
	b := AppendFrame(nil, 0, []byte(payload))
	head := len(b) - len(payload)
	b[0] = first
	b[1] |= bitMask
	var key [4]byte
	_, _ = rand.Read(key[:])
	b = append(b[:head:head], key[:]...)
	b = append(b, payload...)
	mask(b[head+4:], binary.LittleEndian.Uint32(key[:]), 0)
	return b
}

// next reads one server frame.
func (c *client) next() (Opcode, []byte, error) {
	var head [10]byte
	if _, err := io.ReadFull(c.br, head[:2]); err != nil {
		return 0, nil, err
	}
	more := map[byte]int{126: 2, 127: 8}[head[1]]
	if _, err := io.ReadFull(c.br, head[2:2+more]); err != nil {
		return 0, nil, err
	}
	p := make([]byte, frameLen(head[:])-2-more)
	_, err := io.ReadFull(c.br, p)
	if head[0]&^0xF != bitFIN {
		err = fmt.Errorf("frame begins with %#x", head[0])
	}
	return Opcode(head[0] & 0xF), p, err
}

// expect reads a frame and compares it.
func (c *client) expect(op Opcode, p string) {
	c.t.Helper()
	gotOp, got, err := c.next()
	if err != nil || gotOp != op || string(got) != p {
		c.t.Fatalf("got frame %d %.200q, %v; want %d %.200q", gotOp, got, err, op, p)
	}
}

// expectClose reads up to a close frame with the code, and the end behind it.
func (c *client) expectClose(code int) (reason string) {
	c.t.Helper()
	for {
		op, p, err := c.next()
		if err != nil {
			c.t.Fatalf("got %v before a close frame, want code %d", err, code)
		}
		if op != OpClose {
			continue
		}
		got := codeNoStatus
		if len(p) >= 2 {
			got, reason = int(binary.BigEndian.Uint16(p)), string(p[2:])
		}
		if got != code {
			c.t.Fatalf("got close %d %q, want %d", got, reason, code)
		}
		return reason
	}
}

// expectEnd reads up to the end of the connection.
func (c *client) expectEnd() {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.br); isTimeout(err) {
		c.t.Fatal("the connection did not end")
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// pipeWriter is a ResponseWriter whose Hijack gives one end of a net.Pipe.
type pipeWriter struct {
	httptest.ResponseRecorder
	nc net.Conn
}

func (w *pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.nc, bufio.NewReadWriter(bufio.NewReader(strings.NewReader("")), nil), nil
}

// pipePair opens a connection over net.Pipe: the way without descriptors.
func pipePair(t testing.TB, o *Options, onMessage func(p *peer, op Opcode, b []byte)) (*client, *peer) {
	t.Helper()
	ours, theirs := net.Pipe()
	c, err := Begin(&pipeWriter{nc: ours}, upgradeTo("/"), o)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{Conn: c, onMessage: onMessage, closed: make(chan ending, 2)}
	var opening sync.WaitGroup
	opening.Go(func() {
		if err := c.Open("", nil); err != nil {
			t.Errorf("Open: %v", err)
		}
		c.Start(p)
	})
	cl := &client{Conn: theirs, t: t, br: bufio.NewReader(theirs)}
	_ = theirs.SetDeadline(time.Now().Add(time.Hour))
	for line := ""; line != "\r\n"; {
		if line, err = cl.br.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	opening.Wait()
	t.Cleanup(func() { theirs.Close() })
	return cl, p
}

func upgradeTo(path string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	return r
}
