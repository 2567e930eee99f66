package app

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
)

// net/http accepts two things in a request's head that others read differently,
// which is how requests are smuggled past a proxy: a header line folded over
// two lines (RFC 9112, section 5.2) and Content-Length beside
// Transfer-Encoding (section 6.1). By the time a handler runs the evidence is
// gone, so the bytes are looked at on their way in.

var errHead = errors.New("the request's head is malformed")

// listener hands out connections whose heads are looked at.
type listener struct{ net.Listener }

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, nil
	}
	return &conn{TCPConn: tcp}, nil
}

// conn looks at each request's head until it ends.
type conn struct {
	*net.TCPConn
	body atomic.Bool // what comes is not a head: looked at again when the connection idles

	// owned by the reader
	head head
	bad  bool // the next Read fails
}

// Unwatched is the connection itself, for who takes it over: package websocket
// asks for it.
func (c *conn) Unwatched() net.Conn { return c.TCPConn }

// Read gives what comes before the fault of a bad head, and then fails: in the
// middle of a head net/http answers that with 400 and closes.
func (c *conn) Read(p []byte) (int, error) {
	if c.bad {
		return 0, errHead
	}
	n, err := c.TCPConn.Read(p)
	if n == 0 || c.body.Load() {
		return n, err
	}
	good, ended := c.head.read(p[:n])
	switch {
	case ended:
		c.body.Store(true)
		c.head = head{}
	case good < n:
		c.bad = true
		if good == 0 {
			return 0, errHead
		}
		return good, nil
	}
	return n, err
}

// watchHeads is told by net/http when a connection waits for its next request.
func watchHeads(c net.Conn, s http.ConnState) {
	if own, ok := c.(*conn); ok && s == http.StateIdle {
		own.body.Store(false)
	}
}

// maxLine is how much of a header line is kept: enough for the two names.
const maxLine = len("Transfer-Encoding:")

// head reads a request's head byte by byte.
type head struct {
	line   [maxLine]byte
	length int  // of the line so far, without its end
	lines  int  // lines read
	sized  bool // Content-Length was there
	coded  bool // Transfer-Encoding was there
}

// read takes more bytes. It says how many of them come before a fault, all when
// there is none, and whether the head has ended.
func (h *head) read(p []byte) (good int, ended bool) {
	for i, b := range p {
		switch {
		case b == '\n' && h.length == 0 && h.lines > 0:
			if h.sized && h.coded {
				return i, false
			}
			return len(p), true
		case b == '\n':
			h.endLine()
		case b == '\r':
		case h.length == 0 && h.lines > 0 && (b == ' ' || b == '\t'):
			return i, false
		default:
			if h.length < maxLine {
				h.line[h.length] = b
			}
			h.length++
		}
	}
	return len(p), false
}

func (h *head) endLine() {
	if h.length > 0 {
		h.lines++
	}
	name, _, _ := bytes.Cut(h.line[:min(h.length, maxLine)], []byte{':'})
	h.sized = h.sized || h.lines > 1 && bytes.EqualFold(name, []byte("Content-Length"))
	h.coded = h.coded || h.lines > 1 && bytes.EqualFold(name, []byte("Transfer-Encoding"))
	h.length = 0
}
