package live

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// miss stores short messages in a room of which nobody hears.
func (p *pair) miss(t *testing.T, room string, messages int) {
	var batch []chat.Draft
	for i := range messages {
		batch = append(batch, chat.Draft{Room: room, Author: someone(1), Nonce: "missed" + strconv.Itoa(i), Text: "something", Create: true})
	}
	if _, err := p.store.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func TestWhoIsSlowInAnotherRoomDoesNotDelayWhatARoomMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.two.enter(t, 3, "other")   // and reads nothing more
		p.two.post(t, "other", 1024) // as many as its test client takes all the same
		for i := range 80 {
			_, _, err := p.two.service.Post(t.Context(), chat.Post{
				Room: "other", Author: someone(1), Nonce: "long" + strconv.Itoa(i), Text: strings.Repeat("x", wire.MaxText),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if p.two.layer.Stats().Backlog < 2*healBacklog {
			t.Fatal("nobody is slow")
		}
		const missed = 20_000
		p.miss(t, "lobby", missed)
		start := time.Now()
		p.one.post(t, "lobby", 1)
		p.b.want(1, missed+1)
		if took := time.Since(start); took > time.Second {
			t.Errorf("took %v", took)
		}
	})
}
