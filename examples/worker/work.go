package main

import (
	"context"
	"strconv"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/worker"
)

// work is what this worker can do: one channel, on two processors.
func work(layer *channels.Layer) *worker.Mux {
	mux := new(worker.Mux)
	mux.Handle("factors", func(ctx context.Context, e channels.Event) error {
		asked, _ := e.Payload.(map[string]any)
		n, ok := asked["n"].(int64)
		if e.Type != "factors.find" || !ok {
			return channels.ErrNoHandler // anybody on this Redis may send anything
		}
		found, err := factors(ctx, n)
		if err != nil {
			return err
		}
		return layer.GroupSend(ctx, "results", channels.Event{
			Type:    "factors.found",
			Payload: map[string]any{"n": strconv.FormatInt(n, 10), "factors": found},
		})
	}, &worker.Options{Concurrency: 2, Retries: 3})
	return mux
}

// factors finds the prime factors of n, the smallest first. For large primes it
// takes seconds, which is why a worker does it.
func factors(ctx context.Context, n int64) ([]string, error) {
	var found []string
	for p := int64(2); p <= n/p; p++ {
		for n%p == 0 {
			found = append(found, strconv.FormatInt(p, 10))
			n /= p
		}
		if p%(1<<20) == 0 && ctx.Err() != nil {
			return nil, ctx.Err() // the grace of a stop is over
		}
	}
	if n > 1 {
		found = append(found, strconv.FormatInt(n, 10))
	}
	return found, nil
}
