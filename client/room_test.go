package client

import (
	"context"
	"errors"
	"testing"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

func TestARoomBeginsWithTheNewestAndGoesOnLive(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 40, 42)
		p.live(43, 45)
		p.gone()
	})
	c := f.dial(&Options{Name: "test/1", Locale: "zh"})
	if c.You() != you || c.Token() != "token of me" || c.Epoch() != "e1" {
		t.Errorf("the welcome gave %v, %q, %q", c.You(), c.Token(), c.Epoch())
	}
	r := join(t, c, nil)
	if r.Name() != "lobby" {
		t.Errorf("the room is called %q, want the server's spelling", r.Name())
	}
	expect(t, r, 41, 45)
}

func TestAfterALostConnectionTheRoomGoesOnWithoutAHoleOrADouble(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(0), 0, 2)
		p.live(3, 4) // and then the network fails
	}, func(p *peer) {
		if p.hello.Token != "token of me" || p.hello.Epoch != "e1" {
			p.t.Errorf("it came back with %+v, want its token and epoch", p.hello)
		}
		p.welcome("e1")
		req := p.expectJoin(4)
		p.live(3, 4) // doubles
		p.joined(req, 4, 6)
		p.live(7, 7)
		_ = p.conn.Close(wire.CloseTooSlow, "too slow")
	}, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(7), 7, 7)
		p.live(8, 9)
		p.gone()
	})
	zero := int64(0)
	c := f.dial(nil)
	r := join(t, c, &From{After: &zero})
	expect(t, r, 1, 9)
}

func TestWhatIsMissedInMassIsPagedFromTheLog(t *testing.T) {
	page := func(p *peer, after, to int64, last bool) {
		req := p.read()
		h, ok := req.Frame.(wire.History)
		if !ok || h.After == nil || *h.After != after {
			p.t.Errorf("the client sent %+v, want history after %d", req, after)
		}
		p.send(req.Ref, wire.HistoryPage{Room: "lobby", Messages: says(after+1, to), Last: last})
	}
	for name, jump := range map[string]func(p *peer){
		"told by the answer": func(p *peer) {
			p.send(p.expectJoin(3).Ref, wire.Joined{Room: "lobby", After: 1000, Last: 1000, Reset: true})
		},
		"seen by the numbers": func(p *peer) {
			p.joined(p.expectJoin(3), 3, 3)
			p.live(1000, 1000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := script(t, func(p *peer) {
				p.welcome("e1")
				jump(p)
				page(p, 3, 203, false)
				page(p, 203, 300, false)
				page(p, 300, 1000, true)
				p.joined(p.expectJoin(1000), 1000, 1002)
				p.live(1003, 1003)
				p.gone()
			})
			three := int64(3)
			r := join(t, f.dial(&Options{Epoch: "e1"}), &From{After: &three})
			expect(t, r, 4, 1003)
		})
	}
}

func TestAReaderThatStaysBehindCostsNoMemoryAndLosesNothing(t *testing.T) {
	sent := make(chan struct{})
	const many = queueSize + 500
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.live(1, many)
		close(sent)
		req := p.read()
		if h, ok := req.Frame.(wire.History); !ok || *h.After != queueSize {
			p.t.Errorf("the client sent %+v, want history after %d", req, queueSize)
		}
		p.send(req.Ref, wire.HistoryPage{Room: "lobby", Messages: says(queueSize+1, queueSize+200)})
		req = p.read()
		p.send(req.Ref, wire.HistoryPage{Room: "lobby", Messages: says(queueSize+201, many), Last: true})
		p.joined(p.expectJoin(many), many, many)
		p.gone()
	})
	c := f.dial(nil)
	r := join(t, c, nil)
	<-sent
	// An answered request proves that everything before it was read.
	for {
		c.mu.Lock()
		n, behind := len(r.queue), r.behind
		c.mu.Unlock()
		if n > queueSize {
			t.Fatalf("%d messages are queued, more than %d", n, queueSize)
		}
		if behind {
			break
		}
	}
	expect(t, r, 1, many)
}

