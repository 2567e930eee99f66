package channels

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestWhatOthersSendToChannelsThatNobodyHasIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bare{}
		l := NewLayer(&LayerOptions{Broker: b})
		large := strings.Repeat("x", 1<<20)
		send := func(channel string) error {
			return b.node.Deliver(t.Context(), Delivery{
				Channels: []string{channel}, Event: Event{Type: "say", Payload: map[string]any{"list": []any{large}, "bytes": []byte("x")}},
			})
		}
		taken, refused := 0, 0
		for i := range 200 {
			switch err := send(fmt.Sprintf("specific.%s!gone%d", l.process, i)); {
			case err == nil:
				taken++
			case errors.Is(err, ErrChannelFull):
				refused++
			default:
				t.Fatal(err)
			}
		}
		if s := l.Stats(); taken != 63 || refused != 137 || s.Full != 137 || s.Channels != 63 {
			t.Errorf("%d were taken and %d refused, %+v", taken, refused, s)
		}
		mine := l.NewChannel("")
		if err := l.Send(t.Context(), mine, Event{Type: "say", Payload: large}); err != nil {
			t.Errorf("what this process sends: %v", err)
		}

		received := make(chan Event, 1)
		reply := l.NewChannel("")
		go func() {
			e, err := l.Receive(t.Context(), reply)
			if err != nil {
				t.Error(err)
			}
			received <- e
		}()
		synctest.Wait()
		if err := send(reply); err != nil || (<-received).Type != "say" {
			t.Errorf("a channel that somebody receives from: %v", err)
		}

		if _, err := l.Receive(t.Context(), fmt.Sprintf("specific.%s!gone0", l.process)); err != nil {
			t.Fatal(err)
		}
		if err := send(mine); err != nil {
			t.Errorf("after one was received: %v", err)
		}
		time.Sleep(3 * time.Minute)
		for i := range taken {
			if err := send(fmt.Sprintf("specific.%s!late%d", l.process, i)); err != nil {
				t.Errorf("when all has expired: %v", err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
