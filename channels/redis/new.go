package redis

import (
	"context"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Broker is what both formats are.
type Broker interface {
	channels.Broker
	channels.Queuer

	// States are the states of the hosts, in their order.
	States() []State

	// Hold runs f while this process, of all that ask, holds the lease of a name;
	// see Core.Hold.
	Hold(ctx context.Context, name string, ttl time.Duration, f func(ctx context.Context)) error

	// Close ends everything, and waits for that. Close the layer first.
	Close() error
}

// New returns a broker of the format that o says, a *Core or a *PubSub. It
// connects to nothing before Start, so its errors are about o alone.
func New(o Options) (Broker, error) {
	var b Broker
	var err error
	if o.PubSub {
		b, err = NewPubSub(o)
	} else {
		b, err = NewCore(o)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}
