package websocket

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// closeError ends a connection: by a mistake of the peer, or by its close frame.
type closeError struct {
	code   int
	reason string
	peer   bool // the peer said so itself
}

func (e *closeError) Error() string { return fmt.Sprintf("websocket close %d: %s", e.code, e.reason) }

func protocolError(reason string) error { return &closeError{code: codeProtocol, reason: reason} }

// sink takes what parse finds. The bytes are valid during the call only.
type sink interface {
	message(op Opcode, p []byte)
	control(op Opcode, p []byte) error
}

// header is a client's frame header (RFC 6455 section 5.2).
type header struct {
	op   Opcode
	fin  bool
	size uint64 // payload bytes
	key  uint32 // masking key, its first byte lowest
}

// parseHeader reads a client's frame header at the head of b and returns its
// length, 0 when it is not complete. Each byte is judged as soon as it is there.
func parseHeader(b []byte) (h header, n int, err error) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.op, h.fin = Opcode(b[0]&0xF), b[0]&bitFIN != 0
	switch {
	case b[0]&bitsRSV != 0:
		return h, 0, protocolError("reserved bit set")
	case !h.op.known():
		return h, 0, protocolError("reserved opcode")
	case h.op.control() && !h.fin:
		return h, 0, protocolError("fragmented control frame")
	case len(b) == 1:
		return h, 0, nil
	case b[1]&bitMask == 0:
		return h, 0, protocolError("frame not masked")
	case h.op.control() && b[1]&^bitMask > maxControl:
		return h, 0, protocolError("control frame too long")
	}
	n = 2
	h.size = uint64(b[1] &^ bitMask)
	switch h.size {
	case 126:
		if n = 4; len(b) < n {
			return h, 0, nil
		}
		if h.size = uint64(binary.BigEndian.Uint16(b[2:])); h.size < 126 {
			return h, 0, protocolError("length not in its shortest form")
		}
	case 127:
		if n = 10; len(b) < n {
			return h, 0, nil
		}
		h.size = binary.BigEndian.Uint64(b[2:])
		if h.size>>63 != 0 || h.size <= 0xFFFF {
			return h, 0, protocolError("length not in its shortest form")
		}
	}
	if n += 4; len(b) < n {
		return h, 0, nil
	}
	h.key = binary.LittleEndian.Uint32(b[n-4:])
	return h, n, nil
}

// incoming is a message, or only a header, of which more must come. Memory
// grows with what has come, not with what was declared.
type incoming struct {
	// the frame being read
	head   [maxHeader]byte // its header as far as it has come
	nhead  int             // bytes of head; 0 once the header is complete
	h      header
	inside bool   // the header is complete, the payload is not
	pos    int    // payload bytes so far
	ctl    []byte // payload of a control frame

	// the message being read
	op        Opcode // of its first frame; opContinuation when there is none
	msg       []byte
	fragments int
	text      utf8Check
}

func (in *incoming) atRest() bool { return !in.inside && in.nhead == 0 && in.op == opContinuation }

// parse takes what came from a client: b, in continuation of in, which is nil
// between messages. It unmasks b in place, hands whole messages and control
// frames to the sink, and returns what is unfinished.
func parse(o *Options, in *incoming, b []byte, to sink) (*incoming, error) {
	for len(b) > 0 {
		if in == nil {
			n, err := parseWhole(o, b, to)
			if err != nil {
				return nil, err
			}
			if n > 0 {
				b = b[n:]
				continue
			}
			in = new(incoming)
		}
		n, err := in.take(o, b, to)
		if err != nil {
			return in, err
		}
		b = b[n:]
		if in.atRest() {
			in = nil
		}
	}
	return in, nil
}

