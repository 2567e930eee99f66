package chat

import (
	"fmt"
	"time"
)

// Limit is a kind of thing that is counted against a rate.
type Limit int

// The rates that exist. What a key is differs by kind; the figures belong to
// the Limiter.
const (
	LimitMessages   Limit = iota // posts; key: UserID.String
	LimitAddress                 // posts, whoever wrote them; key: Post.Address
	LimitRooms                   // rooms made; key: Post.Address
	LimitHandshakes              // sockets opened; key: network address
	LimitGuests                  // posts and names of people not stored yet; key: Post.Address
	LimitCommands                // of one socket, which counts them itself: no Limiter is asked
)

// String is the name used in logs and metrics.
func (l Limit) String() string {
	switch l {
	case LimitMessages:
		return "messages"
	case LimitAddress:
		return "messages per address"
	case LimitRooms:
		return "rooms"
	case LimitHandshakes:
		return "handshakes"
	case LimitGuests:
		return "guests"
	case LimitCommands:
		return "commands"
	}
	return fmt.Sprintf("limit(%d)", int(l))
}

// Limiter decides whether one more of a kind is within the rate of a key. It is
// called by many goroutines and must not block.
type Limiter interface {
	// Take counts one and returns 0, or counts nothing and returns how long
	// to wait before it is worth asking again.
	Take(kind Limit, key string) (wait time.Duration)
}

// unlimited is the Limiter of a Service that was given none.
type unlimited struct{}

func (unlimited) Take(Limit, string) time.Duration { return 0 }
