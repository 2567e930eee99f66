//go:build linux

package chaos

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	pingEvery = 500 * time.Millisecond // so that a silent server is noticed
	sleepFor  = 3 * time.Second        // of a sleeper, who is noticed only by the server
	sleepOnce = 3 * time.Second        // on average between two sleeps
	moveAfter = 2 * time.Second        // on average a wanderer stays on a node
)

// follower reads rooms from their beginning, through broken connections, and each
// time goes on where it was. A message that is not the next is against a promise:
// it stops there. Its goroutine does everything; has may be called by others.
type follower struct {
	// fixed
	opening *Opening
	record  *record
	name    string
	rooms   []string
	wander  bool // takes another node each time, and leaves by itself
	sleeper bool // reads nothing now and then
	late    time.Duration
	quit    <-chan struct{}
	still   <-chan struct{} // when it is closed nobody changes nodes or sleeps any more

	home   *node
	who    identity
	random *rand.Rand

	// guarded by mu
	mu     sync.Mutex
	views  map[string]*check.View
	broken bool
}

// has says whether the follower has a room up to a number, or never will.
func (f *follower) has(room string, seq int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken || f.views[room].Chain.Seq >= seq
}

// told are the views when the follower has ended.
func (f *follower) told() []check.View {
	var all []check.View
	for _, room := range f.rooms {
		f.views[room].Stopped = f.broken
		all = append(all, *f.views[room])
	}
	return all
}

// run follows until quit.
func (f *follower) run() {
	for wait := f.late; ; wait = time.Duration(f.random.Int64N(int64(200 * time.Millisecond))) {
		select {
		case <-f.quit:
			return
		case <-time.After(wait):
		}
		if err := f.attend(); err != nil {
			f.record.failed(err)
		}
		if f.wander && !f.stays() {
			f.home = f.opening.node[f.random.IntN(len(f.opening.node))]
		}
		if f.broken {
			return
		}
	}
}

// attend is one socket.
func (f *follower) attend() error {
	patience := patience
	if f.sleeper {
		patience += sleepFor
	}
	g, err := f.opening.dial(f.home, f.who, patience)
	if err != nil {
		return err
	}
	if f.sleeper && !f.stays() {
		g.Conn.Conn.(hasty).drink(sip)
	}
	if f.who.id == "" {
		f.who = identity{g.Welcome.You.ID, g.Welcome.Token, g.Welcome.Epoch}
	}
	ended := make(chan struct{})
	var pinger sync.WaitGroup
	pinger.Go(func() { f.ping(g, ended) })
	defer func() {
		close(ended)
		_ = g.Close() // ends what the pinger waits for
		pinger.Wait()
	}()
	for _, room := range f.rooms {
		at := f.views[room].Chain.Seq
		if err := g.Say(room, wire.Join{Room: room, After: &at, Epoch: f.who.epoch, All: true}); err != nil {
			return err
		}
	}
	return f.listen(g)
}

// ping asks for signs of life, and closes the socket when the follower is to end.
func (f *follower) ping(g *guest.Guest, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-f.quit:
			_ = g.Close()
			return
		case <-time.After(pingEvery):
			if g.Say("", wire.Ping{}) != nil {
				return // the reader learns it too
			}
		}
	}
}

// listen takes what comes until the socket ends.
func (f *follower) listen(g *guest.Guest) error {
	var leave, sleep time.Time
	if f.wander {
		leave = time.Now().Add(time.Duration(f.random.Int64N(int64(2 * moveAfter))))
	}
	if f.sleeper {
		sleep = time.Now().Add(time.Duration(f.random.Int64N(int64(2 * sleepOnce))))
	}
	for leave.IsZero() || time.Now().Before(leave) || f.stays() {
		if f.sleeper && time.Now().After(sleep) && !f.stays() {
			f.rest()
			sleep = time.Now().Add(time.Duration(f.random.Int64N(int64(2 * sleepOnce))))
		}
		if f.sleeper && f.stays() {
			g.Conn.Conn.(hasty).drink(gulp)
		}
		frame, err := g.Next(time.Hour) // or patience
		select {
		case <-f.quit:
			return nil // it was the pinger who closed the socket
		default:
		}
		if err != nil {
			return err
		}
		if err := f.handle(frame); err != nil || f.broken {
			return err
		}
	}
	return nil
}

// stays says that everybody only waits to have everything.
func (f *follower) stays() bool {
	select {
	case <-f.still:
		return true
	default:
		return false
	}
}

func (f *follower) rest() {
	select {
	case <-f.still:
	case <-time.After(sleepFor):
	}
}

func (f *follower) handle(frame wire.Frame) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch frame := frame.(type) {
	case wire.Joined:
		if at := f.views[frame.Room].Chain.Seq; frame.Reset || frame.After != at {
			f.violate("joined %s after %d (reset %v), asked for %d", frame.Room, frame.After, frame.Reset, at)
		}
	case wire.Messages:
		for _, m := range frame.Messages {
			f.take(frame.Room, m, "again")
		}
	case wire.MessageFrame:
		f.take(frame.Room, frame.Message, "live")
	case wire.ErrorFrame:
		if frame.RetryMS <= 0 {
			f.violate("error frame %+v", frame)
		}
		return &guest.Mistake{ErrorFrame: frame}
	}
	return nil
}

// take is a message of a room: it must be the next one. mu is held.
func (f *follower) take(room string, m wire.Message, how string) {
	if f.broken {
		return
	}
	v := f.views[room]
	v.Seen = append(v.Seen, check.Seen{Message: m, At: f.record.now()})
	if err := v.Chain.Add(m); err != nil {
		f.violate("%s of %s, told %s: %v", f.home.name, room, how, err)
	}
}

// violate notes that a reader was told something wrong; mu is held.
func (f *follower) violate(format string, args ...any) {
	f.broken = true
	f.record.violate(check.Gap, "%s at %v: %s", f.name, f.record.now(), fmt.Sprintf(format, args...))
}
