package load

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// run is one plan being carried out.
type run struct {
	// fixed
	plan   Plan
	target target
	accept string // Sec-WebSocket-Accept of every handshake
	began  time.Time
	name   string // of the run, in its rooms' names
	loops  []*loop

	// written by the loops
	joined    atomic.Int64
	delivered atomic.Int64
	posted    atomic.Int64
	caughtUp  atomic.Int64
	failed    atomic.Int64 // connections that the server or the network ended

	// owned by the caller of Run
	rooms []*room
	ids   int // members so far
	told  time.Time
	doing string
}

// room is the connections in one room. All belong to one loop.
type room struct {
	name string
	loop *loop
	all  []*conn
}

// clock is the time on the generator's clock.
func (r *run) clock() time.Duration { return time.Since(r.began) }

// Run carries out a plan. An error is a run that could not be made; a run that
// was made and may not be believed is a Result that is not Valid. When ctx ends,
// so does the run, with its error.
func Run(ctx context.Context, p Plan) (Result, error) {
	files, err := Files()
	if err != nil {
		return Result{}, err
	}
	if err := p.Check(files); err != nil {
		return Result{}, err
	}
	if p.Scenario == Capacity {
		return runCapacity(ctx, p)
	}
	if p.Host == "" {
		p.Host = p.Address.String()
	}
	r := &run{
		plan: p, target: target{p.Address}, accept: acceptOf(handshakeKey), began: time.Now(),
		name: strings.ToLower(rand.Text()[:8]),
	}
	defer func() {
		for _, l := range r.loops {
			l.stop()
		}
	}()
	for range p.Cores {
		l, err := newLoop(r)
		if err != nil {
			return Result{}, err
		}
		r.loops = append(r.loops, l)
		go l.serve()
	}
	return r.carryOut(ctx)
}

func (r *run) carryOut(ctx context.Context) (Result, error) {
	scenarios := map[string]func(context.Context, *Result) error{
		Fanout: r.fanout, Rate: r.rate, Idle: r.idle, Connect: r.connect, Reconnect: r.reconnect,
	}
	p := r.plan
	res := Result{
		Scenario: p.Scenario, Protocol: p.Protocol.Name(), Rooms: p.Rooms, Members: p.Members,
		Connections: p.Rooms * p.Members, Size: p.Size, MayUse: p.Cores,
	}
	if err := scenarios[p.Scenario](ctx, &res); err != nil {
		return res, err
	}
	r.collect(&res)
	res.judge(p.Shared)
	return res, nil
}

// target is the server's address.
type target struct{ netip.AddrPort }

// perSource is how many connections come from one address of the loopback
// network, well below the number of ports.
const perSource = 10_000

// sockaddr is where member number n connects to, and from; a nil from leaves it
// to the kernel. Loopback is a whole network, so ports never run out there.
func (t target) sockaddr(n int) (family int, to, from unix.Sockaddr) {
	if !t.Addr().Is4() {
		return unix.AF_INET6, &unix.SockaddrInet6{Port: int(t.Port()), Addr: t.Addr().As16()}, nil
	}
	to = &unix.SockaddrInet4{Port: int(t.Port()), Addr: t.Addr().As4()}
	if t.Addr().IsLoopback() {
		from = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, byte(2 + n/perSource%200)}}
	}
	return unix.AF_INET, to, from
}

// newMember is a conn that has not started.
func (r *run) newMember(in *room) *conn {
	r.ids++
	c := &conn{member: Member{Room: in.name, ID: r.ids}, seq: -1, chain: chainStart}
	in.all = append(in.all, c)
	return c
}

// openRooms makes the plan's rooms, members and posters, without connecting.
func (r *run) openRooms(posters int) {
	n := 0
	for i := range r.plan.Rooms {
		room := &room{name: fmt.Sprintf("bench-%s-%d", r.name, i), loop: r.loops[i%len(r.loops)]}
		for range r.plan.Members {
			r.newMember(room)
		}
		for _, c := range room.all[:posters] {
			n++
			c.poster = &poster{id: uint32(n % maxPosters)}
		}
		for _, c := range room.all[len(room.all)-r.plan.Stuck:] {
			c.stuck, c.apart = true, r.plan.Scenario != Rate
		}
		r.rooms = append(r.rooms, room)
	}
}

