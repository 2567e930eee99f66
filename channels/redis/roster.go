package redis

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// rosterBatch bounds the groups in one command or script, so that Redis, which
// does one thing at a time, is never busy for long.
const rosterBatch = 256

// roster keeps this process enrolled in the groups whose keys are on one host:
// it enrols, renews, and looks now and then whether the memberships are still
// there, since a flush or a restart may have taken them. It also tells the
// other processes that this one lives, and takes those that died out of their
// groups.
//
// One goroutine, run, does all of that. So what is done to one group is done in
// the order in which it was asked for.
type roster struct {
	// fixed
	core   *Core
	server *server
	wake   chan struct{} // holds 1
	lost   chan struct{} // holds 1; the reader's connection broke

	// guarded by mu
	mu     sync.Mutex
	orders []order

	// owned by run
	enrolled map[string]time.Time // groups with when they are to be renewed; zero: Redis never heard of it
	leaving  map[string]bool      // groups to be left once the host is back
	unseen   []string             // groups to be looked at in this sweep
	up       bool                 // the last command worked
	failures int                  // since it was up
	known    bool                 // it has been up
}

// order is what Follow or Unfollow want of a roster.
type order struct {
	groups []string
	follow bool
	done   chan struct{} // closed when it has been acted on
}

func newRoster(c *Core, s *server) *roster {
	return &roster{
		core: c, server: s,
		wake: make(chan struct{}, 1), lost: make(chan struct{}, 1),
		enrolled: make(map[string]time.Time), leaving: make(map[string]bool),
	}
}

// order has groups followed or not; the result is closed when that is done, or
// noted for when the host can be reached again.
func (r *roster) order(groups []string, follow bool) <-chan struct{} {
	o := order{groups, follow, make(chan struct{})}
	r.mu.Lock()
	r.orders = append(r.orders, o)
	r.mu.Unlock()
	poke(r.wake)
	return o.done
}

// poke wakes whoever listens, or will.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *roster) run(until context.Context) {
	ctx := context.WithoutCancel(until) // what has begun is finished, in bounded time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-until.Done():
			r.leave(ctx)
			return
		case <-r.wake:
			if r.obey(ctx); !r.up {
				timer.Reset(r.next())
			}
		case <-r.lost:
			r.up = false
			timer.Reset(0)
		case <-timer.C:
			r.tick(ctx)
			timer.Reset(r.next())
		}
	}
}

// next is the time to the next tick.
func (r *roster) next() time.Duration {
	if r.up {
		r.failures = 0
		return r.core.timing.tick
	}
	r.failures++
	return backoff(r.failures)
}

// obey acts on the orders. While the host cannot be reached they are only
// noted: mend acts on them.
func (r *roster) obey(ctx context.Context) {
	r.mu.Lock()
	orders := r.orders
	r.orders = nil
	r.mu.Unlock()
	if !r.known && len(orders) > 0 {
		r.tick(ctx) // the first attempt to connect decides
	}
	for _, o := range orders {
		for batch := range slices.Chunk(o.groups, rosterBatch) {
			r.note(batch, o.follow)
			if !r.up {
				continue
			}
			change := r.discard
			if o.follow {
				change = r.enrol
			}
			r.check(change(ctx, batch))
		}
		close(o.done)
	}
}

// note keeps what is followed, and of groups that were left those that Redis has
// heard of: clients choose names, and the host may be away for long.
func (r *roster) note(groups []string, follow bool) {
	for _, group := range groups {
		switch {
		case follow && r.leaving[group]:
			r.enrolled[group] = time.Now() // at once
		case follow:
			r.enrolled[group] = time.Time{}
		case !r.enrolled[group].IsZero():
			r.leaving[group] = true
		}
		if follow {
			delete(r.leaving, group)
			r.core.aliases.add(group)
		} else {
			delete(r.enrolled, group)
			r.core.aliases.remove(group, r.leaving[group])
		}
	}
}

// check notes whether the host could be reached.
func (r *roster) check(err error) {
	if err == nil {
		return
	}
	r.server.down(fmt.Errorf("keep the memberships of groups: %w", err))
	r.up = false
}

