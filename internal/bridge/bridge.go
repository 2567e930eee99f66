// Package bridge joins rooms with groups of a Django Channels site that shares
// the channel layer: what people say here reaches Django's consumers, and what
// Django sends to a group becomes a message of the room's log.
//
// Its nouns: a bridged room is one whose name matches a pattern; its Django group
// is named by Group; the lease is held by the one process, of all that share the
// log, that listens to Django.
//
// Out: each message that this process stores is sent to the room's Django group
// as the original application sends it, {"type": "chat.message", "message": text,
// "username": name}, with Marker, by which every Teahouse knows that it is none of
// Django's. Nothing else is ever sent there: a Django consumer fails on events it
// has no handler for. What came from Django is not sent back.
//
// In: the process with the lease follows the groups of the rooms it knows, which
// are those given by name, those in the log, and those with people in them, on any
// server with the log. It posts what Django sends
// through the rules like anybody's message. Its author is the bridge's name, or
// the username in the event when those are trusted. Authors have ids that no guest
// can have, see chat.BridgedID.
//
// Order: what comes from one group is stored in the order in which it came, and
// what goes to one leaves in the order of the log. Back-pressure: both ways wait in
// bounded queues; what does not fit is dropped and counted. The log waits for
// nothing here, and nothing that it promises depends on the bridge. A message of
// Django is stored once or, when processes or Redis fail at that moment, not.
//
// Ownership: Run ends with its context and owns what listens; Publish starts the
// goroutine that sends, and Close waits for it.
package bridge

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// DefaultName is the author of what Django sends without a trusted username.
const DefaultName = "Django"

// Poster stores messages by the rules: a chat.Service.
type Poster interface {
	Post(ctx context.Context, p chat.Post) (m chat.Message, duplicate bool, err error)
}

// Lease is what one of several processes can hold at a time.
type Lease interface {
	// Hold calls while whenever this process has the lease, with a context that
	// ends when it has lost it, and with held, which looks whether it has it at this
	// very moment: a process that stood still may find its context not ended yet. It
	// returns after ctx has ended and while has returned.
	Hold(ctx context.Context, while func(ctx context.Context, held func() bool))
}

// Rooms lists at most limit rooms of the log, those with the newest talk first.
type Rooms func(ctx context.Context, limit int) ([]chat.Room, error)

// Options of a Bridge. Zero fields stand for the values in brackets; those
// without are needed.
type Options struct {
	Layer     *channels.Layer // one whose subscriptions hold at least 1,000 events
	Service   Poster
	Rooms     Rooms
	Lease     Lease
	Patterns  []string     // of room names, as in path.Match; without *, ?, [ and \ a name
	Name      string       // [DefaultName]
	Usernames bool         // events that have a "username" are by that person
	Logger    *slog.Logger // [slog.Default()]

	// Neighbours is a group in which the servers with this log tell each other
	// which rooms are in use, if there are several.
	Neighbours string
}

// Bridge joins the rooms of one log with Django. Its methods may be called by
// many goroutines.
type Bridge struct {
	// fixed
	layer     *channels.Layer
	service   Poster
	list      Rooms
	lease     Lease
	site      chat.User
	usernames bool
	patterns  []string
	names     map[string]bool // patterns that are names
	log       *slog.Logger

	neighbours string // group, or "" without

	out   outbox
	rooms rooms
	count counters
}

// New makes a bridge that does nothing before Run and Publish. Its errors are
// sentences about the patterns and the name.
func New(o Options) (*Bridge, error) {
	b := &Bridge{
		layer: o.Layer, service: o.Service, list: o.Rooms, lease: o.Lease,
		usernames: o.Usernames, names: make(map[string]bool), log: o.Logger,
	}
	if b.log == nil {
		b.log = slog.Default()
	}
	name, err := chat.UserName(cmp.Or(o.Name, DefaultName))
	if err != nil {
		return nil, fmt.Errorf("the name of the Django bridge cannot be used: %w", err)
	}
	b.site = chat.User{ID: chat.BridgedID("django site", name), Name: name}
	b.rooms.init()
	if b.neighbours = o.Neighbours; b.neighbours != "" {
		b.rooms.entered = make(chan struct{}, 1)
	}
	for _, p := range o.Patterns {
		if err := b.addPattern(p); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// Run listens to Django whenever this process has the lease, until ctx ends. It
// returns when what came before is stored or 2 s have passed.
func (b *Bridge) Run(ctx context.Context) {
	posts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainWithin, cancel) })()
	if b.neighbours != "" {
		var telling sync.WaitGroup
		defer telling.Wait()
		telling.Go(func() { b.tell(ctx) })
	}
	b.lease.Hold(ctx, func(ctx context.Context, held func() bool) {
		b.count.leading.Store(true)
		defer b.count.leading.Store(false)
		b.log.Info("listening to Django", "rooms", b.shared())
		b.listen(ctx, posts, held)
		b.log.Info("not listening to Django any more")
	})
}

const drainWithin = 2 * time.Second

// Stats are what a bridge has done since it was made.
type Stats struct {
	Out uint64 // messages sent to Django
	In  uint64 // messages of Django stored

	OutDropped uint64 // messages not sent: too many waited, or the layer failed

	// messages of Django that were not stored
	Refused   uint64 // no text, or one that breaks a rule
	Limited   uint64 // too many from one room or one person
	InDropped uint64 // too many waited
	Failed    uint64 // the log did not store them
	Missed    uint64 // times that an unknown number was lost on the way
	Late      uint64 // found when another server may have had the lease, and them

	Beyond  uint64 // times that a room was not followed, for there were MaxRooms
	Rooms   int    // whose groups are followed now
	Leading bool   // this process has the lease
}

// Stats counts.
func (b *Bridge) Stats() Stats {
	c := &b.count
	return Stats{
		Out: c.out.Load(), In: c.in.Load(), OutDropped: c.outDropped.Load(), Refused: c.refused.Load(),
		Limited: c.limited.Load(), InDropped: c.inDropped.Load(), Failed: c.failed.Load(),
		Missed: c.missed.Load(), Late: c.late.Load(), Beyond: c.beyond.Load(), Rooms: int(c.rooms.Load()), Leading: c.leading.Load(),
	}
}

// counters are Stats while they grow.
type counters struct {
	out, in, outDropped, refused, limited, inDropped, failed, missed, late, beyond atomic.Uint64

	rooms   atomic.Int64
	leading atomic.Bool

	// guarded by mu
	mu     sync.Mutex
	logged map[*atomic.Uint64]time.Time
}

// logEvery bounds the log lines about losses of one kind.
const logEvery = 10 * time.Second

// lose counts a message that does not get where it should, and says so; err may
// be nil.
func (b *Bridge) lose(counter *atomic.Uint64, what, room string, err error) {
	total := counter.Add(1)
	c := &b.count
	c.mu.Lock()
	now := time.Now()
	last, before := c.logged[counter]
	tell := !before || now.Sub(last) >= logEvery
	if tell {
		if c.logged == nil {
			c.logged = make(map[*atomic.Uint64]time.Time)
		}
		c.logged[counter] = now
	}
	c.mu.Unlock()
	if tell {
		args := []any{"room", room, "total", total}
		if err != nil {
			args = append(args, "err", err)
		}
		b.log.Warn("Django bridge: "+what, args...)
	}
}
