package client

import (
	"context"
	"runtime"
	"testing"

	"github.com/teahouse-chat/teahouse/wire"
)

// archive answers every request about a room of so many messages, as a server does
// that reads nothing while it sends a replay.
func (p *peer) archive(missed int64) {
	for req := p.read(); req.Frame != nil; req = p.read() {
		switch f := req.Frame.(type) {
		case wire.Join:
			if f.After == nil {
				p.send(req.Ref, wire.Joined{Room: f.Room})
				continue
			}
			p.send(req.Ref, wire.Joined{Room: "lobby", After: *f.After, Last: missed})
			for after := *f.After; after < missed; after += 200 {
				p.send("", wire.Messages{Room: "lobby", Messages: says(after+1, min(after+200, missed))})
			}
		case wire.Post:
			p.send(req.Ref, wire.Ack{Room: f.Room, Nonce: f.Nonce, Seq: missed + 1})
		case wire.Who:
			p.send(req.Ref, wire.Here{Room: f.Room, Count: 1})
		case wire.History:
			last := min(*f.After+wire.MaxHistory, missed)
			p.send(req.Ref, wire.HistoryPage{Room: f.Room, Messages: says(*f.After+1, last), Last: last == missed})
		}
	}
}

func TestWhoAsksFromItsNextLoopDuringALongReplayIsAnswered(t *testing.T) {
	const missed = 3*queueSize + 100
	for name, ask := range map[string]func(context.Context, *Room) error{
		"Post": func(ctx context.Context, r *Room) error { _, err := r.Post(ctx, "hi"); return err },
		"Who":  func(ctx context.Context, r *Room) error { _, err := r.Who(ctx, ""); return err },
		"Join": func(ctx context.Context, r *Room) error { _, err := r.client.Join(ctx, "other", nil); return err },
		"History": func(ctx context.Context, r *Room) error {
			_, err := r.History(ctx, wire.History{After: new(int64)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := script(t, func(p *peer) {
				p.welcome("e1")
				p.archive(missed)
			})
			c := f.dial(nil)
			r := join(t, c, &From{After: new(int64), All: true})
			for paced := false; !paced; runtime.Gosched() { // until the reader waits for Next
				c.mu.Lock()
				paced = c.session.paced.Load()
				c.mu.Unlock()
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := ask(ctx, r); err != nil {
				t.Errorf("got %v", err)
			}
			c.mu.Lock()
			n := len(r.queue)
			c.mu.Unlock()
			if n > queueSize+200 {
				t.Errorf("%d messages are queued, more than %d and a page", n, queueSize)
			}
			expect(t, r, 1, missed)
		})
	}
}

func TestRoomsThatComeBackTogetherGetTheirReplaysInOneGo(t *testing.T) {
	const missed = 3*queueSize + 100
	f := script(t, func(p *peer) {
		p.welcome("e1")
		for range 2 { // and then the network fails
			req := p.read()
			p.send(req.Ref, wire.Joined{Room: req.Frame.(wire.Join).Room})
		}
	}, func(p *peer) {
		p.welcome("e1")
		for range 2 {
			req := p.read()
			room := req.Frame.(wire.Join).Room
			p.send(req.Ref, wire.Joined{Room: room, Last: missed})
			for after := int64(0); after < missed; after += 200 {
				p.send("", wire.Messages{Room: room, Messages: says(after+1, min(after+200, missed))})
			}
		}
		if req := p.read(); req.Frame != nil {
			p.t.Errorf("the client sent %+v, want nothing", req)
		}
	})
	c := f.dial(nil)
	var rooms []*Room
	for _, name := range []string{"a", "b"} {
		r, err := c.Join(t.Context(), name, &From{After: new(int64), All: true})
		if err != nil {
			t.Fatal(err)
		}
		rooms = append(rooms, r)
	}
	for _, r := range rooms {
		expect(t, r, 1, missed)
	}
}
