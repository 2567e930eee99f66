//go:build linux

package chaos

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
)

// healWithin is how long after the last fault everything may take to work again
// and everybody to have everything: 5 s by what is promised, and the time that a
// slow machine takes with several clusters.
const healWithin = 15 * time.Second

// Result is what a schedule brought to light.
type Result struct {
	Violations []check.Violation
	Counts     Counts
}

// Counts say how much a run did.
type Counts struct {
	Stored   int // attempts that were acknowledged
	Unknown  int // attempts that were not answered
	Reads    int
	Messages int // in the logs
	Refusals map[string]int
	Failures map[string]int
	Caught   time.Duration // from the last acknowledgement until all followers had all

	// Behind is how long it took at most from the time somebody knew a message until
	// a follower had it who stays on a node.
	Behind time.Duration
}

func (c Counts) String() string {
	return fmt.Sprintf("%d messages, %d acknowledged, %d unknown, %d reads, refusals %v, sockets %v, caught up after %v, behind by %v at most",
		c.Messages, c.Stored, c.Unknown, c.Reads, c.Refusals, c.Failures, c.Caught.Round(time.Millisecond), c.Behind.Round(time.Millisecond))
}

// run is a schedule under way. It belongs to the test's goroutine.
type run struct {
	*Opening
	schedule Schedule
	record   *record
	rooms    []string
	windows  []window

	posting, talking, following sync.WaitGroup // posters, readers, followers
	followers                   []*follower
	quiet, last, over           chan struct{} // nobody begins a message, posts at all, follows
}

// window is the time in which a fault surely held.
type window struct {
	Fault
	from, to time.Duration
}

// Run carries a schedule out on nodes that run a binary, and restarts them in the end.
func Run(tb testing.TB, c *Cluster, s Schedule, binary string) Result {
	tb.Helper()
	r := &run{
		Opening: c.Open(tb, binary), schedule: s, record: newRecord(),
		quiet: make(chan struct{}), last: make(chan struct{}), over: make(chan struct{}),
	}
	for i := range s.People.Rooms {
		r.rooms = append(r.rooms, fmt.Sprint("room-", i))
	}
	defer r.dismiss()
	r.gather()
	for _, step := range []func(){r.breakThings, r.settle, r.restart} {
		if step(); s.Hasty && r.record.spoilt() {
			break
		}
	}
	r.dismiss()
	return r.judge()
}

// resident is what followers are called who stay on their nodes.
const resident = "follower"

// gather lets the people begin.
func (r *run) gather() {
	s, people := r.schedule, r.schedule.People
	random := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.Seed, n)) }
	for i := range people.Posters {
		p := &poster{
			opening: r.Opening, record: r.record, people: people, rooms: r.rooms, number: i,
			quit: r.quiet, last: r.last, random: random(uint64(i) + 1000), home: r.node[i%len(r.node)],
		}
		r.posting.Go(p.run)
	}
	for i, n := range r.node {
		x := &reader{opening: r.Opening, record: r.record, node: n, rooms: r.rooms, quit: r.quiet, random: random(uint64(i) + 2000)}
		r.talking.Go(x.run)
	}
	follow := func(name string, n *node, more func(*follower)) {
		i := len(r.followers)
		f := &follower{
			opening: r.Opening, record: r.record, name: fmt.Sprintf("%s %d at %s", name, i, n.name), rooms: r.rooms,
			quit: r.over, still: r.last, home: n, random: random(uint64(i) + 3000), views: make(map[string]*check.View),
		}
		for _, room := range r.rooms {
			f.views[room] = &check.View{Who: f.name, Room: room}
		}
		more(f)
		r.followers = append(r.followers, f)
		r.following.Go(f.run)
	}
	choice := random(4000)
	for _, n := range r.node {
		for range people.Followers {
			follow(resident, n, func(*follower) {})
		}
		for range people.Wanderers {
			follow("wanderer", n, func(f *follower) { f.wander = true })
		}
		for range people.Latecomers {
			follow("latecomer", n, func(f *follower) { f.late = rand64(choice, s.Length) })
		}
		for range people.Sleepers {
			follow("sleeper", n, func(f *follower) { f.sleeper = true })
		}
	}
}

// event is the beginning or the end of a fault, or the time when posters end.
type event struct {
	at time.Duration
	do func()
}

// breakThings lets the faults come and go until all is over.
func (r *run) breakThings() {
	var events []event
	for _, f := range r.schedule.Faults {
		w := window{Fault: f}
		var end func() error
		events = append(events, event{f.At, func() {
			var err error
			if end, err = r.begin(f); err != nil {
				r.tb.Fatalf("begin %v: %v", f, err)
			}
			w.from = r.record.now()
		}}, event{f.At + f.For, func() {
			w.to = r.record.now()
			if err := end(); err != nil {
				r.tb.Fatalf("end %v: %v", f, err)
			}
			r.windows = append(r.windows, w)
		}})
	}
	events = append(events, event{r.schedule.Quiet, func() { close(r.quiet) }}, event{r.schedule.Length, func() {}})
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	for _, e := range events {
		if !r.wait(e.at) {
			return
		}
		e.do()
	}
}

