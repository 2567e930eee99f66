package live

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Follow gives a room's messages after a position to send, in pages and each
// once ascending, until ctx ends or send fails. Nothing is left out however
// slow send is: the layer only says that there is more, and the log is read.
// idle is called after every pause of the given length without a message.
func (s *Server) Follow(ctx context.Context, room string, after int64, send func([]chat.Message) error, idle func() error) error {
	slug, err := chat.RoomSlug(room)
	if err != nil {
		return err
	}
	name, channel := s.groups.of(slug), s.layer.NewChannel("follow")
	tail := s.tails.enter(slug, name)
	defer tail.leave()
	defer s.layer.GroupDiscard(context.WithoutCancel(ctx), name, channel)
	for {
		// Again each time: a membership of a channel expires, see LayerOptions.
		if err := s.layer.GroupAdd(ctx, name, channel); err != nil {
			return fmt.Errorf("follow a room: %w", err)
		}
		if err := tail.locate(ctx); err != nil {
			return err
		}
		if after, err = s.sendAfter(ctx, slug, after, send); err != nil {
			return err
		}
		if err := s.awaitMessage(ctx, channel, after, idle); err != nil {
			return err
		}
	}
}

// sendAfter sends all that the log has after a position and returns the last.
func (s *Server) sendAfter(ctx context.Context, room string, after int64, send func([]chat.Message) error) (int64, error) {
	for {
		page, err := s.service.Page(ctx, room, chat.Range{Before: -1, After: after, Around: -1, Limit: chat.MaxPage})
		if err != nil {
			return after, err
		}
		if len(page.Messages) == 0 {
			return after, nil
		}
		if err := send(page.Messages); err != nil {
			return after, err
		}
		after = page.Messages[len(page.Messages)-1].Seq
	}
}

// followIdle is how long a follower hears nothing before idle is called and
// the log is looked at all the same.
const followIdle = 15 * time.Second

// awaitMessage waits until the room has a message after a position.
func (s *Server) awaitMessage(ctx context.Context, channel string, after int64, idle func() error) error {
	wait, cancel := context.WithTimeout(ctx, followIdle)
	defer cancel()
	for {
		e, err := s.layer.Receive(wait, channel)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			return idle()
		case err != nil:
			return fmt.Errorf("follow a room: %w", err)
		case e.Type == eventMessage && e.Seq > after:
			return nil
		}
	}
}
