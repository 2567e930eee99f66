package live

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	helloTimeout = 10 * time.Second
	whoPage      = 100 // people in an answer to who
	joinedPage   = 50  // people in joined

	// unshownMost is how many posts of a socket wait for their room to show them.
	unshownMost = 64
)

// rich is one socket of the teahouse.v1 protocol.
type rich struct {
	server *Server

	// set by Connect
	socket socket
	locale string
	known  bool        // the person came with a cookie or bearer token
	hello  *time.Timer // closes the socket when no hello comes; nil after it

	// owned by the consumer's methods, which never run at once
	login   chat.Login
	epoch   string   // of the client's positions, from hello
	rooms   []string // joined, canonical
	bad     int      // bad frames in a row
	spent   bucket   // of commands
	refused bucket   // of commands and posts over their rates: who empties it too is closed

	posts  sync.WaitGroup // given to the log and not yet answered
	stored atomic.Bool    // the person has said something: they are not new any more

	// owned by the log's goroutine while there are posts
	unshown []wire.Ack // of what is stored and waits in a tail
}

// Connect implements channels.Consumer.
func (r *rich) Connect(_ context.Context, c *channels.Conn) error {
	login, known, err := r.socket.open(r.server, c)
	if err != nil {
		return err
	}
	r.login, r.known = login, known
	r.locale = r.server.locale(c.Request())
	r.hello = time.AfterFunc(helloTimeout, func() { c.Close(wire.CloseSignedOut, "no hello within 10 s") })
	return nil
}

// Disconnect implements channels.Consumer.
func (r *rich) Disconnect(context.Context, *channels.Conn, int) {
	if r.hello != nil {
		r.hello.Stop()
	}
	for _, room := range r.rooms {
		r.server.presence.leave(room, r.login.User.ID)
		r.server.tails.leave(r.server.groups.of(room))
	}
	r.socket.close()
}

// Receive implements channels.Consumer.
func (r *rich) Receive(ctx context.Context, c *channels.Conn, f channels.Frame) error {
	if f.Kind != channels.Text {
		return &channels.CloseError{Code: 1003, Reason: "this protocol is JSON in text frames"}
	}
	req, err := wire.Decode(f.Data)
	if r.hello != nil && (err != nil || req.Frame.FrameType() != wire.TypeHello) {
		return &channels.CloseError{Code: wire.CloseSignedOut, Reason: "say hello first"}
	}
	if err != nil {
		return r.badFrame(c, err)
	}
	r.bad = 0
	if _, post := req.Frame.(wire.Post); !post && r.server.limits.Rate > 0 {
		if wait := r.spent.take(time.Now()); wait > 0 {
			return r.overRate(c, wire.ErrorFrame{Ref: req.Ref}, &chat.RateError{Limit: chat.LimitCommands, Wait: wait})
		}
	}
	return r.do(ctx, c, req)
}

func (r *rich) badFrame(c *channels.Conn, err error) error {
	r.server.badFrames.Add(1)
	var bad *wire.Error
	if !errors.As(err, &bad) {
		return err
	}
	if r.bad++; r.bad >= maxBad {
		return &channels.CloseError{Code: wire.CloseBadEnvelopes, Reason: "ten bad frames in a row, the last: " + bad.Code}
	}
	return c.Send(frame(bad.Frame()))
}

// overRate tells a client that it is too fast, and ends one that does not care.
func (r *rich) overRate(c *channels.Conn, about wire.ErrorFrame, err error) error {
	if r.refused.take(time.Now()) > 0 {
		return &channels.CloseError{Code: wire.CloseRateLimited, Reason: retryReason("too fast for too long", 10*time.Second)}
	}
	return r.fail(c, about, err)
}

// do carries out one request.
func (r *rich) do(ctx context.Context, c *channels.Conn, req wire.Request) error {
	switch f := req.Frame.(type) {
	case wire.Hello:
		return r.sayHello(ctx, c, req.Ref, f)
	case wire.Join:
		return r.join(ctx, c, req.Ref, f)
	case wire.Leave:
		return r.leave(ctx, c, req.Ref, f)
	case wire.Post:
		return r.post(ctx, c, req.Ref, f)
	case wire.History:
		return r.history(ctx, c, req.Ref, f)
	case wire.Typing:
		return r.typing(c, req.Ref, f)
	case wire.Who:
		return r.who(c, req.Ref, f)
	case wire.Rename:
		return r.rename(ctx, c, req.Ref, f)
	default: // wire.Ping
		return c.Send(frame(wire.Pong{Ref: req.Ref}))
	}
}

