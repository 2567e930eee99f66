package client

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

// ErrClosed is what everything returns after Close.
var ErrClosed = errors.New("teahouse client: closed")

// ErrLeft is what a Room returns after Leave.
var ErrLeft = errors.New("teahouse client: the room was left")

// ErrReset is returned by Room.Next once when a backup of the server has been
// restored: all positions from before mean nothing, the copy made from them must
// be dropped, and what Next gives from here on is a new log, from its newest
// messages on.
var ErrReset = errors.New("teahouse client: the server's log was replaced, drop the copy of the room")

// Error is a refusal of one request; the connection is not affected.
type Error struct {
	Code    string        // one of the codes of package wire
	Message string        // one English sentence
	Retry   time.Duration // when to try again; 0 is not worth trying
}

func (e *Error) Error() string { return fmt.Sprintf("teahouse client: %s (%s)", e.Message, e.Code) }

// CloseError is the end of a connection after which the client does not come
// back: Code is a close code of package wire.
type CloseError struct {
	Code   int
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("teahouse client: the server closed the connection for good with %d: %s", e.Code, e.Reason)
}

// HandshakeError is an answer other than 101 to the handshake.
type HandshakeError struct {
	Status int
	Retry  time.Duration // when the server wants to see the client again; 0 says nothing
}

func (e *HandshakeError) Error() string {
	return fmt.Sprintf("teahouse client: the server answered the handshake with status %d", e.Status)
}

// PendingError is a post that was not answered while somebody waited for it: it
// may be stored or not. It stays in the outbox and is posted again, with the same
// nonce, while the room is joined and whenever it is joined again, until the server
// has answered or takes only shorter ones.
type PendingError struct {
	Nonce string
	Cause error // why nobody waits any more: of the context, the room or the client
}

func (e *PendingError) Error() string {
	return fmt.Sprintf("teahouse client: whether the message is stored is not known yet: %v", e.Cause)
}

// Unwrap gives the cause.
func (e *PendingError) Unwrap() error { return e.Cause }

// refusal is an error frame as an error.
func refusal(f wire.ErrorFrame) *Error {
	return &Error{Code: f.Code, Message: f.Message, Retry: time.Duration(f.RetryMS) * time.Millisecond}
}

// passing says whether a refusal is about now and not about the request.
func (e *Error) passing() bool {
	switch e.Code {
	case wire.CodeRateLimited, wire.CodeBusy, wire.CodeUnavailable:
		return true
	}
	return false
}

// final is the error for an end after which the client stays away, or nil.
func final(err error) error {
	var end websocket.CloseError
	if errors.As(err, &end) {
		switch int(end.Code) {
		case wire.CloseBadEnvelopes, wire.CloseSignedOut, wire.CloseRemoved, wire.CloseReplaced:
			return &CloseError{Code: int(end.Code), Reason: end.Reason}
		}
	}
	var refused *HandshakeError
	if errors.As(err, &refused) && refused.Status >= 400 && refused.Status < 500 && refused.Status != 429 && refused.Status != 408 {
		return refused
	}
	return nil
}

// foreign says that the connection ended because the client's positions are of
// another epoch.
func foreign(err error) bool {
	return int(websocket.CloseStatus(err)) == wire.CloseBadPosition
}

var retryIn = regexp.MustCompile(`retry_ms=(\d{1,9})`)

// asked is how long the server wants the client to stay away; 0 says nothing.
func asked(err error) time.Duration {
	var end websocket.CloseError
	if errors.As(err, &end) {
		if found := retryIn.FindStringSubmatch(end.Reason); found != nil {
			ms, _ := strconv.Atoi(found[1]) // nine digits always parse
			return time.Duration(ms) * time.Millisecond
		}
	}
	var refused *HandshakeError
	if errors.As(err, &refused) {
		return refused.Retry
	}
	return 0
}
