package channelstest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Opcodes of RFC 6455, section 5.2.
const (
	opText   byte = 0x1
	opBinary byte = 0x2
	opClose  byte = 0x8
	opPing   byte = 0x9
	opPong   byte = 0xA
)

// maxFrame bounds what a server may send in one frame, so that a broken length
// is an error and not an allocation.
const maxFrame = 16 << 20

// frame writes one masked frame. The mask is 0, which is a mask: nobody is
// between the two ends whom it should confuse.
func (c *Client) frame(op byte, p []byte) error {
	b := []byte{0x80 | op}
	switch n := len(p); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xFFFF:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 0, 0, 0, 0)
	b = append(b, p...)
	if c.conn == nil {
		return errors.New("not connected")
	}
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.conn.Write(b)
	return err
}

// read hands the server's frames over until the connection ends.
func (c *Client) read(in *bufio.Reader) {
	defer close(c.frames)
	defer func() { _ = c.conn.Close() }()
	c.ended = ending{code: channels.CloseAbnormal}
	for {
		op, p, err := readFrame(in)
		if err != nil {
			return
		}
		switch op {
		case opText:
			c.frames <- channels.TextFrame(p)
		case opBinary:
			c.frames <- channels.BinaryFrame(p)
		case opPing:
			err = c.frame(opPong, p)
		case opClose:
			c.ended = ending{code: 1005}
			if len(p) >= 2 {
				c.ended = ending{int(binary.BigEndian.Uint16(p)), string(p[2:])}
			}
			_ = c.frame(opClose, p[:min(2, len(p))]) // fails when it was an answer to ours
			return
		}
		if err != nil {
			return
		}
	}
}

// readFrame reads one frame of a server: whole and not masked.
func readFrame(in *bufio.Reader) (op byte, p []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(in, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xF0 != 0x80 || head[1]&0x80 != 0 {
		return 0, nil, errors.New("not a frame of a server")
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(in, b[:])
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(in, b[:])
		n = binary.BigEndian.Uint64(b[:])
	}
	if err == nil && n > maxFrame {
		err = errors.New("frame too large")
	}
	if err != nil {
		return 0, nil, err
	}
	p = make([]byte, n)
	_, err = io.ReadFull(in, p)
	return head[0] & 0xF, p, err
}

// writer is a ResponseWriter that gives its half of the pipe away.
type writer struct {
	*httptest.ResponseRecorder
	conn     net.Conn
	once     sync.Once
	hijacked chan struct{}
}

// Hijack implements http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	err := http.ErrHijacked
	w.once.Do(func() {
		close(w.hijacked)
		err = nil
	})
	if err != nil {
		return nil, nil, err
	}
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// body is the text of an answer, for messages.
func body(r *http.Response) string {
	p, _ := io.ReadAll(io.LimitReader(r.Body, 1<<10)) // from memory
	return string(p)
}
