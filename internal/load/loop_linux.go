package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	readBuffer = 256 << 10 // what one read takes at the most
	batch      = 512       // sockets per epoll_wait
	maxKinds   = 20        // different troubles that are told apart
)

// Slots in epoll's answers that are not connections.
const (
	wakeSlot  = -1
	timerSlot = -2
)

// loop is one goroutine around one epoll, and its connections.
type loop struct {
	// fixed
	run   *run
	epoll int
	wake  int // eventfd: there is something in inbox
	timer int // timerfd: a post is due
	done  chan struct{}

	mu    sync.Mutex
	inbox []func() // guarded by mu

	// owned by the loop's goroutine
	ending bool
	conns  []*conn // by slot; nil is free
	free   []int
	turn   int32 // tells the users of one slot apart
	random *rand.Rand
	buffer []byte
	text   []byte // scratch of post
	frame  []byte // scratch of post
	seen   Seen
	now    time.Duration // when the last read returned

	ready    []*conn // posters that heard themselves and may go on
	flight   int     // posts in flight per poster; 0 while nothing is posted so
	schedule schedule

	arrived func(*conn) // called when one has joined; nil is nothing
	ended   func(*conn) // called when one failed; nil is nothing
	leaving []*conn     // to be hung up after this batch
	left    func(*conn) // called for each of leaving; nil is nothing

	windows   []window // in order and apart
	late      *hdrhistogram.Histogram
	delivered int64           // added to run.delivered after each batch
	posted    int64           // added to run.posted after each batch
	stalls    int             // how many times a member stopped reading
	cut       int             // how many times the server cut one that did not read
	caughtUp  []time.Duration // when each had what it was waited for with
	troubles  map[string]int
}

// window is a time whose posts are recorded, by when they are due.
type window struct {
	from, to time.Duration
	latency  *hdrhistogram.Histogram
}

// window finds the one in which a post is due; nil is none. It is mostly the last.
func (l *loop) window(due time.Duration) *window {
	for i := len(l.windows) - 1; i >= 0; i-- {
		if w := &l.windows[i]; due >= w.from {
			if due < w.to {
				return w
			}
			return nil
		}
	}
	return nil
}

// schedule is when a loop's posters are due: one after the other, each again
// after period.
type schedule struct {
	posters []duty
	period  time.Duration
	next    int // in posters
	round   int
	end     time.Duration
}

// duty is one poster's first time.
type duty struct {
	c     *conn
	first time.Duration
}

// due is when the next post is due; ok is false when there is none.
func (s *schedule) due() (at time.Duration, ok bool) {
	if len(s.posters) == 0 {
		return 0, false
	}
	at = s.posters[s.next].first + time.Duration(s.round)*s.period
	return at, at < s.end
}

func (s *schedule) advance() {
	if s.next++; s.next == len(s.posters) {
		s.next = 0
		s.round++
	}
}

// newLoop opens what a loop needs; stop must follow.
func newLoop(r *run) (l *loop, err error) {
	l = &loop{
		run: r, epoll: -1, wake: -1, timer: -1, done: make(chan struct{}),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), buffer: make([]byte, readBuffer),
		late: newHistogram(), troubles: make(map[string]int),
	}
	defer func() {
		if err != nil {
			l.closeFiles()
		}
	}()
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open epoll: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open an eventfd: %w", err)
	}
	if l.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return nil, fmt.Errorf("open a timerfd: %w", err)
	}
	for fd, slot := range map[int]int32{l.wake: wakeSlot, l.timer: timerSlot} {
		e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: slot}
		if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
			return nil, fmt.Errorf("wait for the loop's own files: %w", err)
		}
	}
	return l, nil
}

func (l *loop) closeFiles() {
	for _, fd := range []int{l.epoll, l.wake, l.timer} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing was written that could be lost
		}
	}
}

// do lets the loop run f and waits until it has.
func (l *loop) do(f func()) {
	ran := make(chan struct{})
	l.mu.Lock()
	l.inbox = append(l.inbox, func() { f(); close(ran) })
	l.mu.Unlock()
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	// It can only fail when the counter is full, and then the loop is awake.
	_, _ = unix.Write(l.wake, one[:])
	<-ran
}