func (r *rich) sayHello(ctx context.Context, c *channels.Conn, ref string, f wire.Hello) error {
	if r.hello == nil {
		return c.Send(frame(wire.ErrorFrame{Ref: ref, Code: wire.CodeAlready, Message: "Hello was said before on this socket."}))
	}
	r.hello.Stop() // hello has come: how long the store takes to know the person is not the client's fault
	if f.Epoch != "" && f.Epoch != r.server.service.Epoch() {
		return &channels.CloseError{Code: wire.CloseBadPosition, Reason: "the positions belong to another epoch"}
	}
	token := ""
	if !r.known {
		locale := f.Locale
		if locale == "" {
			locale = r.locale
		}
		var err error
		if f.Token == "" {
			token, r.login = r.server.identities.New(locale)
		} else if r.login, err = r.server.identities.FromToken(ctx, f.Token, locale); err != nil {
			if wait := chat.RetryAfter(err); wait > 0 {
				return &channels.CloseError{Code: wire.CloseOverloaded, Reason: retryReason("the store is not available", wait)}
			}
			return &channels.CloseError{Code: wire.CloseSignedOut, Reason: "the token is not valid here: leave it out to get a new one"}
		}
		if r.socket.user(r.login.User.ID) != nil {
			return &channels.CloseError{Code: wire.CloseRateLimited, Reason: retryReason(errTooManySockets.Error(), 10*time.Second)}
		}
	}
	r.hello, r.epoch = nil, f.Epoch
	return c.Send(frame(wire.Welcome{
		Ref:    ref,
		You:    person(r.login.User),
		Epoch:  r.server.service.Epoch(),
		Server: "teahouse/" + r.server.version,
		Token:  token,
		Limits: r.server.limits,
	}))
}

func (r *rich) joined(room string) bool { return slices.Contains(r.rooms, room) }

// room is the canonical spelling of a room that is joined; on a mistake the
// client has been told and ok is false.
func (r *rich) room(c *channels.Conn, ref, name string) (room string, ok bool, err error) {
	room, err = chat.RoomSlug(name)
	if err != nil {
		return "", false, r.fail(c, wire.ErrorFrame{Ref: ref, Room: name}, err)
	}
	if !r.joined(room) {
		return "", false, c.Send(frame(wire.ErrorFrame{Ref: ref, Room: room, Code: wire.CodeNotJoined, Message: "Join the room first."}))
	}
	return room, true, nil
}

func (r *rich) leave(ctx context.Context, c *channels.Conn, ref string, f wire.Leave) error {
	room, ok, err := r.room(c, ref, f.Room)
	if !ok {
		return err
	}
	if err := r.drop(ctx, c, room); err != nil {
		return err
	}
	return c.Send(frame(wire.Left{Ref: ref, Room: room}))
}

// drop takes the socket out of a room.
func (r *rich) drop(ctx context.Context, c *channels.Conn, room string) error {
	i := slices.Index(r.rooms, room)
	if i < 0 {
		return nil
	}
	r.posts.Wait() // the room is where they are answered
	unshown := r.takeUnshown(room)
	r.rooms = slices.Delete(r.rooms, i, i+1)
	r.server.presence.leave(room, r.login.User.ID)
	group := r.server.groups.of(room)
	defer r.server.tails.leave(group)
	if err := c.GroupDiscard(ctx, group); err != nil {
		return err
	}
	return sendAll(c, unshown)
}

// takeUnshown is the answers to the posts in a room that its tail has not yet
// given to its members. There are no posts meanwhile.
func (r *rich) takeUnshown(room string) (acks []wire.Ack) {
	r.unshown = slices.DeleteFunc(r.unshown, func(a wire.Ack) bool {
		if a.Room == room && !r.shown(a) {
			acks = append(acks, a)
		}
		return a.Room == room
	})
	return acks
}

