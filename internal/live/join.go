package live

import (
	"context"
	"errors"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// join makes the socket a member of a room, sends what it missed and then lets
// the live messages go: each position once, ascending.
//
// The order matters. The group comes first, held, so that whatever is published
// from here on waits; then the store is read, which holds everything published
// before; then the hold lets go what the store did not have. Who missed more
// than may wait in a hold leaves the group again until catchUp has shortened it.
func (r *rich) join(ctx context.Context, c *channels.Conn, ref string, f wire.Join) error {
	about := wire.ErrorFrame{Ref: ref, Room: f.Room}
	room, err := chat.RoomSlug(f.Room)
	if err != nil {
		return r.fail(c, about, err)
	}
	if err := r.drop(ctx, c, room); err != nil {
		return err
	}
	if len(r.rooms) == wire.MaxRooms {
		about.Code, about.Message = wire.CodeTooMany, "Leave a room before joining another."
		return c.Send(frame(about))
	}
	at := r.position(f)
	if at.After > 0 && at.Epoch == "" {
		about.Code, about.Message = wire.CodeBadSeq, "A position needs its epoch: say it in hello or in join."
		return c.Send(frame(about))
	}
	group := r.server.groups.of(room)
	tail := r.server.tails.enter(room, group)
	defer func() {
		if !r.joined(room) {
			tail.leave()
		}
	}()
	hold, err := c.GroupJoin(ctx, group)
	if err != nil {
		return err
	}
	// Reads are short and not worth ending with the socket; and a context that
	// something was derived from keeps the room for it as long as it lives.
	read := context.WithoutCancel(ctx)
	if err := tail.locate(read); err != nil {
		return r.refuseJoin(ctx, c, room, about, err)
	}
	replay, err := r.server.service.Resume(read, room, at)
	if err != nil {
		return r.refuseJoin(ctx, c, room, about, err)
	}
	tail.hear(replay.Last)
	r.rooms = append(r.rooms, room)
	here := r.server.presence.join(room, r.login.User, r.socket.opened)
	err = c.SendWait(ctx, frame(wire.Joined{
		Ref: ref, Room: room, After: replay.After, Last: replay.Last, First: replay.First, Reset: replay.Reset, Here: here,
	}))
	if err != nil {
		return err
	}
	if isLong(replay) {
		if hold, replay, err = r.catchUp(ctx, c, replay); err != nil {
			return err
		}
	}
	if err := r.replay(ctx, c, replay); err != nil {
		return err
	}
	hold.Release(replay.Last)
	return nil
}

// isLong says that more was missed than is read while a group's events wait.
func isLong(r chat.Resumption) bool { return r.Last-r.After > chat.MaxReplay }

// catchUp leaves the group of a room that was joined, sends the log until not
// much of it is left, and joins again. It returns what is left. The log grows
// meanwhile, but less each time, since it is read faster than it is written; and
// whatever ends the socket, its client has got on and resumes from there.
func (r *rich) catchUp(ctx context.Context, c *channels.Conn, left chat.Resumption) (*channels.Hold, chat.Resumption, error) {
	group := r.server.groups.of(left.Room)
	if err := c.GroupDiscard(ctx, group); err != nil {
		return nil, left, err
	}
	var err error
	for isLong(left) {
		if err := r.replay(ctx, c, left); err != nil {
			return nil, left, err
		}
		if left, err = r.behind(ctx, left.Room, left.Last); err != nil {
			return nil, left, err
		}
	}
	hold, err := c.GroupJoin(ctx, group)
	if err != nil {
		return nil, left, err
	}
	left, err = r.behind(ctx, left.Room, left.After)
	return hold, left, err
}

// behind is what the log has behind a position.
func (r *rich) behind(ctx context.Context, room string, after int64) (chat.Resumption, error) {
	s := r.server.service
	left, err := s.Resume(context.WithoutCancel(ctx), room, chat.Position{After: after, Epoch: s.Epoch(), All: true})
	if err != nil {
		return left, storeFailed(err)
	}
	return left, nil
}

// replay sends what a resumption promises. It waits for a client that is slow
// to take it, and holds one page meanwhile.
func (r *rich) replay(ctx context.Context, c *channels.Conn, what chat.Resumption) error {
	for page, err := range r.server.service.Replay(context.WithoutCancel(ctx), what) {
		if err != nil {
			return storeFailed(err)
		}
		if err := c.SendWait(ctx, frame(wire.Messages{Room: what.Room, Messages: messages(page)})); err != nil {
			return err
		}
	}
	return nil
}

// position is where the client says it stands.
func (r *rich) position(f wire.Join) chat.Position {
	at := chat.Position{After: -1, Limit: f.Limit, Epoch: f.Epoch, All: f.All}
	if at.Epoch == "" {
		at.Epoch = r.epoch
	}
	if f.After != nil {
		at.After = *f.After
	}
	return at
}

// refuseJoin undoes the membership and tells the client why.
func (r *rich) refuseJoin(ctx context.Context, c *channels.Conn, room string, about wire.ErrorFrame, err error) error {
	switch {
	case errors.Is(err, chat.ErrBadEpoch):
		return &channels.CloseError{Code: wire.CloseBadPosition, Reason: "the position belongs to another epoch"}
	case chat.RetryAfter(err) > 0:
		return storeFailed(err)
	}
	if err := c.GroupDiscard(ctx, r.server.groups.of(room)); err != nil {
		return err
	}
	return r.fail(c, about, err)
}

// storeFailed ends a socket that could not be given what a room has: it comes
// back and resumes. Anything less would leave it in a room with a hole.
func storeFailed(err error) error {
	return &channels.CloseError{Code: wire.CloseOverloaded, Reason: retryReason("the room cannot be read", chat.RetryAfter(err))}
}

// history answers with one page of the log.
func (r *rich) history(ctx context.Context, c *channels.Conn, ref string, f wire.History) error {
	room, ok, err := r.room(c, ref, f.Room)
	if !ok {
		return err
	}
	within := chat.Newest(f.Limit)
	switch {
	case f.Before != nil:
		within.Before = *f.Before
	case f.After != nil:
		within.After = *f.After
	case f.Around != nil:
		within.Around = *f.Around
	}
	page, err := r.server.service.Page(context.WithoutCancel(ctx), room, within)
	if err != nil {
		return r.fail(c, wire.ErrorFrame{Ref: ref, Room: room}, err)
	}
	return c.SendWait(ctx, frame(wire.HistoryPage{
		Ref: ref, Room: room, Messages: messages(page.Messages), First: page.First, Last: page.Last,
	}))
}

// bucket is a token bucket of one socket: 120 a minute, all of them at once if
// need be. It is small, because every socket has two.
type bucket struct {
	spent float32 // tokens taken and not yet given back
	at    int64   // when spent was true, in nanoseconds
}

const (
	commandBurst = 120
	commandRate  = 2.0 // per second
)

// take takes a token and returns 0, or how long until there is one.
func (b *bucket) take(now time.Time) time.Duration {
	at := now.UnixNano()
	b.spent = max(0, b.spent-float32(float64(at-b.at)/float64(time.Second)*commandRate))
	b.at = at
	if b.spent > commandBurst-1 {
		return time.Duration(float64(b.spent-(commandBurst-1)) / commandRate * float64(time.Second))
	}
	b.spent++
	return 0
}
