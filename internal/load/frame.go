package load

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Opcodes, RFC 6455, section 5.2.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA

	bitFIN  = 0x80
	bitMask = 0x80
)

// maxFrame is the largest frame of a server that is read: a page of history is
// less.
const maxFrame = 4 << 20

// frame is one frame of a server; payload is a part of what was parsed.
type frame struct {
	op      byte
	payload []byte
}

// errCut says that data ends before its frame does.
var errCut = errors.New("the frame goes on")

// parseFrame reads the frame that data begins with and returns what follows it.
// Server frames are not masked (RFC 6455, section 5.1); fragments and extensions
// are not understood here, because nothing measured uses them.
func parseFrame(data []byte) (f frame, rest []byte, err error) {
	if len(data) < 2 {
		return f, data, errCut
	}
	if data[0]&^0x0f != bitFIN || data[0]&0x0f == 0 {
		return f, data, errors.New("a fragment or an extension, which the generator did not ask for")
	}
	if data[1]&bitMask != 0 {
		return f, data, errors.New("a masked frame from a server")
	}
	size, head := uint64(data[1]), 2
	switch size {
	case 126:
		if head = 4; len(data) < head {
			return f, data, errCut
		}
		size = uint64(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if head = 10; len(data) < head {
			return f, data, errCut
		}
		size = binary.BigEndian.Uint64(data[2:])
	}
	if size > maxFrame {
		return f, data, fmt.Errorf("a frame of %d bytes", size)
	}
	end := head + int(size)
	if len(data) < end {
		return f, data, errCut
	}
	return frame{op: data[0] & 0x0f, payload: data[head:end]}, data[end:], nil
}

// appendFrame writes a client's frame: whole, and masked with key as a client
// must (RFC 6455, section 5.3).
func appendFrame(dst []byte, op byte, key uint32, payload []byte) []byte {
	dst = append(dst, bitFIN|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, bitMask|byte(n))
	case n <= 0xffff:
		dst = binary.BigEndian.AppendUint16(append(dst, bitMask|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, bitMask|127), uint64(n))
	}
	mask := [4]byte{byte(key >> 24), byte(key >> 16), byte(key >> 8), byte(key)}
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i&3])
	}
	return dst
}

// handshakeKey is the same for all: the server must only echo it, and it is the
// one of RFC 6455, section 1.3.
const handshakeKey = "dGhlIHNhbXBsZSBub25jZQ=="

// acceptOf is the Sec-WebSocket-Accept that answers a key, section 4.2.2.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// appendRequest writes the handshake of a client.
func appendRequest(dst []byte, host, target string, lines []string) []byte {
	dst = append(dst, "GET "+target+" HTTP/1.1\r\nHost: "+host+
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+handshakeKey+"\r\n"...)
	for _, l := range lines {
		dst = append(append(dst, l...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// maxResponse bounds the head of an answer to a handshake.
const maxResponse = 16 << 10

// parseResponse reads the answer to a handshake and returns what follows its
// head. accept is what the server must have made of the key.
func parseResponse(data []byte, accept string) (rest []byte, err error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(data) > maxResponse:
		return nil, errors.New("the answer to the handshake has no end")
	case end < 0:
		return data, errCut
	}
	status, header, _ := strings.Cut(string(data[:end]), "\r\n")
	if !strings.HasPrefix(status, "HTTP/1.1 101") {
		return nil, fmt.Errorf("the handshake was answered %q", status[:min(len(status), 60)])
	}
	for line := range strings.SplitSeq(header, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Sec-WebSocket-Accept") && strings.TrimSpace(value) == accept {
			return data[end+4:], nil
		}
	}
	return nil, errors.New("the handshake was answered with another key")
}

// closeText is a close frame in words.
func closeText(payload []byte) string {
	if len(payload) < 2 {
		return "closed without a code"
	}
	return fmt.Sprintf("closed with %d", binary.BigEndian.Uint16(payload))
}
