package channels

import (
	"errors"
	"fmt"
	"net/http"
)

// Errors to be recognised with errors.Is.
var (
	ErrClosed      = errors.New("channels: connection closed")
	ErrNoLayer     = errors.New("channels: no layer configured")
	ErrNoHandler   = errors.New("channels: no handler for an event")
	ErrChannelFull = errors.New("channels: channel full")
	ErrUnpublished = errors.New("channels: not sent to other processes")
	ErrTooLarge    = errors.New("channels: larger than 1 MiB")
	ErrBadName     = errors.New("channels: not a name")
	ErrMissed      = errors.New("channels: events may be missing")
	ErrMember      = errors.New("channels: member of the group already")
	ErrTooMany     = errors.New("channels: too many groups for one connection")
	ErrSubprotocol = errors.New("channels: subprotocol not offered by the client")
)

// Close codes that this package sends by itself. Consumers may use any code of
// RFC 6455, section 7.4.
const (
	CloseNormal      = 1000 // bye
	CloseUnsupported = 1003 // a binary frame where JSON was expected
	CloseAbnormal    = 1006 // only told to Disconnect: ended without a closing handshake
	CloseInvalid     = 1007 // not the JSON that was expected
	CloseFailed      = 1011 // the consumer failed
	CloseTooSlow     = 4408 // the client did not keep up
)

// Refusal is the error of a Connect that turns a client away with an HTTP
// answer in place of the handshake.
type Refusal struct {
	Status int
	Header http.Header // may be nil
	Text   string      // body, shown to people
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("channels: refused: %d %s", r.Status, r.Text)
}

// CloseError is the error of a consumer's method that ends the connection with
// a code and a reason the client sees. The reason is clipped to 123 bytes.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("channels: close %d %s", e.Code, e.Reason)
}

// panicError is a panic of the consumer's code, met at the edge of its connection.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v", p.value) }
