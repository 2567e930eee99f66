package websocket

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcode says what a frame is (RFC 6455 section 5.2).
type Opcode byte

// The opcodes of RFC 6455. Continuation frames are not visible outside: a
// message has the opcode of its first frame.
const (
	opContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

func (op Opcode) control() bool { return op&0x8 != 0 }

func (op Opcode) known() bool { return op <= OpBinary || op >= OpClose && op <= OpPong }

// Bits of a frame header and limits of section 5.2 and 5.5.
const (
	bitFIN  = 0x80
	bitsRSV = 0x70
	bitMask = 0x80

	maxHeader  = 14  // bytes: 2, 8 of length, 4 of mask
	maxControl = 125 // payload bytes of a control frame
)

// Close codes that this package sends or reports itself.
const (
	codeProtocol    = 1002
	codeNoStatus    = 1005 // the peer's close frame had no code; never sent
	codeAbnormal    = 1006 // no close frame; never sent
	codeNotUTF8     = 1007
	codePolicy      = 1008
	codeTooBig      = 1009
	codePanic       = 1011
	codeTooSlow     = 4408
	codeTooManyPing = 4429
)

// AppendFrame appends a whole server frame (FIN set, not masked, no
// extensions) around payload to dst and returns the extended slice: a run for
// [Conn.Write]. The payload is not checked: text must be UTF-8, and control
// frames hold at most 125 bytes.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, bitFIN|byte(op), byte(n))
	case n <= 0xFFFF:
		dst = append(dst, bitFIN|byte(op), 126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, bitFIN|byte(op), 127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return append(dst, payload...)
}

// pingFrame is what the keepalive sends.
var pingFrame = AppendFrame(nil, OpPing, nil)

// appendClose appends a close frame; codeNoStatus makes an empty one.
func appendClose(dst []byte, code int, reason string) []byte {
	if code == codeNoStatus {
		return AppendFrame(dst, OpClose, nil)
	}
	var p [maxControl]byte
	binary.BigEndian.PutUint16(p[:], uint16(code))
	n := copy(p[2:], clipReason(reason))
	return AppendFrame(dst, OpClose, p[:2+n])
}

// clipReason returns reason as valid UTF-8 of at most 123 bytes, which is what
// a close frame can carry beside its code.
func clipReason(reason string) string {
	if !utf8.ValidString(reason) {
		return ""
	}
	if len(reason) <= maxControl-2 {
		return reason
	}
	n := maxControl - 2
	for !utf8.RuneStart(reason[n]) {
		n--
	}
	return reason[:n]
}

// frameLen returns the whole length of the server frame at the head of b,
// which holds at least its header.
func frameLen(b []byte) int {
	switch b[1] {
	case 126:
		return 4 + int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return 10 + int(binary.BigEndian.Uint64(b[2:]))
	default:
		return 2 + int(b[1])
	}
}

// restOfFrame returns how many bytes of the frame that holds byte n of run are
// left from n on: 0 when n is at the edge of a frame. The first lead bytes of
// run count as one frame.
func restOfFrame(run []byte, n, lead int) int {
	pos := lead
	for pos < n {
		pos += frameLen(run[pos:])
	}
	return pos - n
}

// validCloseCode says whether a peer may send code: registered codes that
// stand for something said, and those left to libraries and applications
// (RFC 6455 section 7.4, and the IANA registry for 1012 to 1014).
func validCloseCode(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code >= 1000 && code <= 1014:
		return code != 1004 && code != codeNoStatus && code != codeAbnormal
	}
	return false
}

// mask applies the masking key (section 5.3) to b in place, where pos bytes of
// the payload came before b.
func mask(b []byte, key uint32, pos int) {
	// The key is little endian here: its low byte masks payload byte 0.
	shift := uint(pos&3) * 8
	key = key>>shift | key<<(32-shift)
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (uint(i&3) * 8))
	}
}