// wait waits until it is time, and supervises the nodes meanwhile. It says no when
// the run is to end early.
func (r *run) wait(until time.Duration) bool {
	const look = 100 * time.Millisecond
	for {
		if r.schedule.Hasty && r.record.spoilt() {
			return false
		}
		if err := r.supervise(); err != nil {
			r.tb.Fatal(err)
		}
		left := until - r.record.now()
		if left <= 0 {
			return true
		}
		time.Sleep(min(left, look)) // the schedule, not a wait for something
	}
}

// settle waits until everything works again: nodes are ready, what was being said
// is stored, all followers have all.
func (r *run) settle() {
	healed := r.record.now()
	if err := r.awaitReady(healWithin); err != nil {
		r.record.violate(check.Unhealed, "%v", err)
	}
	timer := time.AfterFunc(healWithin-(r.record.now()-healed), func() { close(r.last) })
	r.posting.Wait()
	if timer.Stop() {
		close(r.last)
	}
	r.talking.Wait()
	silent := r.record.now()
	r.logs(r.record, r.rooms, "in the end")
	longest := make(map[string]int64)
	for _, l := range r.record.history.Logs {
		longest[l.Room] = max(longest[l.Room], int64(len(l.Messages)))
	}
	for _, f := range r.followers {
		for room, seq := range longest {
			for !f.has(room, seq) && r.record.now()-silent < healWithin {
				time.Sleep(2 * time.Millisecond)
			}
			if !f.has(room, seq) {
				r.record.violate(check.Unhealed, "%s does not have %s up to %d after %v", f.name, room, seq, r.record.now()-silent)
			}
		}
	}
	r.record.caught = r.record.now() - silent
	close(r.over)
	r.following.Wait()
	for _, f := range r.followers {
		r.record.views(f.told())
	}
}

// restart ends all nodes, one half of all schedules without a warning, and reads
// everything anew.
func (r *run) restart() {
	kind := Kill
	if r.schedule.Seed%2 == 0 {
		kind = Terminate
	}
	for i := range r.node {
		end, err := r.begin(Fault{Kind: kind, Node: i})
		if err == nil {
			err = end()
		}
		if err != nil {
			r.tb.Fatal(err)
		}
	}
	if err := r.awaitReady(startWithin); err != nil {
		r.record.violate(check.Unhealed, "after a restart: %v", err)
	}
	r.logs(r.record, r.rooms, "after a restart")
	r.stored()
}

// dismiss ends all people, if they have not ended.
func (r *run) dismiss() {
	for _, c := range []chan struct{}{r.quiet, r.last, r.over} {
		select {
		case <-c:
		default:
			close(c)
		}
	}
	r.posting.Wait()
	r.talking.Wait()
	r.following.Wait()
}

// judge holds the history against the promises.
func (r *run) judge() Result {
	h := r.record.history
	all := r.record.violations
	if len(h.Logs) == 0 {
		return Result{Violations: all} // it ended early
	}
	all = append(all, check.Check(h)...)
	all = append(all, check.Linear(h)...)
	all = append(all, r.severed()...)
	for _, n := range r.node {
		for _, bad := range []string{"panic", "DATA RACE", "fatal error"} {
			if log := n.Log(); strings.Contains(log, bad) {
				at := strings.Index(log, bad)
				all = append(all, check.Violation{Promise: check.Unhealed, What: n.name + " says " + log[at:min(len(log), at+2000)]})
			}
		}
	}
	return Result{all, r.count()}
}

// count says how much happened.
func (r *run) count() Counts {
	h := r.record.history
	c := Counts{Refusals: maps.Clone(r.record.refusals), Failures: maps.Clone(r.record.failures), Reads: len(h.Reads), Caught: r.record.caught}
	type place struct {
		room string
		seq  int64
	}
	known := make(map[place]time.Duration) // when somebody was told first
	tell := func(room string, seq int64, at time.Duration) {
		if first, again := known[place{room, seq}]; !again || at < first {
			known[place{room, seq}] = at
		}
	}
	for _, p := range h.Posts {
		switch p.Outcome {
		case check.Stored:
			c.Stored++
			tell(p.Room, p.Seq, p.Answered)
		case check.Unknown:
			c.Unknown++
		}
	}
	for _, v := range h.Views {
		for _, s := range v.Seen {
			tell(v.Room, s.Seq, s.At)
		}
	}
	for _, v := range h.Views {
		for _, s := range v.Seen {
			if strings.HasPrefix(v.Who, resident) {
				c.Behind = max(c.Behind, s.At-known[place{v.Room, s.Seq}])
			}
		}
	}
	c.Messages = len(known)
	return c
}
