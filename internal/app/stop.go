package app

import (
	"context"
	"time"

	"github.com/teahouse-chat/teahouse/internal/live"
)

// An orderly stop is bounded: by 10 s, or by --drain and 6 s if that is more.
const (
	bridgeWithin   = 3 * time.Second // for what Django said to be stored
	visitorsWithin = 6 * time.Second // for sockets and requests to end, with the drain
	lastWithin     = 2 * time.Second // for the last of them, if the drain was long
	logWithin      = 3 * time.Second // for the log to be stored
	storeWithin    = time.Second     // for PostgreSQL to be left
)

// drain is how a stop spends the time it has.
type drain struct {
	notice   time.Duration // serving as ever, but not ready: load balancers look elsewhere
	farewell live.Farewell // then the sockets are closed
}

// drainFor divides the time. Where other servers have the same log, most of it is
// for the clients to move to them, evenly. A server that is alone keeps everybody
// as long as it can: who leaves early would only wait longer.
func (a *app) drainFor(whole time.Duration) drain {
	if !a.config.PostgreSQL() {
		return drain{notice: whole}
	}
	notice := whole / 3
	return drain{notice: notice, farewell: live.Farewell{Over: whole - notice, Others: true}}
}

// patience is for visitors to go when they have been told to.
func (d drain) patience() time.Duration {
	whole := d.notice + d.farewell.Over
	return d.farewell.Over + max(visitorsWithin-whole, lastWithin)
}

// stop ends everything that serves, in an order that loses nothing: no new
// visitors, sockets told when to come back, what was accepted stored. Visitors
// who do not leave in time are cut, which loses nothing either; only messages
// that cannot be stored are an error. The second server, of operators, answers as
// long as there is somebody to watch.
func (a *app) stop(servers []*server, d drain) error {
	a.leaving.Store(true)
	a.ready.Store(false)
	time.Sleep(d.notice) // a second signal ends the process
	visitors, cancel := context.WithTimeout(context.Background(), d.patience())
	defer cancel()
	deaf := make(chan struct{})
	go func() {
		defer close(deaf)
		within, cancel := context.WithTimeout(context.Background(), bridgeWithin)
		defer cancel()
		a.stopBridge(within)
	}()
	finished := make(chan error, 1)
	go func() { finished <- servers[0].http.Shutdown(visitors) }() // closes the listener at once and then waits
	if err := a.live.Drain(visitors, d.farewell); err != nil {
		a.log.Warn("sockets were cut", "err", err)
	}
	a.endLong()
	<-deaf
	if err := <-finished; err != nil {
		a.log.Warn("requests were cut", "err", err)
		_ = servers[0].http.Close() // there is nothing more to wait for
	}
	for _, s := range servers[1:] {
		_ = s.http.Close()
	}
	log, cancel := context.WithTimeout(context.Background(), logWithin)
	defer cancel()
	return a.service.Shutdown(log)
}
