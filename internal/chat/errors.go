package chat

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotStored is for a Store to wrap: this failure of an Append has stored
// nothing, for sure.
var ErrNotStored = errors.New("nothing was stored")

// Answers of a Store; every other error of a Store is a failure.
var (
	ErrNoRoom        = errors.New("there is no such room")
	ErrNoLogin       = errors.New("there is no such login")
	ErrNonceConflict = errors.New("the nonce already stands for another text: send a new message with a new nonce")
)

// Refusals of the rules. They come wrapped in a sentence that says what to do.
var (
	ErrBadRoom  = errors.New("not a room name")
	ErrBadName  = errors.New("not a name")
	ErrBadText  = errors.New("not text")
	ErrEmpty    = errors.New("the message is empty: write something that can be seen")
	ErrTooLong  = fmt.Errorf("the message is too long: send at most %d characters", MaxText)
	ErrBadNonce = fmt.Errorf("not a nonce: send 1 to %d characters without controls", MaxNonce)
	ErrBadQuery = errors.New("not a query for messages: at most one of before, after and around, a whole number each")
	ErrBadSeq   = errors.New("the room has not reached that position: load it afresh")
	ErrBadEpoch = errors.New("the position belongs to another state of the server: load the room afresh")
)

// Failures that pass: the same request may be sent again after RetryAfter.
var (
	ErrBusy        = errors.New("the server is busy")
	ErrUnavailable = errors.New("the store is not available")
	ErrClosed      = errors.New("the server is shutting down")
)

// RateError refuses what came too fast; nothing was done.
type RateError struct {
	Limit Limit
	Wait  time.Duration // before it is worth trying again
}

func (e *RateError) Error() string {
	wait := e.Wait.Round(100 * time.Millisecond)
	if wait < 100*time.Millisecond {
		wait = 100 * time.Millisecond
	}
	return fmt.Sprintf("too many %s: wait %v", e.Limit, wait)
}

// RetryAfter says how long to wait before a refused request is worth repeating
// unchanged; 0 means that it never is.
func RetryAfter(err error) time.Duration {
	var rate *RateError
	switch {
	case errors.As(err, &rate):
		return max(rate.Wait, time.Millisecond)
	case errors.Is(err, ErrBusy):
		return time.Second
	case errors.Is(err, ErrUnavailable):
		return 2 * time.Second
	case errors.Is(err, ErrClosed):
		return 5 * time.Second
	}
	return 0
}
