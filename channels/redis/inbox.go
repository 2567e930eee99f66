package redis

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// Bounds of what waits to be decoded and delivered, of one host.
const (
	maxWaiting    = 32 << 20 // bytes
	arrivalWeight = 128      // bytes of a message beside its body
)

// inbox is between a connection's reader, which may not wait, and deliver,
// which may.
type inbox struct {
	// fixed
	wake chan struct{} // holds 1

	// guarded by mu
	mu      sync.Mutex
	arrived []arrival
	gaps    map[string]bool // groups to be told about after what has arrived
	size    int             // bytes, with those that were taken and not released
}

// arrival is a message that has come.
type arrival struct {
	topic  string // Redis channel
	body   string
	direct bool // to a channel of this process, whose name is topic
}

func newInbox() inbox {
	return inbox{wake: make(chan struct{}, 1), gaps: make(map[string]bool)}
}

// put tells whether there was room.
func (i *inbox) put(a arrival) bool {
	i.mu.Lock()
	full := i.size+a.weight() > maxWaiting
	if !full {
		i.size += a.weight()
		i.arrived = append(i.arrived, a)
	}
	i.mu.Unlock()
	i.poke()
	return !full
}

func (i *inbox) gap(groups ...string) {
	i.mu.Lock()
	for _, g := range groups {
		i.gaps[g] = true
	}
	i.mu.Unlock()
	i.poke()
}

func (i *inbox) poke() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// take waits until there is something, or ctx ends. The gaps are to be told
// after the messages.
func (i *inbox) take(ctx context.Context) (arrived []arrival, gaps []string) {
	for {
		i.mu.Lock()
		arrived, gaps = i.arrived, slices.Sorted(maps.Keys(i.gaps))
		i.arrived = nil
		clear(i.gaps)
		i.mu.Unlock()
		if len(arrived) > 0 || len(gaps) > 0 {
			return arrived, gaps
		}
		select {
		case <-i.wake:
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// release makes room for others once a message is delivered.
func (i *inbox) release(a arrival) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.size -= a.weight()
}

func (a arrival) weight() int { return len(a.topic) + len(a.body) + arrivalWeight }