func TestAllThatWasMissedComesInOneGoAtTheReadersPace(t *testing.T) {
	const missed, live = 40 * 200, queueSize + 300
	f := script(t, func(p *peer) {
		p.welcome("e1")
		req := p.expectJoin(0)
		if j, _ := req.Frame.(wire.Join); !j.All {
			p.t.Errorf("the client sent %+v, want a join for all", req)
		}
		p.send(req.Ref, wire.Joined{Room: "lobby", Last: missed, First: true})
		for after := int64(0); after < missed; after += 200 {
			p.send("", wire.Messages{Room: "lobby", Messages: says(after+1, after+200)})
		}
		p.live(missed+1, missed+live) // more than the room keeps
		req = p.read()
		if h, ok := req.Frame.(wire.History); !ok || *h.After != missed+queueSize {
			p.t.Errorf("the client sent %+v, want history after the live ones it kept", req)
		}
		p.send(req.Ref, wire.HistoryPage{Room: "lobby", Messages: says(missed+queueSize+1, missed+live), Last: true})
		p.joined(p.expectJoin(missed+live), missed+live, missed+live)
		p.gone()
	})
	c := f.dial(nil)
	r := join(t, c, &From{After: new(int64), All: true})
	for {
		c.mu.Lock()
		n, last, waits := len(r.queue), r.last, c.session.paced.Load()
		c.mu.Unlock()
		if n > queueSize+200 {
			t.Fatalf("%d messages are queued, more than %d and a page", n, queueSize)
		}
		if waits || last == missed {
			break
		}
	}
	expect(t, r, 1, missed)
	for { // until the live ones do not fit any more
		c.mu.Lock()
		behind := r.behind
		c.mu.Unlock()
		if behind {
			break
		}
	}
	expect(t, r, missed+1, missed+live)
}

func TestARestoredBackupIsToldOnceAndBeginsANewLog(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 8, 9)
	}, func(p *peer) {
		_ = p.conn.Close(wire.CloseBadPosition, "another epoch")
	}, func(p *peer) {
		if p.hello.Epoch != "" {
			p.t.Errorf("it came back with epoch %q", p.hello.Epoch)
		}
		p.welcome("e2")
		p.joined(p.expectJoin(-1), 0, 2)
		p.gone()
	})
	c := f.dial(nil)
	r := join(t, c, nil)
	expect(t, r, 9, 9)
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrReset) {
		t.Fatalf("got %v, want ErrReset", err)
	}
	expect(t, r, 1, 2)
	if c.Epoch() != "e2" {
		t.Errorf("the epoch is %q", c.Epoch())
	}
}

func TestTheClientStaysAwayWhenToldTo(t *testing.T) {
	for name, code := range map[string]websocket.StatusCode{
		"signed out": wire.CloseSignedOut,
		"replaced":   wire.CloseReplaced,
		"removed":    wire.CloseRemoved,
		"a bug":      wire.CloseBadEnvelopes,
	} {
		t.Run(name, func(t *testing.T) {
			f := script(t, func(p *peer) {
				p.welcome("e1")
				p.joined(p.expectJoin(-1), 0, 1)
				_ = p.conn.Close(code, "for good")
			}, func(p *peer) { p.t.Error("it came back") })
			c := f.dial(nil)
			r := join(t, c, nil)
			expect(t, r, 1, 1)
			_, err := r.Next(t.Context())
			var end *CloseError
			if !errors.As(err, &end) || end.Code != int(code) || end.Reason != "for good" {
				t.Errorf("Next returns %v, want the close code %d", err, code)
			}
			if _, err := r.Post(t.Context(), "x"); !errors.As(err, &end) {
				t.Errorf("Post returns %v", err)
			}
			if !errors.As(c.Err(), &end) {
				t.Errorf("Err returns %v", c.Err())
			}
		})
	}
}

func TestAJoinThatIsRefusedEndsTheRoomAlone(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.send(p.read().Ref, wire.ErrorFrame{Code: wire.CodeBusy, Message: "Not now.", RetryMS: 1})
		p.send(p.read().Ref, wire.ErrorFrame{Code: wire.CodeBadRoom, Message: "No."})
		p.joined(p.expectJoin(-1), 0, 1)
		p.gone()
	})
	c := f.dial(nil)
	var refused *Error
	if _, err := c.Join(t.Context(), "a/b", nil); !errors.As(err, &refused) || refused.Code != wire.CodeBadRoom {
		t.Errorf("got %v, want bad_room", err)
	}
	expect(t, join(t, c, nil), 1, 1)
}

func TestLeaveAndCloseEndNext(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.send(p.read().Ref, wire.Left{Room: "lobby"})
		p.joined(p.expectJoin(-1), 0, 1)
		p.gone()
	})
	c := f.dial(nil)
	r := join(t, c, nil)
	if err := r.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, ErrLeft) {
		t.Errorf("Next returns %v, want ErrLeft", err)
	}
	r = join(t, c, nil)
	var last error
	for m, err := range r.Messages(t.Context()) {
		if last = err; err == nil && m.Seq == 1 {
			go c.Close()
		}
	}
	if !errors.Is(last, ErrClosed) {
		t.Errorf("Messages ends with %v, want ErrClosed", last)
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	f := script(t, func(p *peer) {
		p.welcome("e1")
		p.joined(p.expectJoin(-1), 0, 0)
		p.gone()
	})
	r := join(t, f.dial(nil), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