// handshakes are how many may be under way at once in one loop.
const handshakes = 128

// connectAll connects what match wants, and waits until all have joined.
func (r *run) connectAll(ctx context.Context, match func(*room, *conn) bool) error {
	want := r.joined.Load()
	lists := make(map[*loop][]*conn)
	for _, room := range r.rooms {
		for _, c := range room.all {
			if match(room, c) {
				lists[room.loop] = append(lists[room.loop], c)
				want++
			}
		}
	}
	for l, list := range lists {
		l.do(func() {
			next := func(*conn) {
				if len(list) == 0 {
					return
				}
				c := list[0]
				list = list[1:]
				if err := l.start(c); err != nil {
					l.trouble(err.Error())
				}
			}
			l.arrived, l.ended = next, next
			for range min(handshakes, len(list)) {
				next(nil)
			}
		})
	}
	err := r.wait(ctx, "connecting", func() bool { return r.joined.Load() >= want })
	for l := range lists {
		l.do(func() { l.arrived, l.ended = nil, nil })
	}
	return err
}

// everybody is a match for connectAll.
func everybody(*room, *conn) bool { return true }

// wait waits until done, or until nothing has moved for the plan's Slack.
func (r *run) wait(ctx context.Context, doing string, done func() bool) error {
	r.doing = doing
	still, moved := r.movement(), time.Now()
	for !done() {
		if err := r.pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
		if now := r.movement(); now != still {
			still, moved = now, time.Now()
		} else if quiet := time.Since(moved); quiet > r.plan.Slack || quiet > time.Second && r.failed.Load() > 0 {
			// Connections that failed do not come back, so neither does what
			// they wait for.
			return r.explain(fmt.Errorf("%s: nothing has come for %v", doing, quiet.Round(time.Second)))
		}
	}
	return nil
}

// movement changes whenever something happens.
func (r *run) movement() int64 { return r.joined.Load()<<40 ^ r.delivered.Load() }

// explain adds to an error what the loops have met.
func (r *run) explain(err error) error {
	for why, n := range r.troubles() {
		err = fmt.Errorf("%w; %d times: %s", err, n, why)
	}
	return err
}

// pause waits and tells the progress.
func (r *run) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	}
	if r.plan.Progress != nil && time.Since(r.told) >= 100*time.Millisecond {
		r.told = time.Now()
		r.plan.Progress(Progress{
			Doing: r.doing, Joined: int(r.joined.Load()), Deliveries: r.delivered.Load(), Elapsed: r.clock(),
		})
	}
	return nil
}

// pauseFor is a long pause with progress.
func (r *run) pauseFor(ctx context.Context, doing string, d time.Duration) error {
	r.doing = doing
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := r.pause(ctx, min(left, 50*time.Millisecond)); err != nil {
			return err
		}
	}
}

// troubles gathers what the loops have met.
func (r *run) troubles() map[string]int {
	all := make(map[string]int)
	for _, l := range r.loops {
		l.do(func() {
			for why, n := range l.troubles {
				all[why] += n
			}
		})
	}
	return all
}

// collect puts what the loops know into the result.
func (r *run) collect(res *Result) {
	latency, late := newHistogram(), newHistogram()
	for i, w := range r.windows() {
		if res.LatencyStuck == nil || i%2 == 0 {
			latency.Merge(w)
		}
	}
	cut := 0
	for _, l := range r.loops {
		l.do(func() {
			late.Merge(l.late)
			cut += l.cut
		})
	}
	if cut > 0 {
		res.Notes = append(res.Notes, fmt.Sprintf("the server cut %d members that did not read", cut))
	}
	res.Latency, res.Late = spreadOf(latency), spreadOf(late)
	for why, n := range r.troubles() {
		res.problem("%d times: %s", n, why)
	}
	res.Posts = r.posted.Load()
}
