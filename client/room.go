package client

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

// queueSize is how many messages a room keeps for Next.
const queueSize = 1024

// From is where a Room begins.
type From struct {
	// After is the seq of the last message that is known already; Next begins
	// behind it. It belongs to Options.Epoch. A nil After begins with the newest
	// Limit messages, and 0 with the first message of the room.
	After *int64
	Limit int // at most wire.MaxHistory; 0 is 50

	// All has the server send what was missed in one go, however much, as fast
	// as Next takes it; the client's other rooms wait meanwhile. While a request or
	// a post is unanswered nothing waits for Next: what it has no space for then is
	// asked for page by page. Without All so is all above wire.MaxReplay messages.
	All bool
}

// Room is a log that the client follows. Only one goroutine at a time may call
// Next or range over Messages; everything else is free.
type Room struct {
	// fixed
	client *Client
	asked  string // the name given to Join
	from   From
	ready  chan struct{} // holds a token when Next has something to look at

	// guarded by client.mu
	name   string // canonical, known after the first answer
	last   int64  // seq of the newest message queued; -1 before the first position
	behind bool   // what follows last is fetched by Next; nothing is queued
	queue  []item
	err    error      // why the room ended
	posts  []*posting // unanswered, in the order of Post
	member *session   // the last one that has joined the room
	sent   bool       // the first of posts is on its way there
	held   time.Time  // when the first of posts may be sent again
}

// item is a message or, instead, an error that Next returns once.
type item struct {
	message wire.Message
	err     error
}

