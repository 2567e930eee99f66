package channels

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// sender is a consumer that sends each frame to a group and returns what came of it.
type sender struct{ Base }

func (sender) Receive(ctx context.Context, c *Conn, f Frame) error {
	return c.Layer().GroupSend(ctx, "g", Event{Type: "say", Payload: string(f.Data)})
}

func TestABrokerThatTakesNothingClosesNoSocketAndIsCounted(t *testing.T) {
	b := &bare{fails: errors.New("down")}
	var log strings.Builder
	l := NewLayer(&LayerOptions{Broker: b, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c, s := fakeConn(Handler(func() Consumer { return sender{} }, &Options{
		Layer: l, Render: map[string]func(Event) (Frame, error){"say": say},
	}))
	must(t, c.GroupAdd(t.Context(), "g"))
	for _, said := range []string{"one", "two"} {
		(*reader)(c).Message(websocket.OpText, []byte(said))
	}
	must(t, l.Flush(t.Context()))
	if diff := cmp.Diff([]string{"one", "two"}, s.got(t)); diff != "" {
		t.Errorf("here arrived %s", diff)
	}
	if s.code != 0 {
		t.Errorf("closed with %d", s.code)
	}
	if n := l.Stats().Dropped["unpublished"]; n != 2 {
		t.Errorf("%d counted, want 2", n)
	}
	if n := strings.Count(log.String(), "err=down"); n != 1 {
		t.Errorf("%d lines of the log, want one in 10 s:\n%s", n, &log)
	}
	c.end(CloseNormal, "")
	if err := l.Send(t.Context(), "specific.elsewhere!x", Event{Type: "x"}); !errors.Is(err, ErrUnpublished) || !errors.Is(err, b.fails) {
		t.Errorf("to a channel elsewhere: %v", err)
	}
	must(t, l.Close())
}

func TestGapsAreAllCountedAndOneLineIn10Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{}
		var log strings.Builder
		l := newTestLayer(t, &LayerOptions{Broker: b, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		for range 2 {
			for range 1000 {
				b.node.Gap("g")
				b.node.Gap()
			}
			time.Sleep(logEvery)
		}
		if n := l.Stats().Gaps; n != 4000 {
			t.Errorf("%d gaps counted, want 4000", n)
		}
		if n := strings.Count(log.String(), "may be missing"); n != 2 || !strings.Contains(log.String(), "total=2001") {
			t.Errorf("%d lines, want 2:\n%.2000s", n, &log)
		}
	})
}
