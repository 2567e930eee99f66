package live

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestAStoppingServerSaysWhenToComeBack(t *testing.T) {
	for _, c := range []struct {
		name     string
		farewell Farewell
		from, to int // milliseconds
	}{
		{"alone", Farewell{}, 500, 5500},
		{"alone and slowly", Farewell{Over: time.Second}, 500, 5500},
		{"beside others", Farewell{Over: time.Second, Others: true}, 50, 300},
		{"beside others and at once", Farewell{Others: true}, 50, 2050},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := open(t)
				a := h.enter(t, 1, "lobby")
				b := channelstest.New(t, h.plainMux(), "/ws/chat/lobby/")
				b.Connect()
				stopped := make(chan error, 1)
				go func() { stopped <- h.Drain(context.Background(), c.farewell) }()
				for _, client := range []*channelstest.Client{a.Client, b} {
					code, reason := client.Closed()
					var ms int
					if _, err := fmt.Sscanf(reason, "restart retry_ms=%d", &ms); err != nil || code != wire.CloseRestart || ms < c.from || ms > c.to {
						t.Errorf("closed with %d %q", code, reason)
					}
				}
				if err := <-stopped; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// slowly is a store whose appends wait.
type slowly struct {
	chat.Store
	open chan struct{} // closed, it lets appends go on
}

func (s slowly) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	<-s.open
	return s.Store.Append(ctx, batch)
}

func TestWhatWasAcceptedIsAcknowledgedBeforeTheSocketIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := slowly{memstore.New(), make(chan struct{})}
		h := openOn(t, store, nil, noLimits{})
		a, b := h.enter(t, 1, "lobby"), h.enter(t, 2, "elsewhere")
		plain := channelstest.New(t, h.plainMux(), "/ws/chat/side/")
		plain.Connect()
		pass(5 * time.Second) // all have been told who is here
		next[wire.Here](a)
		next[wire.Here](b)
		a.say(wire.Post{Room: "lobby", Nonce: "a", Text: "from a"})
		plain.SendText(`{"message":"plainly"}`)
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- h.Drain(context.Background(), Farewell{}) }()
		pass(500 * time.Millisecond)
		a.say(wire.Post{Room: "lobby", Nonce: "late", Text: "late"})
		close(store.open)
		if m := next[wire.MessageFrame](a); m.Nonce != "a" {
			t.Errorf("got %+v", m)
		}
		if got := plain.ReceiveText(); !strings.HasPrefix(got, `{"message":"plainly"`) {
			t.Errorf("got %s", got)
		}
		for _, client := range []*channelstest.Client{a.Client, b.Client, plain} {
			if code, _ := client.Closed(); code != wire.CloseRestart {
				t.Errorf("closed with %d", code)
			}
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if r, err := h.service.Room(t.Context(), "lobby"); err != nil || r.LastSeq != 1 {
			t.Errorf("the room is %+v, %v", r, err)
		}
	})
}