// Join begins to follow a room and returns when the server has answered. A room
// may be joined once per client; errors are *Error, or of the client or context.
func (c *Client) Join(ctx context.Context, name string, from *From) (*Room, error) {
	if from == nil {
		from = &From{}
	}
	r := &Room{client: c, asked: name, name: name, from: *from, last: -1, ready: make(chan struct{}, 1)}
	if from.After != nil {
		r.last = *from.After
	}
	if err := r.join(ctx); err != nil {
		c.mu.Lock()
		c.rooms = slices.DeleteFunc(c.rooms, func(o *Room) bool { return o == r })
		c.mu.Unlock()
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i < len(c.stored); {
		if e := c.stored[i]; e.Room == r.name {
			c.stored = slices.Delete(c.stored, i, i+1)
			r.posts = append(r.posts, newPosting(e))
			continue
		}
		i++
	}
	signal(c.unsent)
	return r, nil
}

// join asks for the room from where it stands, until the server has answered.
func (r *Room) join(ctx context.Context) error {
	c := r.client
	for {
		s, err := c.connected(ctx, nil)
		if err != nil {
			return err
		}
		got := make(chan wire.Frame, 1)
		c.mu.Lock()
		if err := r.err; err != nil {
			c.mu.Unlock()
			return err // such as ErrLeft, while Next was about to join again
		}
		if !slices.Contains(c.rooms, r) {
			c.rooms = append(c.rooms, r)
		}
		take := r.answered(s)
		ref := c.expect(true, func(f wire.Frame) { take(f); got <- f })
		position := r.position()
		c.mu.Unlock()
		_, err = s.exchange(ctx, ref, position, got)
		c.desert(ref)
		var refused *Error
		switch {
		case errors.Is(err, errSessionEnded):
			if _, err := c.connected(ctx, s); err != nil {
				return err
			}
		case errors.As(err, &refused) && refused.passing():
			if err := pause(ctx, refused.Retry); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// position is the request for what the room does not have. client.mu is held.
func (r *Room) position() wire.Join {
	j := wire.Join{Room: r.name, Epoch: r.client.epoch, Limit: r.from.Limit, All: r.from.All}
	if r.last >= 0 {
		after := r.last
		j.After = &after
	}
	return j
}

// answered is what happens with the answer to a join. It runs with client.mu
// held.
func (r *Room) answered(s *session) func(wire.Frame) {
	return func(f wire.Frame) {
		switch f := f.(type) {
		case wire.Joined:
			r.name = f.Room
			switch {
			case r.last < 0:
				r.last = f.After
			case f.Reset || f.After > r.last:
				r.behind = true // more was missed than is replayed: Next pages through it
			default:
				r.behind = false
			}
			if r.member != s {
				r.member, r.sent = s, false
			}
			signal(r.client.unsent)
		case wire.ErrorFrame:
			switch bad := refusal(f); {
			case bad.Code == wire.CodeBadSeq:
				r.reset()
				r.behind = true
			case !bad.passing() && r.err == nil:
				r.end(bad)
			}
		}
		r.wake()
	}
}

// end ends the room. What it had to post waits for another Join. client.mu is
// held.
func (r *Room) end(err error) {
	c := r.client
	r.err = err
	c.rooms = slices.DeleteFunc(c.rooms, func(o *Room) bool { return o == r })
	for _, p := range r.posts {
		c.stored = append(c.stored, p.entry)
		p.done <- outcome{err: &PendingError{Nonce: p.entry.Nonce, Cause: err}}
	}
	r.posts = nil
	r.wake()
}

// take queues a message that follows what is there. Of a replay the server may
// be told to wait, so it is taken whole; see awaitSpace. client.mu is held.
func (r *Room) take(m wire.Message, replay bool) {
	full := len(r.queue) >= queueSize && !(replay && r.from.All && !r.client.awaited())
	switch {
	case r.behind || m.Seq <= r.last:
	case m.Seq > r.last+1 && r.last >= 0 || full:
		r.behind = true
	default:
		r.queue = append(r.queue, item{message: m})
		r.last = m.Seq
	}
	r.wake()
}

// reset makes the room begin anew. client.mu is held.
func (r *Room) reset() {
	r.last, r.behind = -1, false
	r.queue = append(r.queue, item{err: ErrReset})
	r.wake()
}

// wake lets Next look again, and awaitSpace. client.mu is held.
func (r *Room) wake() {
	signal(r.ready)
	signal(r.client.space)
}

// signal puts a token into a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// awaitSpace keeps the client from reading on while Next has enough to do with
// a replay: the server then waits too. Who waits for an answer, which comes behind
// the replay, may be the one who would call Next, so that goes first.
func (r *Room) awaitSpace(ctx context.Context, s *session) {
	for {
		c := r.client
		c.mu.Lock()
		enough := r.from.All && len(r.queue) >= queueSize && !r.behind && r.err == nil && c.err == nil && !c.awaited()
		c.mu.Unlock()
		s.paced.Store(enough)
		if !enough {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-c.space:
		}
	}
}

// Name is the canonical spelling of the room's name.
func (r *Room) Name() string {
	r.client.mu.Lock()
	defer r.client.mu.Unlock()
	return r.name
}

// Next is the next message, waiting for it if need be. Each comes once, in
// ascending seq, without holes. ErrReset says that a new log begins; after any
// other error but that of ctx the room has ended.
func (r *Room) Next(ctx context.Context) (wire.Message, error) {
	c := r.client
	for {
		c.mu.Lock()
		if len(r.queue) > 0 {
			next := r.queue[0]
			r.queue = r.queue[1:]
			signal(c.space)
			c.mu.Unlock()
			return next.message, next.err
		}
		r.queue = nil
		err, behind, after := r.err, r.behind, r.last
		if err == nil {
			err = c.err
		}
		c.mu.Unlock()
		switch {
		case err != nil:
			return wire.Message{}, err
		case behind:
			if err := r.fetch(ctx, after); err != nil {
				return wire.Message{}, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return wire.Message{}, ctx.Err()
		case <-r.ready:
		}
	}
}

// fetch queues a page of what follows a position. When the log's end is near it
// joins again, so that the room is live from there.
func (r *Room) fetch(ctx context.Context, after int64) error {
	if after < 0 {
		return r.join(ctx)
	}
	page, err := r.History(ctx, wire.History{After: &after, Limit: wire.MaxHistory})
	if err != nil {
		return r.mend(ctx, err)
	}
	r.client.mu.Lock()
	for _, m := range page.Messages {
		if r.behind && m.Seq == r.last+1 {
			r.queue = append(r.queue, item{message: m})
			r.last = m.Seq
		}
	}
	r.client.mu.Unlock()
	if !page.Last {
		return nil
	}
	return r.join(ctx)
}

// mend joins again when the server does not know the socket as a member, as
// after a join that it refused for the moment.
func (r *Room) mend(ctx context.Context, err error) error {
	var refused *Error
	if errors.As(err, &refused) && refused.Code == wire.CodeNotJoined {
		return r.join(ctx)
	}
	return err
}

// Messages ranges over Next until an error other than ErrReset, which is the last
// element; ErrReset stands between messages.
func (r *Room) Messages(ctx context.Context) iter.Seq2[wire.Message, error] {
	return func(yield func(wire.Message, error) bool) {
		for {
			m, err := r.Next(ctx)
			if !yield(m, err) || err != nil && !errors.Is(err, ErrReset) {
				return
			}
		}
	}
}

// History is a page of the log. At most one of Before, After and Around is set;
// the room is filled in. Look at First and Last for more, never at the count.
func (r *Room) History(ctx context.Context, within wire.History) (wire.HistoryPage, error) {
	within.Room = r.Name()
	f, err := r.client.ask(ctx, within)
	page, ok := f.(wire.HistoryPage)
	if err != nil || !ok {
		return wire.HistoryPage{}, unexpected(f, err)
	}
	return page, nil
}

// Who is a page of the people in the room, behind the given id; empty is the
// beginning.
func (r *Room) Who(ctx context.Context, after string) (wire.Here, error) {
	f, err := r.client.ask(ctx, wire.Who{Room: r.Name(), After: after})
	here, ok := f.(wire.Here)
	if err != nil || !ok {
		return wire.Here{}, unexpected(f, err)
	}
	return here, nil
}

// Typing tells the room that the client's person is writing, if it is connected:
// it is good for six seconds and best effort.
func (r *Room) Typing(ctx context.Context) error {
	s, err := r.client.connected(ctx, nil)
	if err != nil {
		return err
	}
	return s.write(context.WithoutCancel(ctx), "", wire.Typing{Room: r.Name()})
}

// Leave ends the room; Next returns ErrLeft from then on. A Post that waits ends
// with a *PendingError.
func (r *Room) Leave(ctx context.Context) error {
	c := r.client
	c.mu.Lock()
	r.end(ErrLeft)
	name := r.name
	c.mu.Unlock()
	_, err := c.ask(ctx, wire.Leave{Room: name})
	var refused *Error
	if errors.As(err, &refused) && refused.Code == wire.CodeNotJoined {
		return nil // the connection was lost in between, and the room with it
	}
	return err
}
