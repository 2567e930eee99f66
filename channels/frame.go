package channels

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// Kind tells text frames from binary ones.
type Kind uint8

// The two kinds of frames. Text is the zero value.
const (
	Text   Kind = iota // UTF-8, checked on the way in, promised by the caller on the way out
	Binary             // any bytes
)

// Frame is one WebSocket message between a client and this server. Data may be
// empty, which is a message too; nil Data stands for no frame where that has a
// meaning (see Options.Render).
type Frame struct {
	Kind Kind
	Data []byte
}

// TextFrame is p as a text frame. p is not copied.
func TextFrame(p []byte) Frame { return Frame{Kind: Text, Data: p} }

// BinaryFrame is p as a binary frame. p is not copied.
func BinaryFrame(p []byte) Frame { return Frame{Kind: Binary, Data: p} }

// JSONFrame is v encoded by encoding/json as a text frame.
func JSONFrame(v any) (Frame, error) {
	p, err := json.Marshal(v)
	if err != nil {
		return Frame{}, fmt.Errorf("channels: encode a frame: %w", err)
	}
	return TextFrame(p), nil
}

// JSON decodes the frame's data into v, a pointer. The error for a frame that is
// no such JSON, or binary, is also a *CloseError: a Receive that returns it
// closes the connection with CloseInvalid, or CloseUnsupported. One that would
// rather answer with a frame of its own sends that and returns nil.
func (f Frame) JSON(v any) error {
	if f.Kind != Text {
		return &decodeError{errors.New("binary, want JSON text"), CloseError{CloseUnsupported, "JSON text expected"}}
	}
	if err := json.Unmarshal(f.Data, v); err != nil {
		return &decodeError{err, CloseError{CloseInvalid, "not the JSON expected"}}
	}
	return nil
}

// decodeError is why a frame could not be decoded, and what becomes of the
// connection unless the consumer sees to it.
type decodeError struct {
	err   error
	close CloseError
}

func (d *decodeError) Error() string   { return "channels: decode a frame: " + d.err.Error() }
func (d *decodeError) Unwrap() []error { return []error{d.err, &d.close} }

// encode appends the frame as it goes over the wire.
func (f Frame) encode(dst []byte) []byte {
	op := websocket.OpText
	if f.Kind == Binary {
		op = websocket.OpBinary
	}
	return websocket.AppendFrame(dst, op, f.Data)
}
