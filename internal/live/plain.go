package live

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// maxBad is how many bad frames in a row a client may send.
const maxBad = 10

// plain is one socket of the plain protocol: one room, and no way to tell the
// client of a mistake.
type plain struct {
	server *Server

	// set by Connect
	socket socket
	room   string
	login  chat.Login

	// owned by Receive
	bad int // bad frames in a row
}

// Connect implements channels.Consumer.
func (p *plain) Connect(ctx context.Context, c *channels.Conn) error {
	s := p.server
	room, err := chat.RoomSlug(c.Request().PathValue("room"))
	if err != nil {
		return &channels.Refusal{Status: http.StatusNotFound, Text: err.Error()}
	}
	p.room = room
	login, known, err := p.socket.open(s, c)
	if err != nil {
		return err
	}
	if !known {
		_, login = s.identities.New(s.locale(c.Request()))
		if err := p.socket.user(login.User.ID); err != nil {
			p.socket.close()
			return err
		}
	}
	p.login = login
	if err := p.enter(ctx, c); err != nil {
		p.socket.close()
		return err
	}
	s.presence.join(room, login.User, p.socket.opened)
	return nil
}

// enter makes the socket a member of its room, from where the room is now.
func (p *plain) enter(ctx context.Context, c *channels.Conn) error {
	s, group := p.server, p.server.groups.of(p.room)
	tail := s.tails.enter(p.room, group)
	err := c.GroupAdd(ctx, group)
	if err == nil {
		if err = tail.locate(ctx); err != nil {
			err = refuse(http.StatusServiceUnavailable, max(chat.RetryAfter(err), time.Second), "The store is not available.")
		}
	}
	if err != nil {
		tail.leave()
	}
	return err
}

// Disconnect implements channels.Consumer.
func (p *plain) Disconnect(context.Context, *channels.Conn, int) {
	p.server.presence.leave(p.room, p.login.User.ID)
	p.server.tails.leave(p.server.groups.of(p.room))
	p.socket.close()
}

// Receive implements channels.Consumer. It does not return before the message
// is stored, and while it runs nothing more is read: that is how a sender over
// the rate, or ahead of a troubled store, is slowed down instead of losing
// messages.
func (p *plain) Receive(ctx context.Context, _ *channels.Conn, f channels.Frame) error {
	err := p.post(ctx, f)
	if err == nil {
		p.bad = 0
		return nil
	}
	if ctx.Err() != nil {
		return nil // the socket ended while the message waited
	}
	if chat.RetryAfter(err) > 0 {
		return &channels.CloseError{Code: wire.CloseOverloaded, Reason: retryReason("the message could not be stored", chat.RetryAfter(err))}
	}
	p.server.badFrames.Add(1)
	if p.bad++; p.bad < maxBad {
		return nil
	}
	return &channels.CloseError{Code: 1008, Reason: "ten frames in a row were not {\"message\": text}"}
}

var errNotText = errors.New("a plain frame is text")

func (p *plain) post(ctx context.Context, f channels.Frame) error {
	if f.Kind != channels.Text {
		return errNotText
	}
	text, err := wire.DecodePlain(f.Data)
	if err != nil {
		return err
	}
	err = p.server.postPatiently(ctx, chat.Post{
		Room:    p.room,
		Author:  p.login.User,
		Login:   &p.login,
		Nonce:   rand.Text(),
		Text:    text,
		Address: p.socket.address,
		Patient: true,
	})
	if err == nil {
		p.login.New = false
	}
	return err
}

// patience is how long a plain message is tried again before its socket is
// closed: then at least the sender sees that something was lost.
const patience = 30 * time.Second

// postPatiently posts, and waits out refusals that pass.
func (s *Server) postPatiently(ctx context.Context, post chat.Post) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, _, err := s.service.Post(ctx, post)
		wait := chat.RetryAfter(err)
		if wait == 0 {
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}
