package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"

	"github.com/teahouse-chat/teahouse/channels"
)

const (
	maxPop   = 512      // entries in one answer
	popBytes = 4 << 20  // what one answer should not exceed
	maxReady = 16 << 20 // bytes that were taken and not yet delivered, with at most one answer above
	popWait  = 5        // seconds that a server waits before it says that there is nothing
)

// reader takes what others have sent to this process from one host. Upstream
// writes to one of the hosts for a group and to another for a single channel, so
// all are read.
//
// One goroutine, pop, only takes entries off the server, for what stays there
// too long, or is too much, is dropped by those who send. Another, deliver,
// decodes and delivers in order. Between them waits a bounded number of bytes.
type reader struct {
	// fixed
	core   *Core
	server *server

	// guarded by mu
	mu      sync.Mutex
	changed *sync.Cond
	ready   []entry
	bytes   int
	gap     bool // entries were lost before those that come next
	closed  bool

	// owned by pop
	typical int // bytes of an entry, on average
}

type entry struct {
	score float64
	blob  []byte
}

func newReader(c *Core, s *server) *reader {
	r := &reader{core: c, server: s}
	r.changed = sync.NewCond(&r.mu)
	return r
}

// pop runs until ctx ends. A connection that breaks is told to the roster,
// which tells the gap once memberships are whole again.
func (r *reader) pop(ctx context.Context) {
	defer r.close()
	failures := 0
	for ctx.Err() == nil {
		worked, err := r.session(ctx)
		if ctx.Err() != nil {
			return
		}
		failures++
		if worked {
			failures = 1
		}
		r.server.broke(fmt.Errorf("receive: %w", err))
		_ = pause(ctx, failures)
	}
}

// session takes entries over one connection, until it breaks. It tells whether
// it ever worked.
func (r *reader) session(ctx context.Context) (worked bool, err error) {
	l, err := r.server.connect(ctx)
	if err != nil {
		return false, err
	}
	defer l.close() // an answer may be under way that nobody would read
	defer context.AfterFunc(ctx, l.close)()
	for {
		if err := r.sweep(l); err != nil {
			return worked, err
		}
		worked = true
	}
}

// sweep waits for an entry and takes it and all behind it.
func (r *reader) sweep(l *link) error {
	answers, err := l.ask((popWait+5)*time.Second, command{"BZPOPMIN", r.core.key, strconv.Itoa(popWait)})
	var first entry
	if err == nil {
		first, err = poppedOne(answers[0])
	}
	if errors.Is(err, redigo.ErrNil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for an entry: %w", err)
	}
	r.put([]entry{first}, len(first.blob))
	for before := 1; ; before = 0 {
		if n, err := r.bulk(l, before); n == 0 || err != nil {
			return err
		}
	}
}

// bulk takes what is there, in one answer of a bounded size. A set that was full,
// with what was taken just before, may have been so for others as well: what
// they sent is lost. Of one that holds a single entry that says nothing, and
// would make a gap of every event.
func (r *reader) bulk(l *link, before int) (int, error) {
	count := min(max(popBytes/max(r.typical, 1), 1), maxPop)
	answers, err := l.ask(requestTimeout,
		command{"ZCARD", r.core.key},
		command{"ZPOPMIN", r.core.key, strconv.Itoa(count)})
	if err != nil {
		return 0, fmt.Errorf("take entries: %w", err)
	}
	waiting, err := redigo.Int(answers[0], nil)
	if err != nil {
		return 0, fmt.Errorf("count the entries: %w", err)
	}
	entries, size, err := poppedSome(answers[1])
	if err != nil {
		return 0, fmt.Errorf("take entries: %w", err)
	}
	if waiting > 0 && waiting+before >= r.core.capacity {
		r.lose()
	}
	if len(entries) == 0 {
		return 0, nil
	}
	r.typical = size / len(entries)
	r.put(entries, size)
	return len(entries), nil
}

// poppedSome are the entries in an answer to ZPOPMIN, and the bytes of their
// blobs.
func poppedSome(answer any) (entries []entry, size int, err error) {
	values, err := redigo.Values(answer, nil)
	for i := 0; i+1 < len(values) && err == nil; i += 2 {
		var e entry
		e, err = asEntry(values[i], values[i+1])
		entries = append(entries, e)
		size += len(e.blob)
	}
	return entries, size, err
}

// put hands entries over, waiting while too many bytes wait already. If that
// takes too long, others drop what waits in Redis.
func (r *reader) put(entries []entry, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	began := time.Now()
	for r.bytes >= maxReady && !r.closed {
		r.changed.Wait()
	}
	r.gap = r.gap || time.Since(began) >= r.core.node.Expiry
	r.ready = append(r.ready, entries...)
	r.bytes += size
	r.changed.Broadcast()
}

// lose has a gap told once what has been taken so far is delivered.
func (r *reader) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gap = true
	r.changed.Broadcast()
}

// close ends deliver, and lets pop put what nobody will read.
func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.changed.Broadcast()
}

// deliver runs until ctx ends, or pop has.
func (r *reader) deliver(ctx context.Context) {
	defer context.AfterFunc(ctx, r.close)()
	for {
		r.mu.Lock()
		for len(r.ready) == 0 && !r.gap && !r.closed {
			r.changed.Wait()
		}
		if r.closed {
			r.mu.Unlock()
			return
		}
		entries, gap := r.ready, r.gap
		r.ready, r.gap = nil, false
		r.mu.Unlock()

		size := 0
		for _, e := range entries {
			if ctx.Err() != nil {
				return
			}
			size += len(e.blob)
			r.one(ctx, e)
		}
		if gap {
			r.core.node.Gap()
		}
		r.mu.Lock()
		r.bytes -= size
		r.changed.Broadcast()
		r.mu.Unlock()
	}
}

// one delivers one entry.
func (r *reader) one(ctx context.Context, e entry) {
	node := &r.core.node
	if r.server.stale(e.score) {
		node.Dropped(dropExpired, 1)
		r.lose()
		return
	}
	event, to, err := r.core.open(e.blob)
	if err != nil {
		r.server.ignored(err)
		return
	}
	d := channels.Delivery{Event: event}
	for _, name := range to {
		group, isAlias, ok := r.core.mine(name)
		switch {
		case !ok:
			r.server.ignored(errMisaddressed)
		case !isAlias:
			d.Channels = append(d.Channels, name)
		case d.Group == "":
			d.Group = group
		case group != "" && group != d.Group: // two groups of one name as Django writes it
			_ = node.Deliver(ctx, channels.Delivery{Group: group, Event: event})
		}
	}
	if len(to) == 0 {
		r.server.ignored(errMisaddressed)
	}
	if d.Group != "" || len(d.Channels) > 0 {
		_ = node.Deliver(ctx, d) // the layer counts
	}
}