// parseWhole is the usual case: a message of one frame, or a control frame,
// that lies whole in b. It returns its length, 0 when b holds something else.
func parseWhole(o *Options, b []byte, to sink) (int, error) {
	h, n, err := parseHeader(b)
	if err != nil || n == 0 || !h.fin || h.op == opContinuation || h.size > uint64(len(b)-n) {
		return 0, err
	}
	if h.size > uint64(o.MaxMessage) && !h.op.control() {
		return 0, &closeError{code: codeTooBig, reason: "message too big"}
	}
	end := n + int(h.size)
	p := b[n:end:end]
	mask(p, h.key, 0)
	switch {
	case h.op.control():
		return end, to.control(h.op, p)
	case h.op == OpText && !utf8.Valid(p):
		return 0, &closeError{code: codeNotUTF8, reason: "text is not UTF-8"}
	}
	to.message(h.op, p)
	return end, nil
}

// take reads up to the end of one frame and returns how much of b that was.
func (in *incoming) take(o *Options, b []byte, to sink) (int, error) {
	used := 0
	if !in.inside {
		n, err := in.takeHeader(b)
		if err != nil || !in.inside {
			return n, err
		}
		if err := in.begin(o); err != nil {
			return 0, err
		}
		used = n
	}
	p := b[used:]
	if left := in.h.size - uint64(in.pos); uint64(len(p)) > left {
		p = p[:left]
	}
	mask(p, in.h.key, in.pos)
	in.pos += len(p)
	used += len(p)
	if in.h.op.control() {
		in.ctl = append(in.ctl, p...)
	} else {
		if in.op == OpText && !in.text.add(p) {
			return 0, &closeError{code: codeNotUTF8, reason: "text is not UTF-8"}
		}
		in.msg = append(in.msg, p...)
	}
	if uint64(in.pos) < in.h.size {
		return used, nil
	}
	in.inside = false
	return used, in.finish(to)
}

// takeHeader completes the header, or keeps what there is of it.
func (in *incoming) takeHeader(b []byte) (int, error) {
	had := in.nhead
	got := copy(in.head[had:], b)
	h, n, err := parseHeader(in.head[:had+got])
	if err != nil {
		return 0, err
	}
	if n == 0 {
		in.nhead += got
		return got, nil
	}
	in.h, in.nhead, in.pos, in.inside = h, 0, 0, true
	return n - had, nil
}

// begin judges a complete header by what came before it.
func (in *incoming) begin(o *Options) error {
	if in.h.op.control() {
		in.ctl = in.ctl[:0]
		return nil
	}
	switch {
	case in.h.op == opContinuation && in.op == opContinuation:
		return protocolError("continuation of nothing")
	case in.h.op != opContinuation && in.op != opContinuation:
		return protocolError("new message inside a fragmented one")
	case in.h.size > uint64(o.MaxMessage-len(in.msg)):
		return &closeError{code: codeTooBig, reason: "message too big"}
	case in.fragments >= o.MaxFragments:
		return &closeError{code: codePolicy, reason: "too many fragments"}
	}
	in.fragments++
	if in.h.op != opContinuation {
		in.op = in.h.op
	}
	return nil
}

// finish hands over what ends with the frame just read.
func (in *incoming) finish(to sink) error {
	if in.h.op.control() {
		return to.control(in.h.op, in.ctl)
	}
	if !in.h.fin {
		return nil
	}
	if !in.text.done() {
		return &closeError{code: codeNotUTF8, reason: "text is not UTF-8"}
	}
	op, msg := in.op, in.msg
	in.op, in.msg, in.fragments = opContinuation, nil, 0
	to.message(op, msg)
	return nil
}

// parseClose reads the payload of the peer's close frame (section 5.5.1) and
// returns a closeError in every case.
func parseClose(p []byte) error {
	if len(p) == 0 {
		return &closeError{code: codeNoStatus, peer: true}
	}
	if len(p) == 1 {
		return protocolError("close code of one byte")
	}
	code := int(binary.BigEndian.Uint16(p))
	switch {
	case !validCloseCode(code):
		return protocolError("close code not allowed")
	case !utf8.Valid(p[2:]):
		return &closeError{code: codeNotUTF8, reason: "close reason is not UTF-8"}
	}
	return &closeError{code: code, reason: string(p[2:]), peer: true}
}
