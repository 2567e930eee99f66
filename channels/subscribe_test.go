package channels

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestASubscriptionGetsWhatIsSentAfterItBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := newTestLayer(t, nil)
		sendAll(t, l, "g", 1, 1)
		events, err := l.Subscribe(ctx, "g", "h")
		must(t, err)
		sendAll(t, l, "g", 2, 3)
		settleAll() // there is no order between groups
		sendAll(t, l, "h", 4, 4)
		var got []int64
		for e, err := range events {
			must(t, err)
			if got = append(got, e.Seq); len(got) == 3 {
				cancel() // ends the sequence
			}
		}
		if diff := cmp.Diff([]int64{2, 3, 4}, got); diff != "" {
			t.Error(diff)
		}
		if st := l.Stats(); st.Members != 0 || st.Channels != 0 {
			t.Errorf("left behind: %+v", st)
		}
	})
}

func TestASubscriptionEndsWithItsLoopAndWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		looped, err := l.Subscribe(ctx, "g")
		must(t, err)
		_, err = l.Subscribe(ctx, "g") // and never ranged over
		must(t, err)
		sendAll(t, l, "g", 1, 2)
		for range looped {
			break
		}
		if n := l.Stats().Members; n != 1 {
			t.Errorf("%d members after the loop, want 1", n)
		}
		cancel()
		sendAll(t, l, "g", 3, 3) // may be on its way when the subscription ends
		settleAll()
		if st := l.Stats(); st.Members != 0 || st.Channels != 0 {
			t.Errorf("left behind: %+v", st)
		}
	})
}

func TestASubscriptionIsToldThatItMissedEventsAndStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := newTestLayer(t, &LayerOptions{Capacity: 2, Expiry: time.Minute, GroupExpiry: time.Hour})
		events, err := l.Subscribe(ctx, "g")
		must(t, err)
		want := []string{"missed", "1", "2", "missed", "6", "end"}
		sendAll(t, l, "g", 1, 3) // one too many
		settleAll()
		var got []string
		for e, err := range events {
			if errors.Is(err, ErrMissed) {
				got = append(got, "missed")
				continue
			}
			must(t, err)
			got = append(got, e.Payload.(string))
			switch e.Seq {
			case 2:
				sendAll(t, l, "g", 4, 5)
				time.Sleep(3 * time.Hour) // both expire, and the membership of a mere channel would
				sendAll(t, l, "g", 6, 6)
				settleAll()
			case 6:
				cancel()
			}
		}
		if diff := cmp.Diff(want, append(got, "end")); diff != "" {
			t.Error(diff)
		}
	})
}

func TestASubscriptionToABadNameIsAnErrorAndLeavesNothing(t *testing.T) {
	l := newTestLayer(t, nil)
	if _, err := l.Subscribe(t.Context(), "g", ""); !errors.Is(err, ErrBadName) {
		t.Errorf("got %v", err)
	}
	if st := l.Stats(); st.Members != 0 || st.Channels != 0 {
		t.Errorf("left behind: %+v", st)
	}
}
