// Package limit keeps anyone from using more than a fair share: it implements
// chat.Limiter with a token bucket for each kind and key, and counts open
// sockets for each address and person.
//
// Nothing here waits and nothing is dropped: a refusal says when to come back,
// and the caller decides whether to wait, to tell the client or to close. Every
// refusal is counted by kind, see Stats.
//
// Memory is bounded. A bucket that has filled up again is the same as none and
// is forgotten by the calls that follow, so there is no sweeping goroutine. A
// kind keeps at most MaxKeys buckets; beyond that the one that was used longest
// ago goes, which at worst forgives somebody, and never refuses a newcomer.
package limit

import (
	"container/list"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// MaxKeys is the number of buckets that one kind keeps: about 15 MB of them.
const MaxKeys = 1 << 16

// rates are the figures of each kind; address means that keys are network
// addresses.
var rates = [...]struct {
	every   rate.Limit // tokens per second
	burst   int
	address bool
}{
	chat.LimitMessages:   {every: 5, burst: 20},
	chat.LimitAddress:    {every: 50, burst: 200, address: true}, // a school behind one address
	chat.LimitRooms:      {every: 5. / 60, burst: 5, address: true},
	chat.LimitHandshakes: {every: 10, burst: 30, address: true},
	chat.LimitGuests:     {every: 10, burst: 100, address: true}, // a class that opens one link
}

// Options of a Limiter; the zero value limits by the real clock.
type Options struct {
	Off bool // everything is allowed and nothing is counted
	// PerAddress multiplies what a network address may do, at once and in a
	// second, for places where many people share one; 0 is 1. What a person may
	// do, and what stands for something else in the place of an address, stays.
	PerAddress int
	Now        func() time.Time // nil is time.Now
}

// Limiter holds the buckets and the counts. Its methods may be called by many
// goroutines, and never block for longer than it takes to look a key up.
type Limiter struct {
	off        bool             // fixed
	perAddress int              // fixed, at least 1
	now        func() time.Time // fixed
	buckets    [len(rates)]buckets
	counts     [len(most)]counts
}

var _ chat.Limiter = (*Limiter)(nil)

// New returns a Limiter that has seen nobody yet.
func New(o Options) *Limiter {
	l := &Limiter{off: o.Off, perAddress: max(o.PerAddress, 1), now: o.Now}
	if l.now == nil {
		l.now = time.Now
	}
	for i := range l.buckets {
		l.buckets[i].known = make(map[string]*list.Element)
	}
	for i := range l.counts {
		l.counts[i].open = make(map[string]int)
	}
	return l
}

// Take implements chat.Limiter. Addresses are taken in any form that AddressKey
// reads. After a wait of what it returns the same call succeeds, unless another
// one of that key was faster.
func (l *Limiter) Take(kind chat.Limit, key string) time.Duration {
	if l.off {
		return 0
	}
	times := 1
	if rates[kind].address {
		var network bool
		if key, network = addressKey(key); network {
			times = l.perAddress
		}
	}
	return l.buckets[kind].take(key, rates[kind].every*rate.Limit(times), rates[kind].burst*times, l.now())
}

// Rate is what a kind allows a person or a network address, as events per second
// and how many at once; zeros when the limits are off.
func (l *Limiter) Rate(kind chat.Limit) (perSecond float64, burst int) {
	if l.off {
		return 0, 0
	}
	times := 1
	if rates[kind].address {
		times = l.perAddress
	}
	return float64(rates[kind].every) * float64(times), rates[kind].burst * times
}

// buckets are the token buckets of one kind.
type buckets struct {
	refused atomic.Uint64

	// Guarded by mu.
	mu    sync.Mutex
	known map[string]*list.Element // of bucket
	used  list.List                // of bucket, the latest used in front
}

type bucket struct {
	key    string
	used   time.Time
	tokens *rate.Limiter
}

func (b *buckets) take(key string, every rate.Limit, burst int, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.known[key]
	if ok {
		b.used.MoveToFront(e)
	} else {
		e = b.used.PushFront(&bucket{key: key, tokens: rate.NewLimiter(every, burst)})
		b.known[key] = e
	}
	it := e.Value.(*bucket)
	it.used = now
	b.forget(now, time.Duration(float64(burst)/float64(every)*float64(time.Second)))

	r := it.tokens.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait <= 0 {
		return 0
	}
	r.CancelAt(now)
	b.refused.Add(1)
	// The library computes in floating point and can be a nanosecond short,
	// and a client that comes a nanosecond early would be refused again.
	return wait + time.Microsecond
}

// forget drops what is full again, two for each call so that the number falls
// but no call is slow, and what is too many.
func (b *buckets) forget(now time.Time, full time.Duration) {
	for range 2 {
		e := b.used.Back()
		it := e.Value.(*bucket)
		if b.used.Len() <= MaxKeys && now.Sub(it.used) < full {
			return
		}
		b.used.Remove(e)
		delete(b.known, it.key)
	}
}

// Count is something of which one key may have only so many at a time.
type Count int

// The counts that exist.
const (
	SocketsPerAddress Count = iota // key: network address, in any form that AddressKey reads
	SocketsPerUser                 // key: UserID.String
)

var most = [...]int{SocketsPerAddress: 100, SocketsPerUser: 20}

// String is the name used in logs and metrics.
func (c Count) String() string {
	switch c {
	case SocketsPerAddress:
		return "sockets_per_address"
	case SocketsPerUser:
		return "sockets_per_user"
	}
	return fmt.Sprintf("count(%d)", int(c))
}

// Most is how many one key may have; 0 when the limits are off.
func (l *Limiter) Most(kind Count) int {
	switch {
	case l.off:
		return 0
	case kind == SocketsPerAddress:
		return most[kind] * l.perAddress
	}
	return most[kind]
}

// counts are what is open of one kind; a key with nothing open is not kept.
type counts struct {
	refused atomic.Uint64

	mu   sync.Mutex
	open map[string]int // guarded by mu
}

// Acquire counts one more of key, or returns false and counts nothing. What was
// acquired must be released once.
func (l *Limiter) Acquire(kind Count, key string) bool {
	if l.off {
		return true
	}
	if kind == SocketsPerAddress {
		key = AddressKey(key)
	}
	c := &l.counts[kind]
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[key] >= l.Most(kind) {
		c.refused.Add(1)
		return false
	}
	c.open[key]++
	return true
}

// Release gives back what Acquire counted. It panics when there is nothing to
// give back, since the limit would no longer hold.
func (l *Limiter) Release(kind Count, key string) {
	if l.off {
		return
	}
	if kind == SocketsPerAddress {
		key = AddressKey(key)
	}
	c := &l.counts[kind]
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.open[key] {
	case 0:
		panic(fmt.Sprintf("limit: %v was released more often than acquired", kind))
	case 1:
		delete(c.open, key)
	default:
		c.open[key]--
	}
}

// Stats are what has been refused since New, and what is kept now.
type Stats struct {
	RefusedRate  map[chat.Limit]uint64 // calls of Take
	RefusedCount map[Count]uint64      // calls of Acquire
	Keys         map[chat.Limit]int    // buckets kept
}

// Stats takes each lock for a moment.
func (l *Limiter) Stats() Stats {
	s := Stats{
		RefusedRate:  make(map[chat.Limit]uint64),
		RefusedCount: make(map[Count]uint64),
		Keys:         make(map[chat.Limit]int),
	}
	for i := range l.buckets {
		b := &l.buckets[i]
		s.RefusedRate[chat.Limit(i)] = b.refused.Load()
		b.mu.Lock()
		s.Keys[chat.Limit(i)] = b.used.Len()
		b.mu.Unlock()
	}
	for i := range l.counts {
		s.RefusedCount[Count(i)] = l.counts[i].refused.Load()
	}
	return s
}
