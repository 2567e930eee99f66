package load

import (
	"context"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// reading is what is known at one moment.
type reading struct {
	at        time.Time
	server    usage
	own       time.Duration
	loops     []time.Duration // each one's share of own
	machine   time.Duration   // of all processes
	delivered int64
}

func (r *run) read() (m reading, err error) {
	if m.server, err = usageOf(r.plan.PID); err != nil {
		return m, err
	}
	if m.loops, err = r.loopCPU(); err != nil {
		return m, err
	}
	if m.own, err = ownCPU(); err != nil {
		return m, err
	}
	if m.machine, err = machineCPU(); err != nil {
		return m, err
	}
	m.at, m.delivered = time.Now(), r.delivered.Load()
	return m, nil
}

// loopCPU is the processor time of each loop's thread so far.
func (r *run) loopCPU() (all []time.Duration, err error) {
	for _, l := range r.loops {
		var spent time.Duration
		l.do(func() { spent, err = threadCPU() })
		if err != nil {
			return nil, err
		}
		all = append(all, spent)
	}
	return all, nil
}

// between fills in what happened from one reading to another.
func (r *Result) between(a, b reading) {
	took := b.at.Sub(a.at).Seconds()
	cpu := b.server.cpu - a.server.cpu
	r.Seconds = took
	r.Deliveries = b.delivered - a.delivered
	r.PerSecond = float64(r.Deliveries) / took
	r.ServerCores = cpu.Seconds() / took
	r.OwnCores = (b.own - a.own).Seconds() / took
	for i := range b.loops {
		r.OwnBusiest = max(r.OwnBusiest, (b.loops[i]-a.loops[i]).Seconds()/took)
	}
	r.ServerRSS = b.server.rss
	r.OtherCores = max((b.machine-a.machine).Seconds()/took-r.ServerCores-r.OwnCores, 0)
	if r.Deliveries > 0 {
		r.ServerPerDelivery = float64(cpu.Microseconds()) / float64(r.Deliveries)
	}
}

// populate connects everybody and says what that cost.
func (r *run) populate(ctx context.Context, res *Result, posters int) error {
	r.openRooms(posters)
	before, err := r.read()
	if err != nil {
		return err
	}
	if err := r.connectAll(ctx, everybody); err != nil {
		return err
	}
	after, err := r.read()
	if err != nil {
		return err
	}
	n := res.Connections
	res.ConnectsPerSecond = float64(n) / after.at.Sub(before.at).Seconds()
	res.ServerPerConnect = float64((after.server.cpu - before.server.cpu).Microseconds()) / float64(n)
	res.RSSPerConnection = (after.server.rss - before.server.rss) / int64(n)
	return nil
}

// measure lets time pass and measures it.
func (r *run) measure(ctx context.Context, res *Result) error {
	a, err := r.read()
	if err != nil {
		return err
	}
	if err := r.pauseFor(ctx, "measuring", r.plan.For); err != nil {
		return err
	}
	b, err := r.read()
	if err != nil {
		return err
	}
	res.between(a, b)
	return nil
}

// record makes all loops record posts that are due from and before.
func (r *run) record(from, to time.Duration) {
	for _, l := range r.loops {
		l.do(func() { l.windows = append(l.windows, window{from, to, newHistogram()}) })
	}
}

// windows gathers the latencies of all loops, by window.
func (r *run) windows() []*hdrhistogram.Histogram {
	var all []*hdrhistogram.Histogram
	for _, l := range r.loops {
		l.do(func() {
			for i, w := range l.windows {
				if i == len(all) {
					all = append(all, newHistogram())
				}
				all[i].Merge(w.latency)
			}
		})
	}
	return all
}

// fanout keeps Window posts of every poster in flight.
func (r *run) fanout(ctx context.Context, res *Result) error {
	if err := r.populate(ctx, res, r.plan.Posters); err != nil {
		return err
	}
	start := r.clock() + r.plan.Warm
	r.record(start, start+r.plan.For)
	r.setWindow(r.plan.Window)
	if err := r.pauseFor(ctx, "warming up", r.plan.Warm); err != nil {
		return err
	}
	if err := r.measure(ctx, res); err != nil {
		return err
	}
	r.setWindow(0)
	return r.settle(ctx, res)
}

// setWindow starts posting with n posts in flight, or ends it with 0.
func (r *run) setWindow(n int) {
	for _, l := range r.loops {
		l.do(func() {
			l.flight = n
			l.ready = l.ready[:0]
			for _, c := range l.conns {
				if c != nil && c.poster != nil {
					c.poster.queued = n > 0
					if n > 0 {
						l.ready = append(l.ready, c)
					}
				}
			}
		})
	}
}

// rate posts by the clock, whatever comes back.
func (r *run) rate(ctx context.Context, res *Result) error {
	if err := r.populate(ctx, res, r.plan.Posters); err != nil {
		return err
	}
	if r.plan.Stuck > 0 {
		return r.stall(ctx, res)
	}
	start := r.clock() + 10*time.Millisecond
	from := start + r.plan.Warm
	end := from + r.plan.For
	r.record(from, end)
	r.plantSchedule(start, end)
	if err := r.pauseFor(ctx, "warming up", from-r.clock()); err != nil {
		return err
	}
	if err := r.measure(ctx, res); err != nil {
		return err
	}
	return r.settle(ctx, res)
}

// plantSchedule spreads the plan's rate evenly over all posters.
func (r *run) plantSchedule(start, end time.Duration) {
	lists := make(map[*loop][]duty)
	n := 0
	total := r.plan.Rooms * r.plan.Posters
	gap := time.Second / time.Duration(r.plan.Rate)
	for i := range r.plan.Posters {
		for _, room := range r.rooms {
			lists[room.loop] = append(lists[room.loop], duty{room.all[i], start + time.Duration(n)*gap})
			n++
		}
	}
	for l, list := range lists {
		l.do(func() { l.schedule = schedule{posters: list, period: time.Duration(total) * gap, end: end} })
	}
}

// settle waits until everything posted has reached everybody, and compares what
// the members of each room have received.
func (r *run) settle(ctx context.Context, res *Result) error {
	err := r.wait(ctx, "waiting for the last deliveries", func() bool { return r.missing() == 0 })
	if ctx.Err() != nil {
		return err
	}
	switch n := r.missing(); {
	case n > 0:
		res.problem("%d deliveries never came", n)
	case n < 0:
		res.problem("%d deliveries came that nobody posted", -n)
	case err != nil:
		return err
	}
	r.compare(res)
	return nil
}

// missing is how many deliveries have not come yet.
func (r *run) missing() int64 {
	posted := make(map[*room]int64)
	var missing int64
	for _, l := range r.loops {
		l.do(func() {
			for _, room := range r.rooms {
				if room.loop != l {
					continue
				}
				for _, c := range room.all {
					if c.poster != nil {
						posted[room] += int64(c.poster.sent)
					}
				}
				for _, c := range room.all {
					if !c.apart {
						missing += posted[room] - c.got
					}
				}
			}
		})
	}
	return missing
}

// compare says whether all members of each room received the same.
func (r *run) compare(res *Result) {
	different := 0
	for _, l := range r.loops {
		l.do(func() {
			for _, room := range r.rooms {
				if room.loop != l {
					continue
				}
				for _, c := range room.all {
					if !c.apart && c.chain != room.all[0].chain {
						different++
					}
				}
			}
		})
	}
	if different > 0 {
		res.problem("%d members received another sequence of messages than the first of their room", different)
	}
}