// enrol makes this process a member of groups.
func (r *roster) enrol(ctx context.Context, groups []string) error {
	expiry := wholeSeconds(r.core.node.GroupExpiry)
	now := formatScore(seconds(r.server.clock.now()))
	var todo []command
	list := []string{"HSET", r.core.names.list(r.core.node.Process)}
	for _, group := range groups {
		r.enrolled[group] = time.Now() // Redis may have heard of it, whatever is answered
		key, member := r.core.names.group(group), r.core.channel(alias(group))
		todo = append(todo,
			command{"ZADD", key, now, member},
			command{"EXPIRE", key, fmt.Sprint(expiry)})
		list = append(list, key, member)
	}
	if err := r.server.do(ctx, append(todo, list)...); err != nil {
		return fmt.Errorf("join %d groups: %w", len(groups), err)
	}
	for _, group := range groups {
		r.enrolled[group] = r.renewal()
	}
	return nil
}

// discard ends this process's membership of groups.
func (r *roster) discard(ctx context.Context, groups []string) error {
	var todo []command
	list := []string{"HDEL", r.core.names.list(r.core.node.Process)}
	for _, group := range groups {
		key := r.core.names.group(group)
		todo = append(todo, command{"ZREM", key, r.core.channel(alias(group))})
		list = append(list, key)
	}
	if err := r.server.do(ctx, append(todo, list)...); err != nil {
		return fmt.Errorf("leave %d groups: %w", len(groups), err)
	}
	for _, group := range groups {
		delete(r.leaving, group)
	}
	return nil
}

// renewal is when a membership that was renewed now is to be renewed again:
// long before it expires, and not at the same moment as all others.
func (r *roster) renewal() time.Time {
	every := min(r.core.node.GroupExpiry/4, time.Hour)
	return time.Now().Add(every - rand.N(every/4+1))
}

// tick renews what others know of this process, or tries to reach the host
// again, and looks at the memberships.
func (r *roster) tick(ctx context.Context) {
	forgotten, dead, err := r.renew(ctx)
	if err != nil {
		r.server.down(fmt.Errorf("renew this process's lease: %w", err))
		r.up, r.known = false, true
		return
	}
	switch {
	case !r.up:
		err = r.mend(ctx)
	case forgotten: // the server lost everything, or others took us for dead
		groups := slices.Collect(maps.Keys(r.enrolled))
		if _, err = r.look(ctx, groups); err == nil {
			r.gap(groups)
		}
	default:
		err = r.sweep(ctx)
	}
	r.known = true
	r.core.aliases.forget(time.Now().Add(-2 * r.core.node.Expiry))
	for _, id := range dead {
		if err == nil {
			err = r.evict(ctx, id)
		}
	}
	r.check(err)
}

// mend does what could not be done while the host was away, and tells the gap.
func (r *roster) mend(ctx context.Context) error {
	r.unseen = nil
	for batch := range slices.Chunk(slices.Collect(maps.Keys(r.leaving)), rosterBatch) {
		if err := r.discard(ctx, batch); err != nil {
			return err
		}
	}
	groups := slices.Collect(maps.Keys(r.enrolled))
	if _, err := r.look(ctx, groups); err != nil {
		return err
	}
	r.up = true
	r.server.conn.up()
	if r.known {
		r.gap(groups)
	}
	return nil
}

// gap tells that events may have been lost: of these groups or, where the
// entries of all groups are, of any.
func (r *roster) gap(groups []string) {
	if r.server == r.core.home {
		groups = nil
	} else if len(groups) == 0 {
		return
	}
	r.core.node.Gap(groups...)
}

// sweep looks at the memberships, some at each tick.
func (r *roster) sweep(ctx context.Context) error {
	if len(r.unseen) == 0 {
		r.unseen = slices.Collect(maps.Keys(r.enrolled))
	}
	n := min(len(r.unseen), 32*rosterBatch)
	some := slices.DeleteFunc(r.unseen[:n:n], func(group string) bool {
		_, still := r.enrolled[group]
		return !still
	})
	r.unseen = r.unseen[n:]
	lost, err := r.look(ctx, some)
	if len(lost) > 0 {
		r.core.node.Gap(lost...)
	}
	return err
}

