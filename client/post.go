package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

// Posted is where a message is stored.
type Posted struct {
	Seq int64     // its number in the room
	At  time.Time // for showing; Seq is the order
}

// posting is a post that was not answered yet.
type posting struct {
	entry Entry
	done  chan outcome // holds one, which is put in when the posting leaves Room.posts
	tried bool         // guarded by Client.mu; it was sent, so that it may be stored
}

// outcome is what became of a post.
type outcome struct {
	posted Posted
	err    error // *Error or *PendingError
}

func newPosting(e Entry) *posting { return &posting{entry: e, done: make(chan outcome, 1)} }

func (p *posting) frame() wire.Post {
	return wire.Post{Room: p.entry.Room, Nonce: p.entry.Nonce, Text: p.entry.Text}
}

// Post says something in the room and returns when it is stored. A rate limit or
// a busy server is waited out. When ctx, the room or the client ends first, the
// error is a *PendingError: the message may be stored. An *Error is a refusal: it
// is not.
//
// A room has one post on its way at a time; the others wait in the order of the
// calls. A server that refuses one for the moment could store what was sent
// behind it, and nothing could put that in order again.
func (r *Room) Post(ctx context.Context, text string) (Posted, error) {
	p := newPosting(Entry{Nonce: rand.Text(), Text: text})
	if err := r.enqueue(p); err != nil {
		return Posted{}, err
	}
	var cause error
	select {
	case o := <-p.done:
		return o.posted, o.err
	case <-ctx.Done():
		cause = ctx.Err()
	case <-r.client.ctx.Done():
		cause = context.Cause(r.client.ctx)
	}
	select {
	case o := <-p.done: // it came just before the end
		return o.posted, o.err
	default:
		return Posted{}, &PendingError{Nonce: p.entry.Nonce, Cause: cause}
	}
}

// enqueue gives a post to the outbox and to the session's sender.
func (r *Room) enqueue(p *posting) error {
	c := r.client
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case r.err != nil:
		return r.err
	}
	p.entry.Room = r.name
	if refused := c.tooLong(p); refused != nil {
		return refused
	}
	if err := c.outbox.Put(p.entry); err != nil {
		return fmt.Errorf("teahouse client: keep the message: %w", err)
	}
	r.posts = append(r.posts, p)
	signal(c.unsent)
	signal(c.space) // the answer must be read
	return nil
}

// tooLong is the refusal of a post that takes more than a frame, else nil. The server
// would end the connection over such a frame each time it comes. c.mu is held.
func (c *Client) tooLong(p *posting) error {
	most := c.welcome.Limits.Frame
	if most <= 0 || len(wire.EncodeRequest("", p.frame())) <= most {
		return nil
	}
	return &Error{Code: wire.CodeTooLong, Message: fmt.Sprintf("The message takes more than %d bytes.", most)}
}

// send posts what waits to be posted, until the session ends. It alone writes
// posts, so that each room's go out in order.
func (c *Client) send(ctx context.Context, s *session) {
	for {
		frames, wait := c.due(s)
		for _, f := range frames {
			if s.write(ctx, "", f) != nil {
				return // the next session posts it
			}
		}
		var again <-chan time.Time
		if wait > 0 {
			again = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.unsent:
		case <-again:
		}
	}
}

// due is the next post of each room that has none on its way, and how long it is
// until another that was refused for the moment may be sent again; 0 is never.
func (c *Client) due(s *session) (frames []wire.Post, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, r := range c.rooms {
		if r.member != s || r.sent {
			continue
		}
		if c.giveUp(r); len(r.posts) == 0 {
			continue
		}
		if rest := r.held.Sub(now); rest > 0 {
			if wait == 0 || rest < wait {
				wait = rest
			}
			continue
		}
		r.sent, r.posts[0].tried = true, true
		frames = append(frames, r.posts[0].frame())
	}
	return frames, wait
}

// giveUp answers the first posts of a room that no frame holds: of an outbox that was
// filled elsewhere, or when the server takes less than the one before. c.mu is held.
func (c *Client) giveUp(r *Room) {
	for len(r.posts) > 0 {
		p := r.posts[0]
		err := c.tooLong(p)
		if err == nil {
			return
		}
		c.log.Warn("a message that was kept is too long for the server, and is given up", "room", r.name, "nonce", p.entry.Nonce)
		if p.tried {
			err = &PendingError{Nonce: p.entry.Nonce, Cause: err}
		}
		c.answer(p.entry.Nonce, outcome{err: err})
	}
}

// answer tells who waits for a post what became of it. c.mu is held.
func (c *Client) answer(nonce string, o outcome) {
	var refused *Error
	passing := errors.As(o.err, &refused) && refused.passing()
	for _, r := range c.rooms {
		i := slices.IndexFunc(r.posts, func(p *posting) bool { return p.entry.Nonce == nonce })
		if i < 0 {
			continue
		}
		if i == 0 {
			r.sent = false
			signal(c.unsent)
		}
		if passing {
			r.held = time.Now().Add(max(refused.Retry, 10*time.Millisecond))
			return
		}
		c.forget(nonce)
		r.posts[i].done <- o
		r.posts = slices.Delete(r.posts, i, i+1)
		return
	}
	i := slices.IndexFunc(c.stored, func(e Entry) bool { return e.Nonce == nonce })
	if i >= 0 && !passing {
		c.stored = slices.Delete(c.stored, i, i+1)
		c.forget(nonce)
	}
}

// forget takes an answered post out of the outbox. c.mu is held.
func (c *Client) forget(nonce string) {
	if err := c.outbox.Remove(nonce); err != nil {
		// Posting it again some day has no effect but an answer.
		c.log.Error("forget an answered message", "err", err)
	}
}
