package guest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// Load says what a Member does.
type Load struct {
	Address string // of the server
	Rooms   []string
	Window  int    // posts in flight; 0 only listens
	Size    int    // bytes of a text, about
	Hangup  int    // it breaks each connection after up to twice this many frames; 0 is never
	Seed    uint64 // of all its choices; different members need different ones
}

// Member is a person with a load. One goroutine does everything; the methods
// may be called from any other.
type Member struct {
	load    Load // fixed
	quit    chan struct{}
	ended   chan struct{}
	changed *sync.Cond // on mu

	mu     sync.Mutex // held by the goroutine while it handles one thing
	story  Story
	token  string
	epoch  string
	outbox []*draft // sent and not acknowledged, oldest first
	posted int
	quiet  bool // posts nothing new
	random *rand.Rand
	live   *session // nil between two sockets
}

// draft is a post on its way.
type draft struct {
	wire.Post
	floor int64
	retry time.Time // when to send it again after a refusal; zero is not refused
}

// Start begins the load. Leave must follow.
func Start(load Load) *Member {
	m := &Member{load: load, quit: make(chan struct{}), ended: make(chan struct{})}
	m.changed = sync.NewCond(&m.mu)
	m.random = rand.New(rand.NewPCG(load.Seed, 1))
	m.story = Story{Chains: make(map[string]Chain), Errors: make(map[string]int)}
	go m.run()
	return m
}

// Settle lets the member post nothing new and waits until everything it has
// posted is acknowledged.
func (m *Member) Settle(ctx context.Context) error {
	m.mu.Lock()
	m.quiet = true
	m.mu.Unlock()
	if err := m.await(ctx, func() bool { return len(m.outbox) == 0 }); err != nil {
		return fmt.Errorf("posts stay without an answer: %w", err)
	}
	return nil
}

// Reach waits until the member has a room's messages up to a seq.
func (m *Member) Reach(ctx context.Context, room string, seq int64) error {
	if err := m.await(ctx, func() bool { return m.story.Chains[room].Seq >= seq }); err != nil {
		return fmt.Errorf("message %d of %s does not come: %w", seq, room, err)
	}
	return nil
}

// Speak waits until the member has been acknowledged n more posts.
func (m *Member) Speak(ctx context.Context, n int) error {
	m.mu.Lock()
	n += len(m.story.Acked)
	m.mu.Unlock()
	return m.await(ctx, func() bool { return len(m.story.Acked) >= n })
}

func (m *Member) await(ctx context.Context, ok func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.changed.Broadcast()
	})
	defer stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	for !ok() {
		if len(m.story.Faults) > 0 {
			return fmt.Errorf("a promise was broken: %s", m.story.Faults[0])
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w; outbox %d, %d sessions, faults %q", ctx.Err(), len(m.outbox), m.story.Sessions, m.story.Faults)
		}
		m.changed.Wait()
	}
	return nil
}

// Acked is what has been acknowledged so far.
func (m *Member) Acked() []Acked {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.story.Acked[:len(m.story.Acked):len(m.story.Acked)]
}

// Leave ends the member and returns what it lived through.
func (m *Member) Leave() Story {
	close(m.quit)
	<-m.ended
	return m.story
}

// run is the member's goroutine: one socket after another.
func (m *Member) run() {
	defer close(m.ended)
	for {
		err := m.attend()
		m.mu.Lock()
		m.live = nil
		m.note(err)
		wait := time.Duration(m.random.Int64N(int64(100 * time.Millisecond)))
		m.mu.Unlock()
		select {
		case <-m.quit:
			return
		case <-time.After(wait):
		}
	}
}

// note keeps how a socket ended when it matters.
func (m *Member) note(err error) {
	var closed *socket.Close
	switch {
	case !errors.As(err, &closed) || closed.Code == 1006:
		// Broken, refused, or ended by this member: nothing was promised.
	case closed.Code == wire.CloseRestart:
		m.story.Retries = append(m.story.Retries, closed.Reason)
	case closed.Code != wire.CloseTooSlow:
		m.fault("%v", closed)
	}
}

func (m *Member) fault(format string, args ...any) {
	m.story.Faults = append(m.story.Faults, fmt.Sprintf(format, args...))
}

// attend is one socket, from the handshake to its end.
func (m *Member) attend() error {
	g, err := Dial(m.load.Address)
	if err != nil {
		return err
	}
	frames, end, gone := make(chan wire.Frame), make(chan error, 1), make(chan struct{})
	go func() { // ends with the connection; waited for below
		defer close(end)
		end <- pump(g, frames, gone)
	}()
	defer func() {
		close(gone)
		_ = g.Close()
		for range end { // until it is closed
		}
	}()
	return m.follow(g, frames, end)
}

// pump reads frames until the socket ends or nobody wants them any more.
func pump(g *Guest, frames chan<- wire.Frame, gone <-chan struct{}) error {
	for {
		f, err := g.Next(time.Hour)
		if err != nil {
			return err
		}
		select {
		case frames <- f:
		case <-gone:
			return nil
		}
	}
}

// follow handles what comes until the socket ends.
func (m *Member) follow(g *Guest, frames <-chan wire.Frame, end <-chan error) error {
	left := -1 // frames until it hangs up
	m.mu.Lock()
	m.live = &session{guest: g, joined: make(map[string]bool)}
	if m.load.Hangup > 0 {
		left = 1 + m.random.IntN(2*m.load.Hangup)
	}
	err := g.Say("", wire.Hello{Client: "e2e/1", Token: m.token, Epoch: m.epoch})
	m.mu.Unlock()
	for ; err == nil && left != 0; left-- {
		var retry <-chan time.Time
		if at := m.nextRetry(); !at.IsZero() {
			retry = time.After(time.Until(at))
		}
		select {
		case <-m.quit:
			return nil
		case err = <-end:
			return err
		case f := <-frames:
			err = m.handle(f)
		case <-retry:
			err = m.again()
		}
	}
	return err
}

func (m *Member) nextRetry() (at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.outbox {
		if !d.retry.IsZero() && (at.IsZero() || d.retry.Before(at)) {
			at = d.retry
		}
	}
	return at
}

// text is a message nobody else writes.
func (m *Member) text(nonce string) string {
	return "say " + nonce + strings.Repeat(" 茶", m.load.Size/4)
}
