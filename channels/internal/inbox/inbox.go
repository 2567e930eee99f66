// Package inbox is what stands, in a broker, between the reader of a connection,
// which may not wait, and the delivery to a layer, which may: bounded memory, in
// order, with the gaps that are to be told behind what came before them.
package inbox

import (
	"context"
	"maps"
	"slices"
	"sync"
)

// MaxWaiting bounds what one inbox holds, in bytes.
const MaxWaiting = 32 << 20

const itemWeight = 128 // bytes of an item beside its text

// Item is a message that has come; Weight is about its size in bytes.
type Item interface{ Weight() int }

// Inbox is one queue. Any goroutine may put; one takes.
type Inbox[T Item] struct {
	// fixed
	wake chan struct{} // holds 1

	// guarded by mu
	mu      sync.Mutex
	arrived []T
	gaps    map[string]bool // groups to be told about after what has arrived
	all     bool            // a gap of all groups
	size    int             // bytes, with those that were taken and not released
}

// New is an inbox with nothing in it.
func New[T Item]() *Inbox[T] {
	return &Inbox[T]{wake: make(chan struct{}, 1), gaps: make(map[string]bool)}
}

// Put tells whether there was room.
func (i *Inbox[T]) Put(x T) bool {
	weight := x.Weight() + itemWeight
	i.mu.Lock()
	full := i.size+weight > MaxWaiting
	if !full {
		i.size += weight
		i.arrived = append(i.arrived, x)
	}
	i.mu.Unlock()
	i.poke()
	return !full
}

// Gap has it told that groups may have lost events.
func (i *Inbox[T]) Gap(groups ...string) {
	i.mu.Lock()
	for _, g := range groups {
		i.gaps[g] = true
	}
	i.mu.Unlock()
	i.poke()
}

// GapAll is Gap for all groups there are.
func (i *Inbox[T]) GapAll() {
	i.mu.Lock()
	i.all = true
	i.mu.Unlock()
	i.poke()
}

func (i *Inbox[T]) poke() {
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

// Waiting is how many have arrived and were not taken.
func (i *Inbox[T]) Waiting() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.arrived)
}

// Batch is what Take found. The gaps are to be told after the messages.
type Batch[T Item] struct {
	Arrived []T
	Gaps    []string // sorted
	GapAll  bool
}

// Take waits until there is something, or ctx ends; then the batch is empty.
func (i *Inbox[T]) Take(ctx context.Context) Batch[T] {
	for {
		i.mu.Lock()
		b := Batch[T]{i.arrived, slices.Sorted(maps.Keys(i.gaps)), i.all}
		i.arrived, i.all = nil, false
		clear(i.gaps)
		i.mu.Unlock()
		if len(b.Arrived) > 0 || len(b.Gaps) > 0 || b.GapAll {
			return b
		}
		select {
		case <-i.wake:
		case <-ctx.Done():
			return Batch[T]{}
		}
	}
}

// Release makes room for others once a message is delivered.
func (i *Inbox[T]) Release(x T) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.size -= x.Weight() + itemWeight
}
