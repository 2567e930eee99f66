package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// house is a server on the reference store.
type house struct {
	*Server
	service *chat.Service
	layer   *channels.Layer
	posted  int
}

// slowToken is one that the store takes long to fail on.
const slowToken = "slow"

// strangers makes everybody a new guest.
type strangers struct{}

func (strangers) FromRequest(*http.Request) (chat.Login, bool, error) {
	return chat.Login{}, false, nil
}

func (strangers) FromToken(_ context.Context, token, _ string) (chat.Login, error) {
	if token == slowToken {
		time.Sleep(2 * helloTimeout)
		return chat.Login{}, chat.ErrUnavailable
	}
	n, err := strconv.Atoi(token)
	return chat.Login{User: someone(n)}, err
}

func (strangers) New(string) (string, chat.Login) {
	u := chat.User{ID: chat.NewUserID(), Name: "Stranger"}
	return u.ID.String(), chat.Login{User: u}
}

type noLimits struct{}

func (noLimits) AcquireAddress(string) bool   { return true }
func (noLimits) ReleaseAddress(string)        {}
func (noLimits) AcquireUser(chat.UserID) bool { return true }
func (noLimits) ReleaseUser(chat.UserID)      {}

func (noLimits) Take(chat.Limit, string) time.Duration { return 0 }

func open(t *testing.T) *house {
	t.Helper()
	return openWith(t, noLimits{})
}

func openWith(t *testing.T, limiter chat.Limiter) *house {
	t.Helper()
	store := memstore.New()
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return openOn(t, store, nil, limiter)
}

// openOn opens a house on a store, which it does not close, and on a broker, if
// there is one.
func openOn(t testing.TB, store chat.Store, broker channels.Broker, limiter chat.Limiter) *house {
	t.Helper()
	relay, _ := broker.(*Relay)
	return openShared(t, store, relay, limiter, relay != nil && relay.shared)
}

// openShared is openOn for a log that other servers have or not, whatever the
// broker brings.
func openShared(t testing.TB, store chat.Store, relay *Relay, limiter chat.Limiter, shared bool) *house {
	t.Helper()
	var broker channels.Broker
	if relay != nil {
		broker = relay
	}
	log := slog.New(slog.DiscardHandler)
	settings, err := store.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{layer: channels.NewLayer(&channels.LayerOptions{Broker: broker, Logger: log})}
	h.service, err = chat.New(t.Context(), chat.Options{
		Store: store, Publish: func(room string, m chat.Message) { h.Publish(room, m) }, Limiter: limiter, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Server = New(Options{
		Layer: h.layer, Relay: relay, Shared: shared, Service: h.service, Key: settings.Key, Identities: strangers{}, Sockets: noLimits{}, Limiter: noLimits{},
		Limits: wire.Limits{Text: wire.MaxText}, Version: "test",
	})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := errors.Join(h.Shutdown(ctx), h.service.Shutdown(ctx), h.layer.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// post says n things in a room.
func (h *house) post(t testing.TB, room string, n int) {
	t.Helper()
	for range n {
		h.posted++
		_, _, err := h.service.Post(t.Context(), chat.Post{
			Room: room, Author: someone(1), Nonce: strconv.Itoa(h.posted), Text: fmt.Sprint("text ", h.posted),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

var errEnough = errors.New("enough")

func TestAFollowerGetsEachPositionOnceHoweverSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		h.post(t, "lobby", 3)
		var seqs []int64
		send := func(ms []chat.Message) error {
			for _, m := range ms {
				seqs = append(seqs, m.Seq)
			}
			switch len(seqs) {
			case 2:
				h.post(t, "lobby", 300) // far more than the follower's channel holds
			case 302:
				return errEnough
			}
			return nil
		}
		idle := func() error { h.post(t, "lobby", 1); return nil }
		if err := h.Follow(t.Context(), "lobby", 1, send, idle); !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		for i, seq := range seqs {
			if seq != int64(i+2) {
				t.Fatalf("position %d came at place %d of %v", seq, i, seqs)
			}
		}
	})
}

func TestAFollowerIsToldOfSilenceAndLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := open(t)
		silences := 0
		err := h.Follow(t.Context(), "quiet", 0, nil, func() error {
			if silences++; silences == 3 {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		if s := h.layer.Stats(); s.Groups != 0 {
			t.Errorf("left behind: %+v", s)
		}
		if err := h.Follow(t.Context(), "a/b", 0, nil, nil); !errors.Is(err, chat.ErrBadRoom) {
			t.Errorf("a room that cannot be: %v", err)
		}
	})
}
