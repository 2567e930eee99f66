package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

// expectPost reads a post.
func (p *peer) expectPost(text string) wire.Post {
	p.t.Helper()
	req := p.read()
	post, ok := req.Frame.(wire.Post)
	if !ok || post.Text != text || post.Room != "lobby" {
		p.t.Errorf("the client sent %+v, want a post of %q", req, text)
	}
	return post
}

// echo is the live message of a post.
func (p *peer) echo(post wire.Post, seq int64) {
	p.send("", wire.MessageFrame{Room: "lobby", Message: wire.Message{Seq: seq, Author: you, Text: post.Text, Nonce: post.Nonce}})
}

func TestAPostReturnsWhenItIsStored(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 6, 6)
		p.echo(p.expectPost("one"), 7)
		post := p.expectPost("two")
		p.send("", wire.ErrorFrame{Code: wire.CodeRateLimited, Message: "Slow down.", Room: "lobby", Nonce: post.Nonce, RetryMS: 1})
		if again := p.expectPost("two"); again.Nonce != post.Nonce {
			p.t.Error("it was posted again with another nonce")
		}
		p.echo(post, 8)
		post = p.expectPost("")
		p.send("", wire.ErrorFrame{Code: wire.CodeEmpty, Message: "Say something.", Room: "lobby", Nonce: post.Nonce})
		p.gone()
	})
	box := &Memory{}
	r := join(t, f.dial(&Options{Outbox: box}), nil)
	for i, text := range []string{"one", "two"} {
		got, err := r.Post(t.Context(), text)
		if err != nil || got.Seq != int64(7+i) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	var refused *Error
	if _, err := r.Post(t.Context(), ""); !errors.As(err, &refused) || refused.Code != wire.CodeEmpty {
		t.Errorf("got %v, want empty", err)
	}
	if left, _ := box.Entries(); len(left) != 0 {
		t.Errorf("the outbox still has %v", left)
	}
}

func TestAPostWithoutAnAnswerIsPostedAgainWithItsNonce(t *testing.T) {
	nonces := make(chan string, 1) // handed from one connection to the next
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		nonces <- p.expectPost("hi").Nonce // stored, and then the network fails
	}, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(0), 0, 0)
		nonce := <-nonces
		if again := p.expectPost("hi"); again.Nonce != nonce {
			p.t.Error("it was posted again with another nonce")
		}
		p.send("", wire.Ack{Room: "lobby", Nonce: nonce, Seq: 1})
		p.gone()
	})
	r := join(t, f.dial(nil), nil)
	got, err := r.Post(t.Context(), "hi")
	if err != nil || got.Seq != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAPostIsNotRefusedWhenTheServerHasForgottenTheJoin(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		post := p.expectPost("hi")
		p.send("", wire.ErrorFrame{Code: wire.CodeNotJoined, Message: "Join first.", Room: "lobby", Nonce: post.Nonce})
		p.gone()
	}, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(0), 0, 0)
		p.echo(p.expectPost("hi"), 1)
		p.gone()
	})
	r := join(t, f.dial(nil), nil)
	if _, err := r.Post(t.Context(), "hi"); err != nil {
		t.Error(err)
	}
}

func TestAPostThatNobodyWaitsForStaysInTheOutbox(t *testing.T) {
	posted := make(chan struct{})
	box := &Memory{}
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.expectPost("hi")
		close(posted)
		p.gone()
	}, func(p *peer) {
		if p.hello.Token != "token of me" {
			p.t.Errorf("the second client says token %q", p.hello.Token)
		}
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.echo(p.expectPost("hi"), 1)
		p.gone()
	})
	c := f.dial(&Options{Outbox: box})
	r := join(t, c, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-posted; cancel() }()
	_, err := r.Post(ctx, "hi")
	var pending *PendingError
	left, _ := box.Entries()
	if !errors.As(err, &pending) || !errors.Is(err, context.Canceled) || len(left) != 1 || left[0].Nonce != pending.Nonce {
		t.Fatalf("got %v with %v in the outbox", err, left)
	}
	c.Close()

	// Another process with the same outbox and token.
	r = join(t, f.dial(&Options{Outbox: box, Token: c.Token()}), nil)
	expect(t, r, 1, 1)
	if left, _ := box.Entries(); len(left) != 0 {
		t.Errorf("the outbox still has %v", left)
	}
}

func TestDialTellsWhyItFailed(t *testing.T) {
	var refused *HandshakeError
	none := script(t)
	if _, err := Dial(t.Context(), none.server.URL, nil); !errors.As(err, &refused) || refused.Status != 503 || refused.Retry != time.Second {
		t.Errorf("a refused handshake gives %v", err)
	}
	old := script(t, func(p *peer) { _ = p.conn.Close(wire.CloseBadPosition, "another epoch") })
	if _, err := Dial(t.Context(), old.server.URL, &Options{Epoch: "e0"}); !errors.Is(err, ErrReset) {
		t.Errorf("a foreign epoch gives %v", err)
	}
	out := script(t, func(p *peer) { _ = p.conn.Close(wire.CloseSignedOut, "who?") })
	var end *CloseError
	if _, err := Dial(t.Context(), out.server.URL, nil); !errors.As(err, &end) || end.Code != wire.CloseSignedOut {
		t.Errorf("a bad token gives %v", err)
	}
	for _, address := range []string{"ftp://x/", "chat.example.org", "http://", "://"} {
		if _, err := Dial(t.Context(), address, nil); err == nil {
			t.Errorf("%q was dialled", address)
		}
	}
}

func TestRequestsAreAskedAgainOnTheNextConnection(t *testing.T) {
	seen := make(chan wire.Frame, 8)
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.read() // a rename, and then the network fails
	}, func(p *peer) {
		p.welcome("e1")
		req := p.read()
		p.send(req.Ref, wire.Renamed{Person: wire.Person{ID: "me", Name: req.Frame.(wire.Rename).Name}})
		p.joined(p.expectJoin(-1), 0, 0)
		req = p.read()
		p.send(req.Ref, wire.Here{Room: "lobby", Count: 1, People: []wire.Person{you}})
		if _, typing := p.read().Frame.(wire.Typing); typing {
			p.send("", wire.TypingFrame{Room: "lobby", People: []wire.Person{you}})
		}
		p.gone()
	})
	c := f.dial(&Options{Observe: func(f wire.Frame) { seen <- f }})
	who, err := c.Rename(t.Context(), "Heron")
	if err != nil || who.Name != "Heron" || c.You().Name != "Heron" {
		t.Errorf("got %+v, %v; you are %+v", who, err, c.You())
	}
	r := join(t, c, nil)
	here, err := r.Who(t.Context(), "")
	if err != nil || here.Count != 1 {
		t.Errorf("got %+v, %v", here, err)
	}
	if err := r.Typing(t.Context()); err != nil {
		t.Error(err)
	}
	for _, want := range []string{wire.TypeRenamed, wire.TypeTyping} {
		if f := <-seen; f.FrameType() != want {
			t.Errorf("observed %s, want %s", f.FrameType(), want)
		}
	}
}
