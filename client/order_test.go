package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

// refuse says "not now" to a post.
func (p *peer) refuse(post wire.Post, retry time.Duration) {
	p.send("", wire.ErrorFrame{
		Code: wire.CodeRateLimited, Message: "Slow down.", Room: post.Room, Nonce: post.Nonce, RetryMS: retry.Milliseconds(),
	})
}

// stores answers these posts, which must come in this order, and refuses each
// for a moment before.
func (p *peer) stores(texts ...string) {
	for i, text := range texts {
		first := p.expectPost(text)
		p.refuse(first, time.Millisecond)
		again := p.expectPost(text)
		if again.Nonce != first.Nonce {
			p.t.Errorf("%q was posted again with another nonce", text)
		}
		p.echo(again, int64(i+1))
	}
}

// texts reads as many messages from the room and says what is in them.
func texts(t *testing.T, r *Room, n int) (all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range n {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %q: %v", all, err)
		}
		all = append(all, m.Text)
	}
	return all
}

func TestPostsThatNobodyWaitsForAreSentAgainInOrder(t *testing.T) {
	want := []string{"0", "1", "2", "3"}
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.stores(want...)
		p.gone()
	})
	box := &Memory{}
	r := join(t, f.dial(&Options{Outbox: box}), nil)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range want {
		var pending *PendingError
		if _, err := r.Post(over, text); !errors.As(err, &pending) {
			t.Fatalf("%q: got %v, want a PendingError", text, err)
		}
	}
	if got := texts(t, r, len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the room has %q, want %q", got, want)
	}
	if left, _ := box.Entries(); len(left) != 0 {
		t.Errorf("the outbox still has %v", left)
	}
}

func TestAnOutboxIsPostedInOrderThoughTheServerRefusesEachForAMoment(t *testing.T) {
	var want []string
	box := &Memory{}
	for i := range 50 {
		text := fmt.Sprint(i)
		want = append(want, text)
		if err := box.Put(Entry{Room: "lobby", Nonce: "nonce-" + text, Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.stores(want...)
		p.gone()
	})
	r := join(t, f.dial(&Options{Outbox: box}), nil)
	if got := texts(t, r, len(want)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the room has %q, want %q", got, want)
	}
	if left, _ := box.Entries(); len(left) != 0 {
		t.Errorf("the outbox still has %v", left)
	}
}

func TestPostsKeepTheirOrderWhenTheConnectionEndsUnderOneThatIsHeld(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.refuse(p.expectPost("0"), time.Millisecond)
		p.expectPost("0") // and then the network fails
	}, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(0), 0, 0)
		p.stores("0", "1")
		p.gone()
	})
	r := join(t, f.dial(nil), nil)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range []string{"0", "1"} {
		if _, err := r.Post(over, text); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	}
	if got := texts(t, r, 2); got[0] != "0" || got[1] != "1" {
		t.Errorf("the room has %q", got)
	}
}