// stop ends the loop and all its connections, and waits for it.
func (l *loop) stop() {
	l.do(func() { l.ending = true })
	<-l.done
	l.closeFiles()
}

// serve is the loop's goroutine.
func (l *loop) serve() {
	defer close(l.done)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	events := make([]unix.EpollEvent, batch)
	for !l.ending {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			l.trouble("wait for sockets: " + err.Error())
			time.Sleep(time.Millisecond) // do() must still get its answers
		}
		for _, e := range events[:max(n, 0)] {
			l.handle(e)
			if at, ok := l.schedule.due(); ok && at <= l.now {
				l.catchUp() // a batch of large messages takes milliseconds to read
			}
		}
		l.letGo()
		l.catchUp()
		l.refill()
		l.account()
	}
	for _, c := range l.conns {
		if c != nil {
			l.hangUp(c)
		}
	}
}

func (l *loop) handle(e unix.EpollEvent) {
	var eight [8]byte
	switch e.Fd {
	case wakeSlot:
		_, _ = unix.Read(l.wake, eight[:]) // only its becoming readable matters
		l.mu.Lock()
		work := l.inbox
		l.inbox = nil
		l.mu.Unlock()
		for _, f := range work {
			f()
		}
		return
	case timerSlot:
		_, _ = unix.Read(l.timer, eight[:])
		return
	}
	c := l.conns[e.Fd]
	if c == nil || c.turn != e.Pad {
		return // it ended earlier in this batch
	}
	if e.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 && c.state != connecting {
		l.readable(c)
	}
	if l.conns[e.Fd] == c && (e.Events&unix.EPOLLOUT != 0 || c.state == connecting) {
		l.writable(c)
	}
}

// letGo hangs up those that want to leave.
func (l *loop) letGo() {
	list := l.leaving
	l.leaving = nil
	for _, c := range list {
		if l.conns[c.slot] != c {
			continue
		}
		l.hangUp(c)
		if l.left != nil {
			l.left(c)
		}
	}
}

// catchUp sends every post that is due, each with the time it was due, and sets
// the alarm for the next.
func (l *loop) catchUp() {
	at, ok := l.schedule.due()
	if !ok {
		return
	}
	now := l.run.clock()
	for ok && at <= now {
		d := l.schedule.posters[l.schedule.next]
		l.schedule.advance()
		if l.conns[d.c.slot] == d.c {
			l.post(d.c, at)
			l.flush(d.c)
			if l.window(at) != nil {
				_ = l.late.RecordValue(int64(l.run.clock() - at)) // beyond two minutes it is lost anyway
			}
		}
		at, ok = l.schedule.due()
	}
	if !ok {
		return
	}
	wait := max(at-l.run.clock(), time.Microsecond)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(l.timer, 0, &spec, nil); err != nil {
		l.trouble("set the alarm: " + err.Error())
	}
}

// refill lets the posters that heard themselves post again.
func (l *loop) refill() {
	if len(l.ready) == 0 {
		return
	}
	now := l.run.clock()
	for _, c := range l.ready {
		c.poster.queued = false
		if l.conns[c.slot] != c {
			continue
		}
		for p := c.poster; int(p.sent-p.heard) < l.flight && (p.most == 0 || p.sent < p.most); {
			l.post(c, now)
		}
		if !c.waiting {
			l.flush(c)
		}
	}
	l.ready = l.ready[:0]
}

// account publishes the counts of a batch.
func (l *loop) account() {
	if l.delivered > 0 {
		l.run.delivered.Add(l.delivered)
		l.delivered = 0
	}
	if l.posted > 0 {
		l.run.posted.Add(l.posted)
		l.posted = 0
	}
}

// trouble counts something that should not be.
func (l *loop) trouble(why string) {
	if _, known := l.troubles[why]; !known && len(l.troubles) >= maxKinds {
		why = "other troubles"
	}
	l.troubles[why]++
}
