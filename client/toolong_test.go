package client

import (
	"errors"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/wire"
)

// bounded answers hello with a limit of frames, which it enforces like a server.
func (p *peer) bounded(most int) {
	p.send("", wire.Welcome{You: you, Epoch: "e1", Server: "teahouse/test", Limits: wire.Limits{Frame: most}})
	p.conn.SetReadLimit(int64(most))
}

func TestAnEntryOfTheOutboxThatNoFrameHoldsIsGivenUpAndTheNextIsPosted(t *testing.T) {
	box := &Memory{}
	for _, e := range []Entry{
		{Room: "lobby", Nonce: "big", Text: strings.Repeat("x", wire.MaxFrame)},
		{Room: "lobby", Nonce: "bigger", Text: strings.Repeat("x", 2*wire.MaxFrame)},
		{Room: "lobby", Nonce: "small", Text: "hi"},
	} {
		if err := box.Put(e); err != nil {
			t.Fatal(err)
		}
	}
	f := script(t, func(p *peer) {
		p.bounded(wire.MaxFrame)
		p.joined(p.expectJoin(-1), 0, 0)
		p.echo(p.expectPost("hi"), 1)
		p.echo(p.expectPost("new"), 2)
		p.gone()
	})
	r := join(t, f.dial(&Options{Outbox: box}), nil)
	if got, err := r.Post(t.Context(), "new"); err != nil || got.Seq != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if left, _ := box.Entries(); len(left) != 0 {
		t.Errorf("the outbox still has %d entries", len(left))
	}
}

func TestAPostThatIsTooLongForTheNextServerIsGivenUpAndMayBeStored(t *testing.T) {
	text := strings.Repeat("x", 1000)
	f := script(t, func(p *peer) {
		p.bounded(wire.MaxFrame)
		p.joined(p.expectJoin(-1), 0, 0)
		p.expectPost(text) // and then the network fails
	}, func(p *peer) {
		p.bounded(500)
		p.joined(p.expectJoin(0), 0, 0)
		p.echo(p.expectPost("new"), 1)
		p.gone()
	})
	r := join(t, f.dial(nil), nil)
	var pending *PendingError
	var cause *Error
	if _, err := r.Post(t.Context(), text); !errors.As(err, &pending) || !errors.As(err, &cause) || cause.Code != wire.CodeTooLong {
		t.Errorf("got %v, want that it may be stored and is too long", err)
	}
	if _, err := r.Post(t.Context(), "new"); err != nil {
		t.Error(err)
	}
}
