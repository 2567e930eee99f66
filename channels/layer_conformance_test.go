package channels_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

func layer(o channels.LayerOptions) *channels.Layer {
	o.Logger = slog.New(slog.DiscardHandler)
	return channels.NewLayer(&o)
}

func number(n int) channels.Event { return channels.Event{Type: "test.message", Payload: n} }

// ok ends the test for an error of a call on the way.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// receives ends the test unless exactly these numbers wait in the channel.
func receives(t *testing.T, l *channels.Layer, channel string, want ...int) {
	t.Helper()
	for _, n := range want {
		e, err := l.Receive(t.Context(), channel)
		if err != nil || e.Payload != n {
			t.Fatalf("%s: received %v, %v, want %d", channel, e.Payload, err, n)
		}
	}
	soon, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if e, err := l.Receive(soon, channel); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%s: received %v, %v, want nothing", channel, e.Payload, err)
	}
}

func TestAnEventIsReceivedOnceAndTheChannelIsForgotten(t *testing.T) {
	for _, name := range []string{"test-ch-1", "", "test.prefix"} {
		synctest.Test(t, func(t *testing.T) {
			l := layer(channels.LayerOptions{})
			channel := name
			if strings.IndexByte(name, '-') < 0 {
				channel = l.NewChannel(name) // of this process
			}
			for n := range 3 {
				ok(t, l.Send(t.Context(), channel, number(n)))
			}
			receives(t, l, channel, 0, 1, 2)
			if n := l.Stats().Channels; n != 0 {
				t.Errorf("%d channels left", n)
			}
		})
	}
}

func TestAReceiverThatWaitsWhileTheLayerIsFlushedStillGetsWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := layer(channels.LayerOptions{})
		got := make(chan any, 1)
		go func() {
			e, _ := l.Receive(t.Context(), "work")
			got <- e.Payload
		}()
		synctest.Wait()
		ok(t, l.Flush(t.Context()))
		ok(t, l.Send(t.Context(), "work", number(7)))
		if n := <-got; n != 7 {
			t.Errorf("got %v", n)
		}
	})
}

func TestOfThreeMembersTheOneThatLeftGetsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ctx := layer(channels.LayerOptions{}), t.Context()
		for _, channel := range []string{"one", "two", "three"} {
			ok(t, l.GroupAdd(ctx, "g", channel))
		}
		ok(t, l.GroupAdd(ctx, "g", "one")) // twice is once
		ok(t, l.GroupDiscard(ctx, "g", "two"))
		ok(t, l.GroupDiscard(ctx, "g", "nobody"))
		ok(t, l.GroupSend(ctx, "g", number(1)))
		synctest.Wait()
		receives(t, l, "one", 1)
		receives(t, l, "two")
		receives(t, l, "three", 1)
	})
}

func TestSendingToAFullMemberIsNoErrorAndTheOthersGetIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ctx := layer(channels.LayerOptions{Capacity: 3}), t.Context()
		for _, channel := range []string{"full", "other"} {
			ok(t, l.GroupAdd(ctx, "g", channel))
		}
		for n := range 5 {
			ok(t, l.GroupSend(ctx, "g", number(n)))
			synctest.Wait()
			if n >= 2 {
				_, err := l.Receive(ctx, "other")
				ok(t, err)
			}
		}
		receives(t, l, "full", 0, 1, 2)
		receives(t, l, "other", 3, 4)
		if st := l.Stats(); st.Full != 2 {
			t.Errorf("%d drops counted, want 2", st.Full)
		}
	})
}

func TestEventsToAGroupNobodyIsInAreNoError(t *testing.T) {
	l := layer(channels.LayerOptions{})
	for n := range 100 {
		ok(t, l.GroupSend(t.Context(), "nobody", number(n)))
	}
	if st := l.Stats(); st.Groups+st.Channels != 0 {
		t.Errorf("%+v", st)
	}
}

func TestEventsExpireEachInItsTime(t *testing.T) {
	for _, way := range []string{"sent", "sent to a group"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, ctx := layer(channels.LayerOptions{Expiry: 3 * time.Second}), t.Context()
				ok(t, l.GroupAdd(ctx, "g", "work"))
				for n := range 3 { // at 0, 2 and 4 s
					if way == "sent" {
						ok(t, l.Send(ctx, "work", number(n)))
					} else {
						ok(t, l.GroupSend(ctx, "g", number(n)))
					}
					if n < 2 {
						time.Sleep(2 * time.Second)
					}
				}
				synctest.Wait()
				if way == "sent" {
					receives(t, l, "work", 1, 2)
				} else {
					receives(t, l, "work", 1) // the first ended the membership
				}
				time.Sleep(10 * time.Second)
				if st := l.Stats(); st.Members+st.Channels != 0 || st.Expired != 1 {
					t.Errorf("left: %+v", st)
				}
			})
		})
	}
}

func TestAnEventThatExpiresForOneMemberDoesNotDisturbOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, ctx := layer(channels.LayerOptions{Expiry: 3 * time.Second}), t.Context()
		for _, channel := range []string{"asleep", "awake"} {
			ok(t, l.GroupAdd(ctx, "g", channel))
		}
		for n := range 5 {
			ok(t, l.GroupSend(ctx, "g", number(n)))
			time.Sleep(2 * time.Second)
			_, err := l.Receive(ctx, "awake")
			ok(t, err)
		}
		ok(t, l.GroupSend(ctx, "g", number(5)))
		synctest.Wait()
		receives(t, l, "awake", 5)
		receives(t, l, "asleep")
	})
}

func TestNamesOfChannelsAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for range 10 {
		l := layer(channels.LayerOptions{})
		for range 100 {
			name := l.NewChannel("")
			if seen[name] || len(name) >= 100 || channels.SafeName(strings.Replace(name, "!", "", 1)) != strings.Replace(name, "!", "", 1) {
				t.Fatalf("name %q", name)
			}
			seen[name] = true
		}
	}
}

func TestAGroupReachesOneTenAndAHundredChannels(t *testing.T) {
	for _, members := range []int{1, 10, 100} {
		synctest.Test(t, func(t *testing.T) {
			l, ctx := layer(channels.LayerOptions{}), t.Context()
			for i := range members {
				ok(t, l.GroupAdd(ctx, "g", fmt.Sprint("channel", i)))
			}
			ok(t, l.GroupSend(ctx, "g", number(1)))
			synctest.Wait()
			for i := range members {
				if e, err := l.Receive(ctx, fmt.Sprint("channel", i)); err != nil || e.Payload != 1 {
					t.Errorf("channel %d of %d: %v, %v", i, members, e, err)
				}
			}
		})
	}
}

func TestOfTenThousandUnreadEventsTheFirstHundredAreKept(t *testing.T) {
	l, kept := layer(channels.LayerOptions{}), 0
	for n := range 10_000 {
		if err := l.Send(t.Context(), "work", number(n)); err == nil {
			kept++
		} else if !errors.Is(err, channels.ErrChannelFull) {
			t.Fatal(err)
		}
	}
	if e, err := l.Receive(t.Context(), "work"); kept != 100 || e.Payload != 0 || err != nil {
		t.Errorf("%d kept, the first is %v, %v", kept, e.Payload, err)
	}
	ok(t, l.Flush(t.Context())) // the sender is told, unlike that of a layer that drops the oldest
}