// shown says that a message of the socket has gone to its room.
func (r *rich) shown(a wire.Ack) bool {
	return r.server.tails == nil || r.server.tails.of(r.server.groups.of(a.Room)).shows(a.Seq)
}

func sendAll(c *channels.Conn, acks []wire.Ack) error {
	for _, a := range acks {
		if err := c.Send(frame(a)); err != nil {
			return err
		}
	}
	return nil
}

// post hands the text to the log and returns; what comes of it is told when
// the log says so, in the order of the posts.
func (r *rich) post(ctx context.Context, c *channels.Conn, ref string, f wire.Post) error {
	about := wire.ErrorFrame{Ref: ref, Room: f.Room, Nonce: f.Nonce}
	room, err := chat.RoomSlug(f.Room)
	if err != nil {
		return r.fail(c, about, err)
	}
	if !r.joined(room) {
		about.Code, about.Message = wire.CodeNotJoined, "Join the room first."
		return c.Send(frame(about))
	}
	done := func(m chat.Message, duplicate bool, err error) {
		// Runs on the log's goroutine. A socket that has ended meanwhile
		// needs no answer: its client will post the nonce again.
		defer r.posts.Done()
		if err != nil {
			_ = r.fail(c, about, err)
			return
		}
		ack := wire.Ack{Ref: ref, Room: room, Nonce: m.Nonce, Seq: m.Seq, At: wire.Time{Time: m.At}}
		if duplicate {
			_ = c.Send(frame(ack))
			return
		}
		r.stored.Store(true)
		if r.unshown = slices.DeleteFunc(r.unshown, r.shown); !r.shown(ack) {
			r.unshown = append(r.unshown, ack)
		}
		if len(r.unshown) > unshownMost { // all are stored, and the room shows the first later
			_ = c.Send(frame(r.unshown[0]))
			r.unshown = slices.Delete(r.unshown, 0, 1)
		}
	}
	login := r.author()
	r.posts.Add(1)
	err = r.server.service.Submit(ctx, chat.Post{
		Room: room, Author: login.User, Login: login, Nonce: f.Nonce, Text: f.Text, Address: r.socket.address,
	}, done)
	if err == nil {
		return nil
	}
	r.posts.Done() // refused at once
	var rate *chat.RateError
	if errors.As(err, &rate) {
		return r.overRate(c, about, err)
	}
	return r.fail(c, about, err)
}

// author is the login for a post or a name.
func (r *rich) author() *chat.Login {
	login := r.login
	login.New = login.New && !r.stored.Load()
	return &login
}

func (r *rich) typing(c *channels.Conn, ref string, f wire.Typing) error {
	room, ok, err := r.room(c, ref, f.Room)
	if ok {
		r.server.presence.typing(room, r.login.User.ID)
	}
	return err
}

func (r *rich) who(c *channels.Conn, ref string, f wire.Who) error {
	room, ok, err := r.room(c, ref, f.Room)
	if !ok {
		return err
	}
	here := r.server.presence.page(room, f.After, whoPage)
	here.Ref, here.Room = ref, room
	return c.Send(frame(here))
}

func (r *rich) rename(ctx context.Context, c *channels.Conn, ref string, f wire.Rename) error {
	user, err := r.server.service.Rename(ctx, chat.Naming{
		User: r.login.User, Login: r.author(), Name: f.Name, Address: r.socket.address,
	})
	if err != nil {
		return r.fail(c, wire.ErrorFrame{Ref: ref}, err)
	}
	r.login.User = user
	return c.Send(frame(wire.Renamed{Ref: ref, Person: person(user)}))
}

// Renamed tells the rooms a person is in of their new name: chat.Options.Renamed.
func (s *Server) Renamed(u chat.User) { s.presence.rename(u) }

// fail tells the client what went wrong; about says with what.
func (r *rich) fail(c *channels.Conn, about wire.ErrorFrame, err error) error {
	about.Code, about.Message = chat.Code(err)
	about.RetryMS = chat.RetryAfter(err).Milliseconds()
	return c.Send(frame(about))
}
