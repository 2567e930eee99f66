// Package socket is a WebSocket client that does what it is told: any bytes as
// handshake, any bits as frames. It is for tests of what a well-behaved client
// never sends. RFC 6455 is the protocol.
//
// Reading is ordinary: server frames are checked, pings are answered (unless
// Silent), and a close frame ends reading with a *Close. One goroutine may read
// and another write.
package socket

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Opcodes, RFC 6455, section 5.2.
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	CloseFrame   = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// Bits of a frame's first byte.
const (
	FIN  = 0x80
	RSV1 = 0x40
	RSV2 = 0x20
	RSV3 = 0x10
)

// Patience bounds waits for what the server does at once unless there is a bug.
const Patience = 20 * time.Second

// Key is the Sec-WebSocket-Key of Request: the one of RFC 6455, section 1.3.
const Key = "dGhlIHNhbXBsZSBub25jZQ=="

// Close is how the server ended the connection: 1006 without a close frame.
type Close struct {
	Code   int
	Reason string
}

func (c *Close) Error() string { return fmt.Sprintf("closed with %d %q", c.Code, c.Reason) }

// Conn is a connection after its handshake.
type Conn struct {
	net.Conn
	Silent bool // pings are not answered; set before reading

	in *bufio.Reader // owned by the reader

	mu sync.Mutex // held while a frame is written
}

// Request is a good handshake for a path, with more header lines.
func Request(host, path string, lines ...string) string {
	all := append([]string{
		"GET " + path + " HTTP/1.1",
		"Host: " + host,
		"Connection: Upgrade",
		"Upgrade: websocket",
		"Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: " + Key,
	}, lines...)
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

// Refused is an answer to a handshake that is not 101.
type Refused struct {
	Status int
	Header http.Header
	Body   string
}

func (r *Refused) Error() string {
	return fmt.Sprintf("handshake refused with %d: %s", r.Status, r.Body)
}

// Dial opens a WebSocket. An answer other than 101 is a *Refused.
func Dial(address, path string, lines ...string) (*Conn, error) {
	return DialFrom("", address, path, lines...)
}

// DialFrom is Dial from an address of this machine, such as 127.0.0.7: limits
// per address do not tell two of them to be one.
func DialFrom(local, address, path string, lines ...string) (*Conn, error) {
	d := net.Dialer{Timeout: Patience}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	nc, err := d.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c, err := Upgrade(nc, Request(address, path, lines...))
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

// Upgrade sends a handshake on an open connection and reads the answer.
func Upgrade(nc net.Conn, request string) (*Conn, error) {
	if err := nc.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(nc, request); err != nil {
		return nil, fmt.Errorf("send handshake: %w", err)
	}
	in := bufio.NewReader(nc)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, fmt.Errorf("read handshake: %w", err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(res.Body) // what there is of it
		return nil, errors.Join(&Refused{Status: res.StatusCode, Header: res.Header, Body: string(body)}, res.Body.Close())
	}
	if extensions := res.Header.Get("Sec-WebSocket-Extensions"); extensions != "" {
		return nil, fmt.Errorf("the server chose extensions %q", extensions)
	}
	return &Conn{Conn: nc, in: in}, nc.SetDeadline(time.Time{})
}

// mask is the masking key of all frames.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// Frame is one client frame, masked, with the shortest length. The first byte
// holds FIN, the reserved bits and the opcode.
func Frame(first byte, payload []byte) []byte {
	b := Header(first, uint64(len(payload)))
	for i, p := range payload {
		b = append(b, p^mask[i%4])
	}
	return b
}

// Header is the head of a masked frame that declares a length.
func Header(first byte, length uint64) []byte {
	b := []byte{first}
	switch {
	case length < 126:
		b = append(b, 0x80|byte(length))
	case length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), length)
	}
	return append(b, mask[:]...)
}

// Send writes bytes as they are.
func (c *Conn) Send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.SetWriteDeadline(time.Now().Add(Patience)); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

// SendText writes a whole text message.
func (c *Conn) SendText(text string) error { return c.Send(Frame(FIN|Text, []byte(text))) }

// Read returns the next message. When the server closes, or the connection
// ends, the error is a *Close.
func (c *Conn) Read(within time.Duration) (opcode byte, payload []byte, err error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return 0, nil, err
	}
	for {
		opcode, payload, err = c.frame()
		switch {
		case err != nil:
			return 0, nil, c.readError(err)
		case opcode == CloseFrame:
			return 0, nil, c.closed(payload)
		case opcode == Pong:
		case opcode != Ping:
			return opcode, payload, nil
		case !c.Silent:
			if err := c.Send(Frame(FIN|Pong, payload)); err != nil {
				return 0, nil, err
			}
		}
	}
}

// readError turns the end of the connection into a *Close.
func (c *Conn) readError(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("read: %w", err)
	}
	return &Close{Code: 1006, Reason: err.Error()}
}

// closed reads a close frame and answers it.
func (c *Conn) closed(payload []byte) error {
	_ = c.Send(Frame(FIN|CloseFrame, payload[:min(2, len(payload))])) // the server may have gone
	if len(payload) < 2 {
		return &Close{Code: 1005}
	}
	return &Close{Code: int(binary.BigEndian.Uint16(payload)), Reason: string(payload[2:])}
}

// maxFrame is more than a server ever sends.
const maxFrame = 2 << 20

// frame reads one frame as a server must send it: whole and unmasked.
func (c *Conn) frame() (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	if head[0]&0xF0 != FIN || head[1]&0x80 != 0 {
		return 0, nil, fmt.Errorf("the server sent a frame that begins with %x", head)
	}
	length := uint64(head[1])
	if length > 125 {
		var long [8]byte
		extended := long[:]
		if length == 126 {
			extended = long[6:]
		}
		if _, err := io.ReadFull(c.in, extended); err != nil {
			return 0, nil, err
		}
		length = binary.BigEndian.Uint64(long[:])
	}
	if length > maxFrame {
		return 0, nil, fmt.Errorf("the server sent a frame of %d bytes", length)
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(c.in, payload)
	return head[0] & 0x0F, payload, err
}

// ReadText returns the next message, which must be text.
func (c *Conn) ReadText(within time.Duration) (string, error) {
	opcode, payload, err := c.Read(within)
	if err == nil && opcode != Text {
		err = fmt.Errorf("got opcode %x, want text", opcode)
	}
	return string(payload), err
}

// AwaitClose reads until the server closes and returns how. An error means that
// it did not.
func (c *Conn) AwaitClose(within time.Duration) (*Close, error) {
	for end := time.Now().Add(within); ; {
		_, _, err := c.Read(time.Until(end))
		var closed *Close
		if errors.As(err, &closed) {
			return closed, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Exchange sends raw bytes on a new connection and reads one answer; method is
// the one the answer is to, for HEAD. The bytes are sent while the answer is
// awaited, since it may come early.
func Exchange(address, method, raw string) (*http.Response, string, error) {
	nc, err := net.DialTimeout("tcp", address, Patience)
	if err != nil {
		return nil, "", err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(Patience)); err != nil {
		return nil, "", err
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.WriteString(nc, raw) // the server may refuse to read it all
	}()
	res, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: method})
	if err != nil {
		return nil, "", fmt.Errorf("read answer: %w", err)
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<20)) // a reset after the answer is no matter
	err = errors.Join(res.Body.Close(), nc.Close())
	<-sent
	return res, string(body), err
}
