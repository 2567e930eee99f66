package redis

import "github.com/teahouse-chat/teahouse/channels"

// Broker is what both formats are.
type Broker interface {
	channels.Broker
	channels.Queuer

	// States are the states of the hosts, in their order.
	States() []State

	// Close ends everything, and waits for that. Close the layer first.
	Close() error
}

// New returns a broker of the format that o says, a *Core or a *PubSub. It
// connects to nothing before Start, so its errors are about o alone.
func New(o Options) (Broker, error) {
	if o.PubSub {
		return NewPubSub(o)
	}
	return NewCore(o)
}
