package live

import (
	"context"
	"slices"
	"sync"
	"time"
)

// follows is what the broker is to follow. A goroutine exists only while there
// are changes.
type follows struct {
	// owned by the goroutine
	has map[string]bool

	// guarded by mu
	mu      sync.Mutex
	changed map[string]bool // groups, and whether to follow them
	waiting []chan error    // joins
	running bool
	behind  bool // joins do not wait
}

// Follow implements channels.Broker. See Relay for how long it waits.
func (r *Relay) Follow(ctx context.Context, groups []string) error {
	groups = r.allOutside(groups)
	done := make(chan error, 1)
	if len(groups) == 0 || !r.change(groups, true, done) {
		return nil
	}
	timer := time.NewTimer(followWithin)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	case <-timer.C:
	}
	r.follows.fallBehind()
	return nil
}

// Unfollow implements channels.Broker. It does not wait.
func (r *Relay) Unfollow(_ context.Context, groups []string) error {
	if groups = r.allOutside(groups); len(groups) > 0 {
		r.change(groups, false, nil)
	}
	return nil
}

// allOutside is those of the groups that are outside.
func (r *Relay) allOutside(groups []string) []string {
	return slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return !r.outside(g) })
}

// change has groups followed, or not any more, and says whether done is worth
// waiting for.
func (r *Relay) change(groups []string, follow bool, done chan error) (wait bool) {
	f := &r.follows
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range groups {
		f.changed[g] = follow
	}
	if !f.running && !r.begin(r.keep) {
		return false // closed: nobody needs it any more
	}
	f.running = true
	wait = done != nil && !f.behind
	if wait {
		f.waiting = append(f.waiting, done)
	}
	return wait
}

// fallBehind lets joins go on without waiting until all is followed.
func (f *follows) fallBehind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behind = f.running
}

// keep makes the broker follow what it should, until it does. One call to the
// broker takes all that changed during the one before.
func (r *Relay) keep() {
	f := &r.follows
	for {
		f.mu.Lock()
		changed, waiting := f.changed, f.waiting
		if len(changed) == 0 {
			f.running, f.behind = false, false
			f.mu.Unlock()
			return
		}
		f.changed, f.waiting = make(map[string]bool), nil
		f.mu.Unlock()

		begun, err := r.apply(changed)
		f.mu.Lock()
		late := f.behind && len(begun) > 0
		f.mu.Unlock()
		if late {
			r.gap(begun...)
		}
		for _, done := range waiting {
			done <- err
		}
	}
}

// apply tells the broker what has changed, and returns what it follows now and
// did not before.
func (r *Relay) apply(changed map[string]bool) (begun []string, err error) {
	has := r.follows.has
	var begin, end []string
	for g, follow := range changed {
		switch {
		case follow && !has[g]:
			begin = append(begin, g)
		case !follow && has[g]:
			end = append(end, g)
			delete(has, g)
		}
	}
	if len(end) > 0 {
		if err := r.broker.Unfollow(r.ctx, end); err != nil && r.ctx.Err() == nil {
			r.log.Warn("unfollow groups of other processes", "groups", len(end), "err", err)
		}
	}
	if len(begin) == 0 {
		return nil, nil
	}
	if err := r.broker.Follow(r.ctx, begin); err != nil {
		if r.ctx.Err() == nil {
			r.log.Error("follow groups of other processes", "groups", len(begin), "err", err)
		}
		return nil, err
	}
	for _, g := range begin {
		has[g] = true
	}
	return begin, nil
}
