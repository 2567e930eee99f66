package channels

import (
	"slices"
	"time"
)

const (
	recheckSteps = 60               // parts that the connections of an endpoint are rechecked in
	recheckPause = time.Millisecond // at least, between two
)

// rechecks goes round an endpoint's connections. Its fields are guarded by the
// endpoint's mu.
type rechecks struct {
	timer *time.Timer // set while there are connections
	step  int         // of recheckSteps
	due   []*Conn     // in this time round
}

// start begins, unless it is going on.
func (r *rechecks) start(e *Endpoint) {
	if r.timer == nil {
		r.timer = time.AfterFunc(e.recheckPause(), e.recheckSome)
	}
}

func (r *rechecks) stop() {
	if r.timer != nil {
		r.timer.Stop()
		*r = rechecks{}
	}
}

func (e *Endpoint) recheckPause() time.Duration {
	return max(e.recheckEvery/recheckSteps, recheckPause)
}

// recheckSome has the next part of the connections rechecked.
func (e *Endpoint) recheckSome() {
	e.mu.Lock()
	r := &e.recheck
	if r.timer == nil {
		e.mu.Unlock()
		return
	}
	if r.step == 0 {
		r.due = e.snapshot()
	}
	conns := r.due[len(r.due)*r.step/recheckSteps : len(r.due)*(r.step+1)/recheckSteps]
	r.step = (r.step + 1) % recheckSteps
	r.timer.Reset(e.recheckPause())
	e.mu.Unlock()
	for _, c := range conns {
		c.askRecheck()
	}
}

// askRecheck queues a call of Recheck, unless one is waiting.
func (c *Conn) askRecheck() {
	if _, rechecks := c.consumer.(Rechecker); !rechecks {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || slices.ContainsFunc(c.inbox, func(e Event) bool { return e.Payload == recheckNews{} }) {
		return
	}
	c.enqueue(Event{Payload: recheckNews{}})
}
