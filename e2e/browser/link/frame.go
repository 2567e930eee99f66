package link

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// maxFrame is the largest payload in bytes that a link relays.
const maxFrame = 4 << 20

// frame is one WebSocket frame.
type frame struct {
	raw     []byte // as it came
	payload []byte // unmasked
}

// readFrame reads one frame (RFC 6455, section 5.2).
func readFrame(r *bufio.Reader) (frame, error) {
	head, err := r.Peek(2)
	if err != nil {
		return frame{}, err
	}
	length, extra := uint64(head[1]&0x7f), 0
	switch length {
	case 126:
		extra = 2
	case 127:
		extra = 8
	}
	size := 2 + extra
	masked := head[1]&0x80 != 0
	if masked {
		size += 4
	}
	if head, err = r.Peek(size); err != nil {
		return frame{}, err
	}
	switch extra {
	case 2:
		length = uint64(binary.BigEndian.Uint16(head[2:]))
	case 8:
		length = binary.BigEndian.Uint64(head[2:])
	}
	if length > maxFrame {
		return frame{}, fmt.Errorf("frame of %d bytes is beyond %d", length, maxFrame)
	}
	raw := make([]byte, uint64(size)+length)
	if _, err := io.ReadFull(r, raw); err != nil {
		return frame{}, err
	}
	f := frame{raw: raw, payload: raw[size:]}
	if masked {
		mask := raw[size-4 : size]
		f.payload = make([]byte, length)
		for i, b := range raw[size:] {
			f.payload[i] = b ^ mask[i&3]
		}
	}
	return f, nil
}

// textFrame is an unmasked text frame, as servers send them.
func textFrame(payload []byte) []byte {
	const finText = 0x81
	switch n := len(payload); {
	case n < 126:
		return append([]byte{finText, byte(n)}, payload...)
	default:
		return append(binary.BigEndian.AppendUint16([]byte{finText, 126}, uint16(n)), payload...)
	}
}
