package live

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// growing is a store whose rooms grow while they are read.
type growing struct {
	chat.Store
	reads atomic.Int64
	grow  func(read int64) // before each page
}

func (g *growing) Messages(ctx context.Context, room string, r chat.Range) (chat.Page, error) {
	g.grow(g.reads.Add(1))
	return g.Store.Messages(ctx, room, r)
}

// replayed reads the frames of a join up to a position, all messages once and
// ascending after the first position.
func (k *talker) replayed(after, to int64) {
	k.t.Helper()
	take := func(m wire.Message) {
		if after++; m.Seq != after {
			k.t.Fatalf("got %d for %d", m.Seq, after)
		}
	}
	for after < to {
		f, err := wire.DecodeServer([]byte(k.ReceiveText()))
		if err != nil {
			k.t.Fatal(err)
		}
		switch f := f.(type) {
		case wire.Messages:
			for _, m := range f.Messages {
				take(m)
			}
		case wire.MessageFrame:
			take(f.Message)
		case wire.Here:
		default:
			k.t.Fatalf("got %+v among the messages", f)
		}
	}
}

func TestWhoWantsAllGetsItWhileOthersPostMoreThanAHoldTakes(t *testing.T) {
	const there, pages, each = 3000, 12, 100
	text := strings.Repeat("x", 4000) // so that each page costs a hold 400 KB
	store := &growing{Store: memstore.New(), grow: func(int64) {}}
	h := openOn(t, store, nil, noLimits{})
	h.post(t, "lobby", there)
	store.grow = func(read int64) {
		for i := range each {
			if read > pages {
				return
			}
			post := chat.Post{Room: "lobby", Author: someone(2), Nonce: fmt.Sprint(read, "-", i), Text: text}
			if _, _, err := h.service.Post(t.Context(), post); err != nil {
				t.Error(err)
			}
		}
	}
	k := h.enter(t, 1)
	k.say(wire.Join{Room: "lobby", After: new(int64), All: true})
	if j := next[wire.Joined](k); j.After != 0 || j.Last != there || !j.First || j.Reset {
		t.Errorf("joined with %+v", j)
	}
	k.replayed(0, there+pages*each)
	h.post(t, "lobby", 1)
	if m := next[wire.MessageFrame](k); m.Seq != there+pages*each+1 {
		t.Errorf("the first live message is %d", m.Seq)
	}
	if read := store.reads.Load(); read < pages+5 {
		t.Errorf("only %d pages were read: the room did not grow as meant", read)
	}
}
