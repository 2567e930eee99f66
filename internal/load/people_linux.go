package load

import (
	"context"
	"errors"
	"slices"
	"time"
)

// steps is how many times Idle looks at the server while members come.
const steps = 4

// idle lets the members come in steps and hold still, for most of the time at
// the end: what a server needs for a storm of connections it does not need for
// people who are silent, and some give it back.
func (r *run) idle(ctx context.Context, res *Result) error {
	r.openRooms(0)
	first, err := r.read()
	if err != nil {
		return err
	}
	began := time.Now()
	var connecting time.Duration
	for step := range steps {
		from, to := r.plan.Rooms*step/steps, r.plan.Rooms*(step+1)/steps
		index := make(map[*room]bool)
		for _, room := range r.rooms[from:to] {
			index[room] = true
		}
		start := time.Now()
		if err := r.connectAll(ctx, func(in *room, _ *conn) bool { return index[in] }); err != nil {
			return err
		}
		connecting += time.Since(start)
		still := r.plan.For / (2 * steps)
		if step == steps-1 {
			still = r.plan.For - (steps-1)*still
		}
		if err := r.pauseFor(ctx, "holding still", still); err != nil {
			return err
		}
		now, err := r.read()
		if err != nil {
			return err
		}
		if n := to * r.plan.Members; n > 0 {
			res.RSSSteps = append(res.RSSSteps, Step{n, (now.server.rss - first.server.rss) / int64(n)})
		}
		res.between(first, now)
	}
	res.Seconds = time.Since(began).Seconds()
	res.RSSPerConnection = res.RSSSteps[len(res.RSSSteps)-1].PerConnection
	res.ConnectsPerSecond = float64(res.Connections) / connecting.Seconds()
	return nil
}

// connect lets members come and go for the plan's time.
func (r *run) connect(ctx context.Context, res *Result) error {
	r.openRooms(0)
	counts := make([]int64, len(r.loops))
	for i, l := range r.loops {
		list := r.membersOf(l)
		l.do(func() {
			again := func(c *conn) {
				fresh := &conn{member: Member{Room: c.member.Room, ID: c.member.ID}, seq: -1, chain: chainStart}
				if err := l.start(fresh); err != nil {
					l.trouble(err.Error())
				}
			}
			l.arrived = func(c *conn) {
				counts[i]++
				l.leaving = append(l.leaving, c)
			}
			l.left = again
			for _, c := range list[:min(len(list), handshakes)] {
				again(c)
			}
		})
	}
	if err := r.pauseFor(ctx, "warming up", r.plan.Warm); err != nil {
		return err
	}
	sum := func() (n int64) {
		for i, l := range r.loops {
			l.do(func() { n += counts[i] })
		}
		return n
	}
	came := sum()
	if err := r.measure(ctx, res); err != nil {
		return err
	}
	came = sum() - came
	for _, l := range r.loops {
		l.do(func() { l.arrived, l.left = nil, nil })
	}
	if came == 0 {
		return r.explain(errors.New("nobody could join"))
	}
	res.ConnectsPerSecond = float64(came) / res.Seconds
	res.ServerPerConnect = res.ServerCores * 1e6 / res.ConnectsPerSecond
	return nil
}

// membersOf is the conns of a loop.
func (r *run) membersOf(l *loop) []*conn {
	var list []*conn
	for _, room := range r.rooms {
		if room.loop == l {
			list = append(list, room.all...)
		}
	}
	return list
}

// reconnect drops everybody at once, lets each miss messages, and lets all come
// back and catch up.
func (r *run) reconnect(ctx context.Context, res *Result) error {
	r.openRooms(0)
	speakers := make(map[*conn]bool)
	for i, room := range r.rooms {
		c := r.newMember(room)
		c.poster = &poster{id: uint32((i + 1) % maxPosters)}
		speakers[c] = true
	}
	if err := r.connectAll(ctx, everybody); err != nil {
		return err
	}
	// One message first, so that everybody has a position to come back with.
	if err := r.speak(ctx, 1); err != nil {
		return err
	}
	if err := r.wait(ctx, "waiting for the first message", func() bool { return r.missing() == 0 }); err != nil {
		return err
	}
	before := r.delivered.Load()
	for _, l := range r.loops {
		l.do(func() {
			for _, c := range r.membersOf(l) {
				if !speakers[c] {
					c.want = c.got + int64(r.plan.Missed)
					l.leaving = append(l.leaving, c)
				}
			}
		})
	}
	if err := r.speak(ctx, 1+r.plan.Missed); err != nil {
		return err
	}
	return r.comeBack(ctx, res, speakers, before)
}

// comeBack reconnects all but the speakers, who have been there all the time.
func (r *run) comeBack(ctx context.Context, res *Result, speakers map[*conn]bool, before int64) error {
	a, err := r.read()
	if err != nil {
		return err
	}
	began := r.clock()
	if err := r.connectAll(ctx, func(_ *room, c *conn) bool { return !speakers[c] }); err != nil {
		return err
	}
	joined := r.clock() - began
	if err := r.wait(ctx, "catching up", func() bool { return r.caughtUp.Load() >= int64(res.Connections) }); err != nil {
		return err
	}
	b, err := r.read()
	if err != nil {
		return err
	}
	res.between(a, b)
	res.Deliveries = r.delivered.Load() - before
	var times []time.Duration
	for _, l := range r.loops {
		l.do(func() { times = append(times, l.caughtUp...) })
	}
	slices.Sort(times)
	res.CatchUpSeconds = (times[len(times)-1] - began).Seconds()
	res.CatchUpHalf = (times[len(times)/2] - began).Seconds()
	res.ConnectsPerSecond = float64(res.Connections) / joined.Seconds()
	return r.settle(ctx, res)
}

// speakers have this many posts in flight while the others are away.
const speaking = 32

// speak lets every poster come to a number of posts in all, and waits until
// each has heard itself.
func (r *run) speak(ctx context.Context, posts int) error {
	for _, l := range r.loops {
		l.do(func() {
			for _, c := range l.conns {
				if c != nil && c.poster != nil {
					c.poster.most = uint32(posts)
				}
			}
		})
	}
	r.setWindow(speaking)
	heard := func() bool {
		all := true
		for _, l := range r.loops {
			l.do(func() {
				for _, c := range l.conns {
					if c != nil && c.poster != nil && c.poster.heard < uint32(posts) {
						all = false
					}
				}
			})
		}
		return all
	}
	err := r.wait(ctx, "posting", heard)
	r.setWindow(0)
	return err
}