// look renews the memberships that are due, restores those that are gone, and
// returns these.
func (r *roster) look(ctx context.Context, groups []string) (lost []string, err error) {
	for batch := range slices.Chunk(groups, rosterBatch) {
		keys := []string{r.core.names.list(r.core.node.Process)}
		args := []string{formatScore(seconds(r.server.clock.now())), fmt.Sprint(wholeSeconds(r.core.node.GroupExpiry))}
		now := time.Now()
		var due []string
		for _, group := range batch {
			renew := "0"
			if at := r.enrolled[group]; now.After(at) {
				renew = "1"
				due = append(due, group)
				if at.IsZero() {
					r.enrolled[group] = now // Redis may have heard of it, whatever is answered
				}
			}
			keys = append(keys, r.core.names.group(group))
			args = append(args, r.core.channel(alias(group)), renew)
		}
		gone, err := redigo.Int64s(r.server.run(ctx, r.core.scripts.look, keys, args))
		if err != nil {
			return lost, fmt.Errorf("look at the memberships of %d groups: %w", len(batch), err)
		}
		for _, group := range due {
			r.enrolled[group] = r.renewal()
		}
		for _, i := range gone {
			lost = append(lost, batch[i-1])
		}
	}
	return lost, nil
}

// leave takes this process off the host.
func (r *roster) leave(ctx context.Context) {
	r.obey(ctx)
	if !r.up {
		return
	}
	var err error
	for batch := range slices.Chunk(slices.Collect(maps.Keys(r.enrolled)), rosterBatch) {
		if err == nil {
			err = r.discard(ctx, batch)
		}
	}
	if err == nil {
		err = r.server.do(ctx,
			command{"ZREM", r.core.names.processes(), r.core.node.Process},
			command{"DEL", r.core.names.list(r.core.node.Process)},
			command{"DEL", r.core.key})
	}
	if err != nil {
		r.server.down(fmt.Errorf("leave the groups: %w", err))
	}
}

// renew tells the others that this process lives. It returns whether they did
// not know, and processes that do not live any more.
func (r *roster) renew(ctx context.Context) (forgotten bool, dead []string, err error) {
	process := r.core.node.Process
	lease, last := r.core.timing.lease, wholeSeconds(max(r.core.node.GroupExpiry, r.core.timing.lease))
	before := time.Now()
	answer, err := redigo.Values(r.server.run(ctx, r.core.scripts.renew,
		[]string{r.core.names.processes(), r.core.names.list(process)},
		[]string{process, formatScore(lease.Seconds()), fmt.Sprint(last)}))
	if err != nil {
		return false, nil, err
	}
	after := time.Now()
	if len(answer) != 5 {
		return false, nil, fmt.Errorf("the script returned %d values", len(answer))
	}
	told := [3]int64{}
	for i := range told {
		if told[i], err = redigo.Int64(answer[i], nil); err != nil {
			return false, nil, err
		}
	}
	alive, err := redigo.Strings(answer[3], nil)
	if err == nil {
		dead, err = redigo.Strings(answer[4], nil)
	}
	if err != nil {
		return false, nil, err
	}
	r.server.clock.correct(before, after, time.Unix(told[0], told[1]*1000))
	r.server.setPeers(alive)
	return told[2] == 1, dead, nil
}

// evict takes a process that died out of the groups it was in.
func (r *roster) evict(ctx context.Context, id string) error {
	list := r.core.names.list(id)
	groups, err := redigo.Strings(r.server.run(ctx, r.core.scripts.claim, []string{r.core.names.processes(), list}, []string{id}))
	if err != nil {
		return fmt.Errorf("take over the groups of a process that died: %w", err)
	}
	for batch := range slices.Chunk(groups, 2*rosterBatch) {
		var todo []command
		for i := 0; i+1 < len(batch); i += 2 {
			todo = append(todo, command{"ZREM", batch[i], batch[i+1]})
		}
		if err := r.server.do(ctx, todo...); err != nil {
			return fmt.Errorf("take a process that died out of its groups: %w", err)
		}
	}
	if len(groups) > 0 {
		r.core.node.Logger.Info("channels/redis: a process died and was taken out of its groups", "process", id, "groups", len(groups)/2)
	}
	return nil
}
