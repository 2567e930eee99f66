package app

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

// net/http accepts two things in a request's head that others read differently,
// which is how requests are smuggled past a proxy: a header line folded over
// two lines (RFC 9112, section 5.2) and Content-Length beside
// Transfer-Encoding (section 6.1). By the time a handler runs the evidence is
// gone, so the bytes are looked at on their way in.

var errHead = errors.New("the request's head is malformed")

// listener hands out connections whose heads are looked at.
type listener struct {
	net.Listener
	full func() // told each time that nobody can be let in, since too many files are open
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		if noFiles(err) {
			l.full()
		}
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, nil
	}
	return &conn{TCPConn: tcp}, nil
}

// conn looks at each request's head until it ends. What a client sends behind a
// request, before it has the answer, is held back, so that the next head begins
// where a look at it begins.
type conn struct {
	*net.TCPConn
	body atomic.Bool // what comes is not a head: looked at again when the connection idles

	// owned by the reader
	head head
	left int64  // bytes of the body still to come; below 0 when nobody knows
	rest []byte // held back
	bad  bool   // the next Read fails
}

// Unwatched is the connection itself, for who takes it over: package websocket
// asks for it.
func (c *conn) Unwatched() net.Conn { return c.TCPConn }

// Read gives what comes before the fault of a bad head, and then fails: in the
// middle of a head net/http answers that with 400 and closes.
func (c *conn) Read(p []byte) (int, error) {
	switch {
	case c.bad:
		return 0, errHead
	case c.body.Load():
		return c.readBody(p)
	}
	n, err := c.take(p)
	good, ended := c.head.read(p[:n])
	switch {
	case ended:
		c.body.Store(true)
		c.left, c.head = c.head.left(), head{}
		more := n - good // of the body
		if c.left >= 0 {
			more = int(min(int64(more), c.left))
			c.left -= int64(more)
		}
		c.rest = append(bytes.Clone(p[good+more:n]), c.rest...)
		return good + more, err
	case good < n:
		c.bad = true
		if good == 0 {
			return 0, errHead
		}
		return good, nil
	}
	return n, err
}

// readBody gives the body. Behind it net/http waits for one byte, to see the
// client go: that one is not held back.
func (c *conn) readBody(p []byte) (int, error) {
	if most := max(1, c.left); c.left >= 0 && int64(len(p)) > most {
		p = p[:most]
	}
	n, err := c.take(p)
	if c.left > 0 {
		c.left -= int64(n)
	}
	return n, err
}

// take gives what was held back, else what comes.
func (c *conn) take(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return c.TCPConn.Read(p)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// watchHeads is told by net/http when a connection waits for its next request.
func watchHeads(c net.Conn, s http.ConnState) {
	if own, ok := c.(*conn); ok && s == http.StateIdle {
		own.body.Store(false)
	}
}

// maxLine is how much of a header line is kept: enough for the names that
// matter, and for a length.
const maxLine = 64

// head reads a request's head byte by byte.
type head struct {
	line   [maxLine]byte
	length int   // of the line so far, without its end
	lines  int   // lines read
	sized  bool  // Content-Length was there
	coded  bool  // Transfer-Encoding was there
	turned bool  // Upgrade was there
	size   int64 // Content-Length, below 0 when it is no number
}

// read takes more bytes, up to the end of the head. It says how many of them
// that was, or come before a fault, and whether the head has ended.
func (h *head) read(p []byte) (good int, ended bool) {
	for i, b := range p {
		switch {
		case b == '\n' && h.length == 0 && h.lines > 0:
			if h.sized && h.coded {
				return i, false
			}
			return i + 1, true
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
	name, value, _ := bytes.Cut(h.line[:min(h.length, maxLine)], []byte{':'})
	h.length = 0
	switch {
	case h.lines < 2: // the request itself
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.coded = true
	case bytes.EqualFold(name, []byte("Upgrade")):
		h.turned = true
	case bytes.EqualFold(name, []byte("Content-Length")):
		h.sized = true
		n, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		if err != nil {
			n = -1
		}
		h.size = n
	}
}

// left is the length of the body behind a head that has ended; below 0 when
// this one does not tell. Such requests are the last of their connection, see
// strict, or change its protocol.
func (h *head) left() int64 {
	if h.coded || h.turned {
		return -1
	}
	return h.size
}
