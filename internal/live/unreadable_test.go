package live

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// tearing is a store with a room that cannot be read on from a position.
type tearing struct {
	shaky
	room  string
	after time.Duration // it fails
	torn  atomic.Bool
}

func (s *tearing) Messages(ctx context.Context, room string, r chat.Range) (chat.Page, error) {
	if room != s.room || r.After < 0 || !s.torn.Load() {
		return s.Store.Messages(ctx, room, r)
	}
	s.pages.Add(1)
	select {
	case <-time.After(s.after):
	case <-ctx.Done():
	}
	return chat.Page{}, errGone
}

func TestARoomThatCannotBeReadIsLateAloneAndTheServerIsReady(t *testing.T) {
	for _, after := range []time.Duration{0, time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			store := &tearing{shaky: shaky{Store: memstore.New()}, room: "torn", after: after}
			var s street
			s.fate = lost
			one, _ := openNode(t, &s, store)
			two, _ := openNode(t, &s, store)
			b := two.enter(t, 2, "torn", "lobby")
			store.torn.Store(true)
			one.post(t, "torn", 1)
			const rounds = 30
			for seq := range int64(rounds) {
				start := time.Now()
				one.post(t, "lobby", 1)
				b.want(seq+1, seq+1)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("message %d of another room came after %v", seq+1, took)
				}
				time.Sleep(300 * time.Millisecond)
				if two.LogFails() {
					t.Error("the log is said to fail")
				}
			}
			reads := store.pages.Load()
			if reads < 5 || reads > 10 {
				t.Errorf("the room was tried %d times in two minutes", reads)
			}
			store.torn.Store(false)
			pass(readAgainMost)
			if m := next[wire.MessageFrame](b); m.Room != "torn" || m.Seq != 1 {
				t.Errorf("got %+v", m)
			}
		})
	}
}
