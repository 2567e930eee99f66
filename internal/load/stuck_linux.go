package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	stallSlice = 2500 * time.Millisecond // about how long everybody reads, and some do not, in turn
	leastPairs = 2

	// kernelBuffer is the receive buffer of members that will stop reading. One
	// that grows with the speed would keep megabytes for each of them.
	kernelBuffer = 128 << 10
)

// stall measures what stuck members do to the others, in one run on one server:
// by turns everybody reads, and the stuck members do not. Between the turns they
// read again, come back if they were cut, and catch up. So what else goes on in
// the machine meets both alike, and p99 is compared pair by pair.
func (r *run) stall(ctx context.Context, res *Result) error {
	pairs := max(leastPairs, int(r.plan.For/(2*stallSlice)))
	slice := r.plan.For / time.Duration(2*pairs)
	r.plantSchedule(r.clock()+10*time.Millisecond, r.clock()+MaxFor*2)
	if err := r.pauseFor(ctx, "warming up", r.plan.Warm); err != nil {
		return err
	}
	first, err := r.read()
	if err != nil {
		return err
	}
	last, peak := first, int64(0)
	for range pairs {
		if err := r.turn(ctx, "everybody reads", slice); err != nil {
			return err
		}
		r.stopReading()
		if err := r.turn(ctx, "some do not read", slice); err != nil {
			return err
		}
		if last, err = r.read(); err != nil {
			return err
		}
		peak = max(peak, last.server.rss)
		if err := r.readAgain(ctx); err != nil {
			return err
		}
	}
	r.plantSchedule(0, 0)
	res.between(first, last)
	res.ServerRSS = peak
	if err := r.settle(ctx, res); err != nil {
		return err
	}
	r.compareTurns(res)
	return nil
}

// turn records what is due from now on for a while.
func (r *run) turn(ctx context.Context, doing string, d time.Duration) error {
	now := r.clock()
	r.record(now, now+d)
	return r.pauseFor(ctx, doing, d)
}

// eachStuck runs f in the loop of each stuck member that is to be compared with
// the others.
func (r *run) eachStuck(f func(l *loop, room *room, c *conn)) {
	for _, l := range r.loops {
		l.do(func() {
			for _, room := range r.rooms {
				for _, c := range room.all {
					if room.loop == l && c.stuck && !c.apart {
						f(l, room, c)
					}
				}
			}
		})
	}
}

func (r *run) stopReading() {
	r.eachStuck(func(l *loop, _ *room, c *conn) {
		l.stalls++
		c.deaf, c.behind = true, true
		l.rewatch(c)
	})
}

// readAgain lets stuck members read, and those who were cut come back, until
// they have what was posted meanwhile. Who speaks a protocol without positions
// stays away.
func (r *run) readAgain(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.plan.Slack, errors.New("those who had not read could not catch up"))
	defer cancel()
	goal := make(map[*conn]int64)
	r.eachStuck(func(l *loop, room *room, c *conn) {
		goal[c], c.deaf = room.all[0].got, false
		if l.conns[c.slot] == c {
			l.rewatch(c)
		}
	})
	err := r.wait(ctx, "catching up", func() bool {
		waiting := 0
		r.eachStuck(func(l *loop, _ *room, c *conn) {
			here := l.conns[c.slot] == c
			switch {
			case here && c.state == joined && c.got >= goal[c]:
				c.behind = false
				return
			case !here && c.member.Epoch == "":
				c.apart = true
				return
			case !here:
				if err := l.start(c); err != nil {
					l.trouble(err.Error())
				}
			}
			waiting++
		})
		return waiting == 0
	})
	if err != nil && ctx.Err() != nil {
		return r.explain(context.Cause(ctx))
	}
	return err
}

// compareTurns reads the windows, which are by turns without and with stuck
// members.
func (r *run) compareTurns(res *Result) {
	all := r.windows()
	with := newHistogram()
	var ratios []float64
	for i := 0; i+1 < len(all); i += 2 {
		with.Merge(all[i+1])
		if before := all[i].ValueAtQuantile(99); before > 0 {
			ratios = append(ratios, float64(all[i+1].ValueAtQuantile(99))/float64(before))
		}
	}
	slices.Sort(ratios)
	if n := len(ratios); n > 0 {
		res.StuckP99 = (ratios[(n-1)/2] + ratios[n/2]) / 2
	}
	res.LatencyStuck = spreadOf(with)
	for _, l := range r.loops {
		l.do(func() {
			res.Stalls += l.stalls
			res.Cut += l.cut
		})
	}
	if res.Cut == 0 {
		res.Notes = append(res.Notes, fmt.Sprintf(
			"nobody was cut: what waited for those who did not read found room; post more than %d bytes a second to each to see it", r.plan.Rate/r.plan.Rooms*r.plan.Size))
	}
}
