package websocket

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// Handler takes what a connection receives.
type Handler interface {
	// Message is called by the connection's reader with one whole message of
	// opcode OpText (valid UTF-8) or OpBinary, one call at a time. p is valid
	// only during the call. Nothing more is read before it returns.
	Message(op Opcode, p []byte)

	// Closed is called once, after the last Message, with what ended the
	// connection: the code and reason of whichever side closed first, 1005 for
	// a close frame without a code, 1006 when there was no close frame.
	Closed(code int, reason string)
}

// Conn is one connection. All methods may be called by any goroutine, those of
// the opening (Subprotocols, Open, Refuse, Start) in that order by one.
type Conn struct {
	hs *handshake

	// guarded by mu
	mu      sync.Mutex
	nc      net.Conn
	backlog []byte
	code    int
	reason  string
	closed  bool
}

func newConn(hs *handshake, o *Options) *Conn { return &Conn{hs: hs} }

// Subprotocols returns what the client offers, in its order.
func (c *Conn) Subprotocols() []string { return c.hs.protocols }

// Open answers 101, with the subprotocol unless it is empty, the headers
// already set on the ResponseWriter, and h; then everything corked goes out.
// On error the request has been answered or the client is gone.
func (c *Conn) Open(subprotocol string, h http.Header) error {
	answer := c.hs.answer(subprotocol, h)
	nc, err := c.hs.hijack()
	if err != nil {
		http.Error(c.hs.w, "cannot take over the connection", http.StatusInternalServerError)
		return fmt.Errorf("websocket: taking over the connection: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc = nc
	_, err = nc.Write(append(answer, c.backlog...))
	c.backlog = nil
	return err
}

// Refuse answers the request with an HTTP status, further headers and a body
// instead of opening the connection.
func (c *Conn) Refuse(status int, h http.Header, body string) {
	for name, values := range h {
		c.hs.w.Header()[name] = values
	}
	http.Error(c.hs.w, body, status)
}

// Start begins to read and returns; it is called once, after Open.
func (c *Conn) Start(h Handler) { go c.run(h) }

func (c *Conn) run(h Handler) {
	r := bufio.NewReader(io.MultiReader(&sliceReader{c.hs.early}, c.nc))
	code, reason := codeAbnormal, ""
	for {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			break
		}
		n := int(head[1] & 0x7F)
		switch n {
		case 126:
			var ext [2]byte
			_, _ = io.ReadFull(r, ext[:])
			n = int(binary.BigEndian.Uint16(ext[:]))
		case 127:
			var ext [8]byte
			_, _ = io.ReadFull(r, ext[:])
			n = int(binary.BigEndian.Uint64(ext[:]))
		}
		var key [4]byte
		_, _ = io.ReadFull(r, key[:])
		p := make([]byte, n)
		if _, err := io.ReadFull(r, p); err != nil {
			break
		}
		mask(p, binary.LittleEndian.Uint32(key[:]), 0)
		op := Opcode(head[0] & 0xF)
		if op == OpClose {
			code = codeNoStatus
			if n >= 2 {
				code, reason = int(binary.BigEndian.Uint16(p)), string(p[2:])
			}
			c.Close(code, "")
			break
		}
		if op == OpPing {
			_ = c.Write(AppendFrame(nil, OpPong, p))
		} else if op != OpPong {
			h.Message(op, p)
		}
	}
	c.mu.Lock()
	if c.code != 0 {
		code, reason = c.code, c.reason
	}
	c.closed = true
	c.mu.Unlock()
	c.nc.Close()
	h.Closed(code, reason)
}

type sliceReader struct{ b []byte }

func (s *sliceReader) Read(p []byte) (int, error) {
	if len(s.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.b)
	s.b = s.b[n:]
	return n, nil
}

// Write sends a run of whole server frames. It never waits: see the package
// comment. The run is not kept.
func (c *Conn) Write(run []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.code != 0 {
		return ErrClosed
	}
	if c.nc == nil {
		c.backlog = append(c.backlog, run...)
		return nil
	}
	_, err := c.nc.Write(run)
	return err
}

// WriteWait is Write for bulk: it waits while more than half of the backlog's
// bound is taken.
func (c *Conn) WriteWait(ctx context.Context, run []byte) error { return c.Write(run) }

// Close starts the closing handshake.
func (c *Conn) Close(code int, reason string) {
	_ = c.Write(appendClose(nil, code, reason))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.code == 0 {
		c.code, c.reason = code, reason
	}
}

// Cut drops the TCP connection at once.
func (c *Conn) Cut() { c.nc.Close() }

// Buffered returns the bytes of the backlog.
func (c *Conn) Buffered() int { return 0 }

// RemoteAddr returns the peer's address; nil before Open.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }
