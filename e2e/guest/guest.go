// Package guest is somebody who speaks the rich protocol in tests.
//
// A Guest is one socket, driven step by step by one goroutine. A Member is a
// person who stays through broken connections: it resumes, posts again what was
// not acknowledged, and checks everything it is told against the promises.
package guest

import (
	"errors"
	"fmt"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// Patience bounds waits for what the server does at once unless there is a bug.
const Patience = socket.Patience

// Guest is one socket. Its methods belong to one goroutine.
type Guest struct {
	*socket.Conn
	Welcome wire.Welcome
}

// Dial opens a socket of the rich protocol and says nothing yet.
func Dial(address string, lines ...string) (*Guest, error) {
	lines = append([]string{"Sec-WebSocket-Protocol: " + wire.Subprotocol}, lines...)
	c, err := socket.Dial(address, "/ws", lines...)
	if err != nil {
		return nil, err
	}
	return &Guest{Conn: c}, nil
}

// Enter opens a socket, says hello and reads the welcome.
func Enter(address string, hello wire.Hello, lines ...string) (*Guest, error) {
	g, err := Dial(address, lines...)
	if err != nil {
		return nil, err
	}
	if err = g.Say("", hello); err == nil {
		g.Welcome, err = Await[wire.Welcome](g)
	}
	if err == nil && g.Welcome.You.ID == "" {
		err = errors.New("the welcome names nobody")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("say hello: %w", err), g.Close())
	}
	return g, nil
}

// Say sends a frame; ref may be empty.
func (g *Guest) Say(ref string, f wire.Frame) error {
	return g.Send(socket.Frame(socket.FIN|socket.Text, wire.EncodeRequest(ref, f)))
}

// Next is the next frame of a type that this test knows. The server's close is
// a *socket.Close.
func (g *Guest) Next(within time.Duration) (wire.Frame, error) {
	for {
		text, err := g.ReadText(within)
		if err != nil {
			return nil, err
		}
		f, err := wire.DecodeServer([]byte(text))
		if err != nil || f != nil {
			return f, err
		}
	}
}

// Await passes over other frames until one of type F. An error frame is a
// *Mistake, unless that is what is awaited.
func Await[F wire.Frame](g *Guest) (F, error) {
	for {
		f, err := g.Next(Patience)
		if err != nil {
			return *new(F), fmt.Errorf("await %s: %w", (*new(F)).FrameType(), err)
		}
		if wanted, ok := f.(F); ok {
			return wanted, nil
		}
		if e, ok := f.(wire.ErrorFrame); ok {
			return *new(F), &Mistake{e}
		}
	}
}

// Mistake is an error frame.
type Mistake struct{ wire.ErrorFrame }

func (m *Mistake) Error() string { return fmt.Sprintf("error frame %s: %s", m.Code, m.Message) }

// Join joins a room and reads up to the end of the replay.
func (g *Guest) Join(j wire.Join) (wire.Joined, []wire.Message, error) {
	if err := g.Say("join", j); err != nil {
		return wire.Joined{}, nil, err
	}
	joined, err := Await[wire.Joined](g)
	if err != nil {
		return joined, nil, err
	}
	var all []wire.Message
	for at := joined.After; at < joined.Last; {
		page, err := Await[wire.Messages](g)
		if err != nil {
			return joined, all, err
		}
		all = append(all, page.Messages...)
		at = page.Messages[len(page.Messages)-1].Seq
	}
	return joined, all, nil
}

// Post posts and waits for the acknowledgement: the seq, and whether it came as
// an ack because the nonce was stored before.
func (g *Guest) Post(p wire.Post) (seq int64, again bool, err error) {
	if err := g.Say("post", p); err != nil {
		return 0, false, err
	}
	for {
		f, err := g.Next(Patience)
		if err != nil {
			return 0, false, fmt.Errorf("await acknowledgement: %w", err)
		}
		switch f := f.(type) {
		case wire.MessageFrame:
			if f.Author.ID == g.Welcome.You.ID && f.Nonce == p.Nonce {
				return f.Seq, false, nil
			}
		case wire.Ack:
			if f.Nonce == p.Nonce {
				return f.Seq, true, nil
			}
		case wire.ErrorFrame:
			if f.Nonce == p.Nonce || f.Ref == "post" {
				return 0, false, &Mistake{f}
			}
		}
	}
}
