package app

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// tendMemory keeps the heap fit for what the server does, until ctx ends.
//
// A small heap is collected seldom: a few megabytes of garbage more cost
// little, and collections are work that a busy server notices. That is decided
// anew after each collection, so that a heap that grows fast is not
// allowed several times what it has become. An operator who sets GOGC has
// decided otherwise.
//
// Memory goes back to the system when the server has become quiet after a storm
// of connections or messages, which is looked at every so often. The runtime
// keeps what the next storm would need, for minutes and in part for ever; with
// thousands of idle people that is as much as they need themselves.
func tendMemory(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var collected chan struct{} // nil: never
	if os.Getenv("GOGC") == "" {
		collected = make(chan struct{}, 1)
		collected <- struct{}{} // the first choice is made at once
		defer debug.SetGCPercent(debug.SetGCPercent(usualPercent))
	}
	before, percent := readMemory(), usualPercent
	for {
		select {
		case <-ctx.Done():
			return
		case <-collected:
			if p := readMemory().percent(); p != percent {
				debug.SetGCPercent(p)
				percent = p
			}
			afterCollection(collected)
		case <-ticker.C:
			now := readMemory()
			if now.wasted(before) {
				debug.FreeOSMemory()
			}
			before = now
		}
	}
}

// afterCollection makes the next collection of garbage tell c, which has room
// for one: it collects what is made here for that.
func afterCollection(c chan struct{}) {
	type garbage struct{ _ [64]byte } // too large to share memory with what lives on
	runtime.AddCleanup(new(garbage), func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c)
}

const (
	memoryEvery = 2 * time.Second
	memoryWaste = 2 << 20  // not worth returning below
	memorySpare = 16 << 20 // garbage that may collect in a heap however small; half of what a slow client may cost in all

	usualPercent = 100 // that of the runtime
)

// memory is the heap at one moment, in bytes.
type memory struct {
	used      uint64 // by objects, live or not yet collected
	free      uint64 // kept for objects to come
	allocated uint64 // in all, since the start
	live      uint64 // after the last collection
}

// wasted says that there is much to return, and nobody about to need it: little
// was allocated since the look before.
func (m memory) wasted(before memory) bool {
	garbage := m.used - min(m.used, m.live)
	return m.free+garbage > max(memoryWaste, m.live/4) && m.allocated-before.allocated < 1<<20
}

// percent is how much the heap may grow between collections, as GOGC: 100 for a
// large heap, 400 for a small one, in steps of 50.
func (m memory) percent() int {
	return min(max(int(100*memorySpare/max(m.live, 1))/50*50, usualPercent), 400)
}

func readMemory() memory {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	return memory{
		used: samples[0].Value.Uint64(), free: samples[1].Value.Uint64(),
		allocated: samples[2].Value.Uint64(), live: samples[3].Value.Uint64(),
	}
}