func TestARoomThatIsRefusedHoldsUpNoOther(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		for range 2 {
			req := p.read()
			p.send(req.Ref, wire.Joined{Room: req.Frame.(wire.Join).Room})
		}
		held, _ := p.read().Frame.(wire.Post)
		p.refuse(held, time.Hour)
		free, ok := p.read().Frame.(wire.Post)
		if !ok || free.Room != "b" {
			p.t.Errorf("the client sent %+v, want the post of room b", free)
		}
		p.send("", wire.Ack{Room: "b", Nonce: free.Nonce, Seq: 1})
		p.gone()
	})
	c := f.dial(nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	a, err := c.Join(ctx, "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.Join(ctx, "b", nil)
	if err != nil {
		t.Fatal(err)
	}
	over, end := context.WithCancel(ctx)
	end()
	if _, err := a.Post(over, "held"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got, err := b.Post(ctx, "free"); err != nil || got.Seq != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPostReturnsWhateverRefusalsCameBeforeTheMessage(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 6, 6)
		post := p.expectPost("one")
		p.refuse(post, time.Millisecond) // two copies: one refused, twice; the other stored
		p.refuse(post, time.Millisecond)
		p.echo(post, 7)
		p.gone()
	})
	r := join(t, f.dial(nil), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := r.Post(ctx, "one"); err != nil || got.Seq != 7 {
		t.Errorf("got %+v, %v: the message is stored, and Post does not know", got, err)
	}
}

func TestAPostThatTheServerWouldEndTheConnectionOverIsRefusedAtOnce(t *testing.T) {
	f := script(t, func(p *peer) {
		p.send("", wire.Welcome{You: you, Epoch: "e1", Limits: wire.Limits{Frame: 1000}})
		p.joined(p.expectJoin(-1), 0, 0)
		p.echo(p.expectPost("hi"), 1)
		p.gone()
	})
	box := &Memory{}
	r := join(t, f.dial(&Options{Outbox: box}), nil)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var refused *Error
	if _, err := r.Post(ctx, strings.Repeat("x", 1000)); !errors.As(err, &refused) || refused.Code != wire.CodeTooLong {
		t.Errorf("got %v, want too_long", err)
	}
	if left, _ := box.Entries(); len(left) != 0 {
		t.Errorf("the outbox has %v", left)
	}
	if _, err := r.Post(ctx, "hi"); err != nil {
		t.Errorf("the next post: %v", err)
	}
}

func TestPostEndsWithItsRoomAndGoesOnWithTheNextJoin(t *testing.T) {
	posted := make(chan struct{})
	for name, test := range map[string]struct {
		steps []func(*peer)
		end   func(context.Context, *Room) error
		is    func(error) bool
	}{
		"refused for good when it comes back": {
			[]func(*peer){func(p *peer) {
				p.welcome("e1")
				p.joined(p.expectJoin(-1), 0, 0)
				p.expectPost("hi") // and then the network fails
				posted <- struct{}{}
			}, func(p *peer) {
				p.welcome("e1")
				p.send(p.expectJoin(0).Ref, wire.ErrorFrame{Code: wire.CodeTooMany, Message: "Too many rooms."})
				p.joined(p.expectJoin(-1), 0, 0)
				p.echo(p.expectPost("hi"), 1)
				p.gone()
			}},
			func(ctx context.Context, r *Room) error { _, err := r.Next(ctx); return err },
			func(err error) bool {
				var refused *Error
				return errors.As(err, &refused) && refused.Code == wire.CodeTooMany
			},
		},
		"left": {
			[]func(*peer){func(p *peer) {
				p.welcome("e1")
				p.joined(p.expectJoin(-1), 0, 0)
				p.expectPost("hi")
				posted <- struct{}{}
				p.send(p.read().Ref, wire.Left{Room: "lobby"})
				p.joined(p.expectJoin(-1), 0, 0)
				p.echo(p.expectPost("hi"), 1)
				p.gone()
			}},
			func(ctx context.Context, r *Room) error { return errors.Join(r.Leave(ctx), ErrLeft) },
			func(err error) bool { return errors.Is(err, ErrLeft) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			box := &Memory{}
			c := script(t, test.steps...).dial(&Options{Outbox: box})
			r := join(t, c, nil)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var ended sync.WaitGroup
			ended.Go(func() {
				_, err := r.Post(ctx, "hi")
				var pending *PendingError
				if !errors.As(err, &pending) || !test.is(err) {
					t.Errorf("Post returns %v, want a PendingError with why the room ended", err)
				}
			})
			<-posted
			if err := test.end(ctx, r); !test.is(err) {
				t.Errorf("the room ends with %v", err)
			}
			ended.Wait()
			if left, _ := box.Entries(); len(left) != 1 {
				t.Errorf("the outbox has %v", left)
			}
			if got := texts(t, join(t, c, nil), 1); got[0] != "hi" {
				t.Errorf("the room has %q", got)
			}
			if left, _ := box.Entries(); len(left) != 0 {
				t.Errorf("the outbox still has %v", left)
			}
		})
	}
}
