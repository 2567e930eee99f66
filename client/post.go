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
	done  chan outcome // holds one
}

// outcome is the answer to a post.
type outcome struct {
	posted Posted
	err    error // *Error
}

// Post says something in the room and returns when it is stored. A rate limit or
// a busy server is waited out. When ctx or the client ends first, the error is a
// *PendingError: the message may be stored. An *Error is a refusal: it is not.
func (r *Room) Post(ctx context.Context, text string) (Posted, error) {
	c := r.client
	p := &posting{entry: Entry{Nonce: rand.Text(), Text: text}, done: make(chan outcome, 1)}
	c.mu.Lock()
	err := c.err
	if err == nil {
		err = r.err
	}
	p.entry.Room = r.name
	if err == nil {
		if err = c.outbox.Put(p.entry); err != nil {
			err = fmt.Errorf("teahouse client: keep the message: %w", err)
		}
	}
	if err != nil {
		c.mu.Unlock()
		return Posted{}, err
	}
	c.posts = append(c.posts, p)
	s := c.session
	c.mu.Unlock()
	for {
		if s != nil {
			// What cannot be written now is posted by the next session.
			_ = s.write(context.WithoutCancel(ctx), "", p.frame())
		}
		select {
		case o := <-p.done:
			var refused *Error
			if !errors.As(o.err, &refused) || !refused.passing() {
				return o.posted, o.err
			}
			if err := pause(ctx, refused.Retry); err != nil {
				return Posted{}, &PendingError{Nonce: p.entry.Nonce, Cause: err}
			}
		case <-ctx.Done():
			return Posted{}, &PendingError{Nonce: p.entry.Nonce, Cause: ctx.Err()}
		case <-c.ctx.Done():
			return Posted{}, &PendingError{Nonce: p.entry.Nonce, Cause: context.Cause(c.ctx)}
		}
		c.mu.Lock()
		s = c.session
		c.mu.Unlock()
	}
}

func (p *posting) frame() wire.Post {
	return wire.Post{Room: p.entry.Room, Nonce: p.entry.Nonce, Text: p.entry.Text}
}

// answer tells who waits for a post. c.mu is held.
func (c *Client) answer(nonce string, o outcome) {
	i := slices.IndexFunc(c.posts, func(p *posting) bool { return p.entry.Nonce == nonce })
	if i < 0 {
		return
	}
	p := c.posts[i]
	var refused *Error
	if !errors.As(o.err, &refused) || !refused.passing() {
		c.posts = slices.Delete(c.posts, i, i+1)
		if err := c.outbox.Remove(nonce); err != nil {
			// Posting it again some day has no effect but an answer.
			c.log.Error("forget a stored message", "err", err)
		}
	}
	select {
	case p.done <- o:
	default: // an answer that nobody has fetched is there already
	}
}

// repost sends everything of the room that was not answered, in the order it was
// posted, on a session that has joined the room. client.mu is held.
func (r *Room) repost(s *session) {
	var frames []wire.Post
	for _, p := range r.client.posts {
		if p.entry.Room == r.name {
			frames = append(frames, p.frame())
		}
	}
	if len(frames) == 0 {
		return
	}
	ctx := r.client.ctx
	s.wg.Go(func() {
		for _, f := range frames {
			if s.write(ctx, "", f) != nil {
				return // the next session posts them
			}
		}
	})
}
