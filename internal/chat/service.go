package chat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	queueDrafts = 4096            // accepted and not yet committed
	queueWait   = 5 * time.Second // for room in a full queue
)

// Options of a Service. Store is required.
type Options struct {
	Store Store

	// Publish tells the readers of a room about a message that is stored now.
	// It is called by the writer, one message at a time and per room in order
	// of seq and each once, so it must be quick and must not post. What a
	// failing store kept without saying so is published as soon as it is found,
	// and before anything newer in its room, which waits for that for a while,
	// although its sender has been answered. Nil tells nobody.
	Publish func(room string, m Message)

	// Renamed tells the readers of all rooms a person is in about their new
	// name. Nil tells nobody.
	Renamed func(u User)

	// Limiter holds the rates of messages and new rooms. Nil is no limits.
	Limiter Limiter

	// Committed observes each commit: the number of new messages and the time
	// the store took. Called by the writer; nil observes nothing.
	Committed func(messages int, took time.Duration)

	Logger *slog.Logger     // nil is slog.Default
	Now    func() time.Time // nil is time.Now
}

// Service is the rules: whatever is said or read goes through it. Make it with
// New and end it with Shutdown. Its methods may be called by many goroutines
// and take room names in any spelling.
//
// One goroutine, the writer, stores what is posted: everything that waits when
// it is free becomes one batch, one commit, so a commit costs one fsync however
// many wait for it, and nobody waits longer than for the commit under way.
type Service struct {
	// fixed
	store     Store
	publish   func(string, Message)
	renamed   func(User)
	limiter   Limiter
	committed func(int, time.Duration)
	log       *slog.Logger
	now       func() time.Time
	epoch     string
	queue     chan *posting
	stopping  chan struct{} // closed by Shutdown: nothing more is accepted
	written   chan struct{} // closed when the writer has ended
	cancel    context.CancelFunc

	stopOnce sync.Once

	// guarded by mu: read-locked while a posting enters the queue, so that the
	// queue is never closed under a sender
	mu     sync.RWMutex
	closed bool

	// owned by the writer
	drafts []Draft
	batch  []*posting
	fault  fault
	doubt  doubt

	// counted by anybody
	stats     counters
	readFault atomic.Int64 // Unix nanoseconds of the last line about a failed read
}

// posting is an accepted post on its way through the queue.
type posting struct {
	draft   Draft
	address string
	done    func(Message, bool, error)
}

