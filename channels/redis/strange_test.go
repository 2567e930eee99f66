package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestAKeyOfAnotherTypeSpoilsNothingElse(t *testing.T) {
	t.Run("that of a group", func(t *testing.T) {
		server := parts.Redis(t, parts.RedisOptions{})
		a, _ := coreProcess(t, at(server), nil)
		b, c := coreProcess(t, at(server), nil)
		b.follow("spoilt", "whole")
		arrives(t, a, b, "whole", "before")
		server.Must("SET", "asgi:group:spoilt", "x")
		looks := server.Calls()["zscore"]
		parts.Eventually(t, "the memberships were looked at twice", func() bool { return server.Calls()["zscore"] > looks+4 })
		if s := c.States()[0]; !s.Connected {
			t.Errorf("the host is taken for lost: %v", s.Err)
		}
		b.follow("new")
		arrives(t, a, b, "new", "after")
		arrives(t, a, b, "whole", "after")

		// Who joins it is told, once.
		newcomer, _ := coreProcess(t, at(server), nil)
		newcomer.follow("spoilt")
		newcomer.follow("sound")
		arrives(t, a, newcomer, "sound", "after")
		if n := strings.Count(newcomer.logged(), "key=asgi:group:spoilt"); n != 1 {
			t.Errorf("logged %d times: %s", n, newcomer.logged())
		}

		// Both are looked up in one request.
		on := c.servers[0]
		members, err := c.members(on, []string{"spoilt", "whole"})
		if err != nil || len(members["whole"].names) != 1 || members["spoilt"].err == nil {
			t.Errorf("the members: %v, %v", members, err)
		}

		// Both are written in one request.
		server.Must("SET", "asgibad", "x")
		server.Must("ZADD", "asgi:group:whole", fmt.Sprint(time.Now().Unix()), "bad")
		arrives(t, a, b, "whole", "beside a bad one")

		server.Must("DEL", "asgi:group:spoilt")
		arrives(t, a, b, "spoilt", "healed")
	})

	t.Run("that of a channel", func(t *testing.T) {
		server := parts.Redis(t, parts.RedisOptions{})
		a, c := coreProcess(t, at(server), nil)
		a.follow("g")
		server.Must("SET", "asgiwork", "x")
		ctx, cancel := context.WithCancel(t.Context())
		received := make(chan error, 1)
		go func() {
			_, err := c.Receive(ctx, "work")
			received <- err
		}()
		parts.Eventually(t, "it was tried three times", func() bool { return server.Calls()["bzpopmin"] > 3 })
		if gaps, s := a.hasGaps(), c.States()[0]; len(gaps) > 0 || !s.Connected {
			t.Errorf("it was taken for a lost connection: %v, %v", gaps, s.Err)
		}
		server.Must("DEL", "asgiwork")
		if err := a.broker.Publish(ctx, channels.Delivery{Channels: []string{"work"}, Event: say("x")}); err != nil {
			t.Error(err)
		}
		if err := <-received; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		cancel()
	})
}

func TestWhatNobodyWaitsForIsNotWritten(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	_, c := coreProcess(t, at(server), nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var batch []*write
	for _, ctx := range []context.Context{ended, t.Context(), ended} {
		s := &sending{ctx: ctx, done: make(chan error, 1), parts: 1}
		batch = append(batch, &write{sending: s, key: "asgiwork", to: []string{"work"}, blob: fmt.Sprint(len(batch)), capacity: 100})
	}
	c.push(c.servers[0], slices.Clone(batch))
	for i, want := range []error{context.Canceled, nil, context.Canceled} {
		if err := <-batch[i].sending.done; !errors.Is(err, want) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	if got := server.Must("ZRANGE", "asgiwork", "0", "-1"); got != "1" {
		t.Errorf("written: %q", got)
	}
}
