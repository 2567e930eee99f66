package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

const (
	surveyEvery  = 5 * time.Second  // looks at the log for rooms that others made
	surveyNewest = 200              // rooms looked at then
	earBytes     = 1 << 20          // waiting in one room; what comes then is dropped
	saidCost     = 256              // bytes a message counts as, beside its text
	patience     = 30 * time.Second // with a log that does not store
	againAfter   = time.Second      // a subscription that failed is tried again
)

// listen follows the groups of all known rooms until ctx ends. What has come by
// then is posted, until posts ends.
func (b *Bridge) listen(ctx, posts context.Context, held func() bool) {
	ctx, cancel := context.WithCancel(ctx)
	var ears sync.WaitGroup
	defer ears.Wait()
	defer cancel()
	following := make(map[string]context.CancelFunc)
	defer b.count.rooms.Store(0)
	defer b.rooms.leave()
	if b.neighbours != "" {
		ears.Go(func() { b.overhear(ctx) })
	}

	b.survey(ctx, MaxRooms)
	ticker := time.NewTicker(surveyEvery)
	defer ticker.Stop()
	for changed := b.rooms.all(); ; changed = b.rooms.take() {
		for room, follow := range changed {
			stop, follows := following[room]
			switch {
			case follow && !follows:
				here, stop := context.WithCancel(ctx)
				following[room] = stop
				e := &ear{bridge: b, room: room, posts: posts, held: held}
				ears.Go(func() { e.hear(here) })
			case !follow && follows:
				stop()
				delete(following, room)
			}
		}
		b.count.rooms.Store(int64(len(following)))
		select {
		case <-ctx.Done():
			return
		case <-b.rooms.wake:
		case <-ticker.C:
			b.survey(ctx, surveyNewest)
			b.rooms.silence(time.Now().Add(-silentAfter))
		}
	}
}

// ear is the way from one Django group into its room. While the log stores one
// message the next wait here, and not in the layer, where they would expire.
type ear struct {
	// fixed
	bridge *Bridge
	room   string
	posts  context.Context // of posting, which outlives that of listening
	held   func() bool     // this process has the lease

	// guarded by mu
	mu      sync.Mutex
	waiting []said
	bytes   int
	posting bool
}

// said is what Django sent, ready to be posted.
type said struct {
	author chat.User
	many   bool // the author is the whole site
	text   string
}

// hear takes what Django sends, until ctx ends. It returns when all is posted.
func (e *ear) hear(ctx context.Context) {
	var posting sync.WaitGroup
	defer posting.Wait()
	group, _ := Group(e.room)
	for ctx.Err() == nil {
		events, err := e.bridge.layer.Subscribe(ctx, group)
		if err != nil {
			if ctx.Err() == nil {
				e.bridge.lose(&e.bridge.count.missed, "a group cannot be followed", e.room, err)
			}
			pause(ctx, againAfter)
			continue
		}
		for event, err := range events {
			if err != nil { // channels.ErrMissed
				e.bridge.lose(&e.bridge.count.missed, "messages of Django may be missing", e.room, err)
				continue
			}
			s, ok := e.bridge.read(e.room, event)
			switch {
			case !ok:
			case !e.held():
				// This process stood still. What it finds now, another one may have heard;
				// what it had found before, nobody else has, so that is posted.
				e.bridge.lose(&e.bridge.count.late, "a message of Django came after the lease had ended, another server may have it", e.room, nil)
			default:
				e.add(s, &posting)
			}
		}
	}
}

// add queues a message and sees to it that somebody posts it.
func (e *ear) add(s said, posting *sync.WaitGroup) {
	e.mu.Lock()
	defer e.mu.Unlock()
	cost := saidCost + len(s.text)
	if e.bytes+cost > earBytes {
		e.bridge.lose(&e.bridge.count.inDropped, "too many messages of Django wait, some are dropped", e.room, nil)
		return
	}
	e.waiting = append(e.waiting, s)
	e.bytes += cost
	if !e.posting {
		e.posting = true
		posting.Go(e.post)
	}
}

// post posts what waits, one after the other, until nothing does.
func (e *ear) post() {
	for {
		e.mu.Lock()
		if len(e.waiting) == 0 {
			e.posting = false
			e.mu.Unlock()
			return
		}
		s := e.waiting[0]
		e.waiting[0] = said{}
		e.waiting = e.waiting[1:]
		e.bytes -= saidCost + len(s.text)
		e.mu.Unlock()
		e.bridge.post(e.posts, e.room, s)
	}
}

// read understands an event of Django's. ok is false for one of ours, for those
// that are no messages, and for what cannot be one, which is counted.
func (b *Bridge) read(room string, e channels.Event) (s said, ok bool) {
	if strings.ReplaceAll(e.Type, ".", "_") != "chat_message" {
		return said{}, false
	}
	payload, _ := e.Payload.(map[string]any)
	if _, ours := payload[Marker]; ours {
		return said{}, false
	}
	text, ok := payload[keyMessage].(string)
	if !ok {
		b.lose(&b.count.refused, "an event of Django has no text as its message", room, nil)
		return said{}, false
	}
	s = said{author: b.site, many: true, text: text}
	if username, _ := payload[keyUsername].(string); b.usernames && username != "" {
		// A name that nobody may have here, such as admin, is no reason to lose
		// what was said.
		if name, err := chat.UserName(username); err == nil {
			s.author, s.many = chat.User{ID: chat.BridgedID("django", name), Name: name}, false
		}
	}
	return s, true
}

// post stores one message. The site as a whole is slowed down to its rate, a
// person above theirs is refused: the others must not wait for them.
func (b *Bridge) post(ctx context.Context, room string, s said) {
	p := chat.Post{
		Room: room, Author: s.author, Nonce: rand.Text(), Text: s.text,
		Address: "django:" + room, Patient: s.many, Many: s.many,
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, _, err := b.service.Post(ctx, p)
		var rate *chat.RateError
		wait := chat.RetryAfter(err)
		switch {
		case err == nil:
			b.count.in.Add(1)
			return
		case errors.As(err, &rate):
			b.lose(&b.count.limited, "messages of Django come too fast", room, err)
			return
		case ctx.Err() != nil || errors.Is(err, chat.ErrClosed):
			b.lose(&b.count.failed, "a message of Django was not stored", room, err)
			return
		case wait == 0:
			b.lose(&b.count.refused, "a message of Django breaks a rule", room, err)
			return
		}
		pause(ctx, wait)
	}
}

// pause waits, but no longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
