package live

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

func TestAPostBehindAMissingMessageIsAnsweredWhenItsRoomIsLeft(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, p *pair) wire.Frame{
		"left": func(_ *testing.T, p *pair) wire.Frame {
			p.b.say(wire.Leave{Room: "lobby"})
			return wire.Left{Ref: "ref", Room: "lobby"}
		},
		"joined again": func(_ *testing.T, p *pair) wire.Frame {
			p.b.say(wire.Join{Room: "lobby"})
			return nil
		},
		"the server stops": func(t *testing.T, p *pair) wire.Frame {
			if err := p.two.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := openPair(t)
				p.b.say(wire.Post{Room: "lobby", Nonce: "shown", Text: "x"})
				p.b.want(1, 1)
				p.fate(lost)
				p.one.post(t, "lobby", 1)
				for _, nonce := range []string{"first", "second"} {
					p.b.say(wire.Post{Room: "lobby", Nonce: nonce, Text: "x"})
				}
				synctest.Wait()
				then := make(chan wire.Frame, 1)
				go func() { then <- leave(t, p) }()
				for i, nonce := range []string{"first", "second"} {
					if a := next[wire.Ack](p.b); a.Nonce != nonce || a.Seq != int64(i)+3 || a.Ref != "ref" || a.At.IsZero() {
						t.Errorf("got %+v", a)
					}
				}
				if want, ok := (<-then).(wire.Left); ok && next[wire.Left](p.b) != want {
					t.Error("the room was not left")
				}
			})
		})
	}
}

func TestOnlySoManyPostsBehindAMissingMessageWaitForTheirAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.fate(lost)
		p.one.post(t, "lobby", 1)
		const more = 6
		start := time.Now()
		for i := range unshownMost + more {
			p.b.say(wire.Post{Room: "lobby", Nonce: fmt.Sprint("n", i), Text: "x"})
		}
		for i := range more {
			if a := next[wire.Ack](p.b); a.Nonce != fmt.Sprint("n", i) || a.Seq != int64(i)+2 || a.Ref != "ref" {
				t.Errorf("got %+v", a)
			}
		}
		if took := time.Since(start); took >= comesByItself {
			t.Errorf("took %v", took)
		}
		p.b.want(1, unshownMost+more+1)
	})
}
