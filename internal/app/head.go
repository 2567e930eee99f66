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
	head head        // owned by the reader
}

// NetConn is the connection below, for who takes it over.
func (c *conn) NetConn() net.Conn { return c.TCPConn }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n == 0 || c.body.Load() {
		return n, err
	}
	ended, bad := c.head.read(p[:n])
	if bad {
		return 0, errHead // net/http answers 400 and closes
	}
	if ended {
		c.body.Store(true)
		c.head = head{}
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

// read takes more bytes and says whether the head has ended and whether it is bad.
func (h *head) read(p []byte) (ended, bad bool) {
	for _, b := range p {
		switch {
		case b == '\n' && h.length == 0 && h.lines > 0:
			return true, h.sized && h.coded
		case b == '\n':
			h.endLine()
		case b == '\r':
		case h.length == 0 && h.lines > 0 && (b == ' ' || b == '\t'):
			return false, true
		default:
			if h.length < maxLine {
				h.line[h.length] = b
			}
			h.length++
		}
	}
	return false, false
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