// New starts a Service on a store, which it does not close.
func New(ctx context.Context, o Options) (*Service, error) {
	settings, err := o.Store.Settings(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the settings of the store: %w", err)
	}
	s := &Service{
		store:     o.Store,
		publish:   o.Publish,
		renamed:   o.Renamed,
		limiter:   o.Limiter,
		committed: o.Committed,
		log:       o.Logger,
		now:       o.Now,
		epoch:     settings.Epoch,
		queue:     make(chan *posting, queueDrafts),
		stopping:  make(chan struct{}),
		written:   make(chan struct{}),
	}
	if s.publish == nil {
		s.publish = func(string, Message) {}
	}
	if s.renamed == nil {
		s.renamed = func(User) {}
	}
	if s.limiter == nil {
		s.limiter = unlimited{}
	}
	if s.committed == nil {
		s.committed = func(int, time.Duration) {}
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.now == nil {
		s.now = time.Now
	}
	ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.doubt.since = s.now()
	go s.write(ctx)
	return s, nil
}

// Post is something a person wants to say.
type Post struct {
	Room    string // any spelling; made when there is none
	Author  User
	Login   *Login // stored with an author who says something for the first time; nil for none
	Nonce   string // 1 to MaxNonce characters, chosen by the sender
	Text    string // see CleanText
	Address string // where it came from: the key of LimitRooms

	// Patient waits for the author's rate instead of being refused: for
	// senders who cannot be told.
	Patient bool

	// Many says that the author stands for many people, as a bridge does. They
	// share the rate of Address, and none of their own.
	Many bool
}

// Submit checks a post and hands it to the writer. When it returns nil, done is
// called exactly once, by the writer: with the message as stored, and whether
// it had been stored before (same author, room, nonce and text), or with an
// error. done must be quick and must not post. When Submit returns an error,
// done is never called.
//
// Of what one goroutine submits to one room, the stored messages are in the
// order of submission. Nothing is promised about order between rooms: a post
// that makes its room is stored after the others of its batch.
//
// Submit returns at once, except that it blocks while the queue is full, up to
// 5 s and then ErrBusy, and that a Patient post blocks for its rate. The end of
// ctx ends the blocking; an accepted post is not withdrawn by it.
func (s *Service) Submit(ctx context.Context, p Post, done func(m Message, duplicate bool, err error)) error {
	d, err := s.check(p)
	if err == nil {
		err = s.takeMessage(ctx, p)
	}
	if err == nil {
		err = s.enqueue(ctx, &posting{draft: d, address: p.Address, done: done})
	}
	if err != nil {
		s.stats.refused.Add(1)
	}
	return err
}

// Post is Submit and waiting. When ctx ends first, the message may be stored
// or not; posting it again with the same nonce tells.
func (s *Service) Post(ctx context.Context, p Post) (m Message, duplicate bool, err error) {
	type outcome struct {
		m         Message
		duplicate bool
		err       error
	}
	answer := make(chan outcome, 1)
	err = s.Submit(ctx, p, func(m Message, duplicate bool, err error) { answer <- outcome{m, duplicate, err} })
	if err != nil {
		return Message{}, false, err
	}
	select {
	case o := <-answer:
		return o.m, o.duplicate, o.err
	case <-ctx.Done():
		return Message{}, false, fmt.Errorf("waiting for a message to be stored: %w", ctx.Err())
	}
}

// check applies the rules that need no store.
func (s *Service) check(p Post) (Draft, error) {
	room, err := RoomSlug(p.Room)
	if err != nil {
		return Draft{}, err
	}
	if err := checkNonce(p.Nonce); err != nil {
		return Draft{}, err
	}
	text, err := CleanText(p.Text)
	if err != nil {
		return Draft{}, err
	}
	return Draft{Room: room, Author: p.Author, Login: p.Login, Nonce: p.Nonce, Text: text}, nil
}

// takeMessage counts a post against the rates of its author and address. New
// people cost nothing to make, and each has a rate of their own, so what they
// say first counts against one of their address too.
func (s *Service) takeMessage(ctx context.Context, p Post) error {
	if !p.Many {
		if err := s.take(ctx, LimitMessages, p.Author.ID.String(), p.Patient); err != nil {
			return err
		}
	}
	if p.Address == "" {
		return nil
	}
	if p.Login != nil && p.Login.New {
		if err := s.take(ctx, LimitGuests, p.Address, p.Patient); err != nil {
			return err
		}
	}
	return s.take(ctx, LimitAddress, p.Address, p.Patient)
}

func (s *Service) take(ctx context.Context, kind Limit, key string, patient bool) error {
	for {
		wait := s.limiter.Take(kind, key)
		if wait <= 0 {
			return nil
		}
		if !patient {
			return &RateError{Limit: kind, Wait: wait}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for the rate of messages: %w", ctx.Err())
		case <-s.stopping:
			timer.Stop()
			return ErrClosed
		}
	}
}

// enqueue gives a posting to the writer, waiting when the queue is full.
func (s *Service) enqueue(ctx context.Context, p *posting) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return ErrClosed
	}
	select {
	case s.queue <- p:
		return nil
	default:
	}
	timer := time.NewTimer(queueWait)
	defer timer.Stop()
	select {
	case s.queue <- p:
		return nil
	case <-s.stopping:
		return ErrClosed
	case <-timer.C:
		return fmt.Errorf("%w: %d messages wait to be stored", ErrBusy, queueDrafts)
	case <-ctx.Done():
		return fmt.Errorf("waiting to be heard: %w", ctx.Err())
	}
}

// Shutdown refuses new posts, stores those accepted and ends the writer. When
// ctx ends first, the store is told to give up, what is left is refused with
// ErrUnavailable, and the error is that of ctx. Reading works until the store
// is closed. Calling it again waits again.
func (s *Service) Shutdown(ctx context.Context) error {
	s.stop()
	defer s.cancel()
	select {
	case <-s.written:
		return nil
	default:
	}
	select {
	case <-s.written:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("storing the last messages, %d left: %w", len(s.queue), ctx.Err())
	}
}

func (s *Service) stop() {
	s.stopOnce.Do(func() {
		close(s.stopping) // frees senders who wait at a full queue with mu
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closed = true
		close(s.queue)
	})
}

// counters are the sources of Stats.
type counters struct {
	posts, duplicates, refused atomic.Uint64
	commits, failures, panics  atomic.Uint64
	batchMax                   atomic.Int64
	failing                    atomic.Bool
}

// Stats are counts since New.
type Stats struct {
	Posts      uint64 // messages stored
	Duplicates uint64 // nonces that were stored before
	Refused    uint64 // posts against a rule, a rate or a full queue
	Commits    uint64 // batches stored; Posts/Commits is the mean batch
	Failures   uint64 // batches the store failed on
	Panics     uint64 // in Publish and in callers' functions
	BatchMax   int    // most messages in one commit
	Queued     int    // posts waiting now
	Failing    bool   // the store failed on the newest batch
}

// Stats reads the counters. They are read one by one: sums may be off by a batch.
func (s *Service) Stats() Stats {
	c := &s.stats
	return Stats{
		Posts: c.posts.Load(), Duplicates: c.duplicates.Load(), Refused: c.refused.Load(),
		Commits: c.commits.Load(), Failures: c.failures.Load(), Panics: c.panics.Load(),
		BatchMax: int(c.batchMax.Load()), Queued: len(s.queue), Failing: c.failing.Load(),
	}
}
