package channels

import (
	"context"
	"log/slog"
	"time"
)

// MaxEvent bounds an event between processes, in bytes as its Broker writes it.
// Publish of a larger one is ErrTooLarge; one that comes is dropped.
const MaxEvent = 1 << 20

// Broker carries events between processes. A Layer does everything that is
// local; its broker only has to bring an event to the other processes that
// follow a group, or to the one that owns a channel.
//
// A broker keeps what it was told to follow across lost connections: an error
// of Follow says that the name is impossible, or that ctx ended. Its events may
// be lost; they never come twice, and those of one sender to one group stay in
// order. It never delivers what its own layer published. Names are any text of
// up to 512 bytes; SafeName narrows them. What it sends is Event.Map, what it
// delivers EventFromMap. Package brokertest says the same as tests.
//
// A broker can do more by also being a Queuer, an Enroller or a Pipeliner.
type Broker interface {
	// Start is called once, by NewLayer, before the other methods. It does not
	// wait for a connection.
	Start(n Node)

	// Follow and Unfollow begin and end the delivery of events of groups.
	// Calls come one at a time, and never twice for one group without the
	// other in between.
	Follow(ctx context.Context, groups []string) error
	Unfollow(ctx context.Context, groups []string) error

	// Publish sends an event to the other processes. A payload the broker
	// cannot write is an error; a channel that has no room is ErrChannelFull.
	Publish(ctx context.Context, d Delivery) error
}

// Queuer is a Broker that also carries channels that belong to no process:
// names without an exclamation mark, such as those of background work. Whoever
// receives first, in any process, gets the event.
type Queuer interface {
	// Receive takes the oldest event of such a channel, waiting until ctx ends.
	// Layer.Send to one comes to Publish.
	Receive(ctx context.Context, channel string) (Event, error)
}

// Enroller is a Broker that also keeps members of groups that are not of this
// process: channels of other processes, and those of no process.
type Enroller interface {
	GroupAdd(ctx context.Context, group, channel string) error
	GroupDiscard(ctx context.Context, group, channel string) error
}

// Pipeliner is a Broker whose Publish waits for an answer, and need not: who
// sends much from one goroutine begins the next events meanwhile.
type Pipeliner interface {
	// Begin is Publish in two parts. When it returns, the event has its place in
	// the order; end then waits for what Publish would return. It is called
	// once, and ctx must live as long.
	Begin(ctx context.Context, d Delivery) (end func() error)
}

// Node is what a Broker is told of the process it works for, by its Layer. Its
// functions may be called by any goroutine.
type Node struct {
	// Process is in the names of this process's channels, as what stands between
	// the last period before the exclamation mark and that: 32 hexadecimal digits.
	Process string

	Capacity    func(channel string) int // events that may wait in a channel
	Expiry      time.Duration            // age at which a waiting event is dropped
	GroupExpiry time.Duration            // how long a membership lives without being renewed

	// Deliver hands over what another process sent. It may wait, to slow the
	// broker down, and its error says what was not delivered; the broker need not
	// care, it has been counted.
	Deliver func(ctx context.Context, d Delivery) error

	// Gap tells that events of some groups may have been lost, after the
	// connection that carries them was lost and is back, for example; no groups
	// stands for all.
	Gap func(groups ...string)

	// Dropped counts events that came and could not be understood, or that were
	// dropped by the broker.
	Dropped func(cause string, n int)

	Logger *slog.Logger
}

// Delivery is an event between processes, with where it is going: the members
// of a group, or channels, or both; who is among both gets it once.
type Delivery struct {
	Group    string
	Channels []string
	Event    Event
}
