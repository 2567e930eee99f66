package promises_test

import (
	"context"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/client"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/wire"
)

// missed is how many messages somebody has missed in these tests; within is how
// long the server may take to give them, ten times what is promised, since other
// things run beside it here.
const (
	missed = 100_000
	within = 100 * time.Second
)

func TestAHundredThousandMissedMessagesAreCaughtUp(t *testing.T) {
	for name, flags := range map[string]func(t *testing.T) []string{
		"SQLite": func(*testing.T) []string { return nil },
		"PostgreSQL": func(t *testing.T) []string {
			return []string{"--store", parts.Postgres(t).URL("postgres")}
		},
	} {
		t.Run(name, func(t *testing.T) { catchUp(t, server.Start(t, append(flags(t), "--limits", "off")...)) })
	}
}

// catchUp has a room filled, and then somebody told all of it while others go on.
func catchUp(t *testing.T, s *server.Server) {
	const room = "archive"
	c := gather(t, s, 1, guest.Load{Rooms: []string{room}, Window: 512, Size: 100, Seed: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 2*within)
	defer cancel()
	start := time.Now()
	if err := c.members[0].Reach(ctx, room, missed); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d messages were posted in %v", missed, time.Since(start).Round(time.Millisecond))
	if err := c.members[0].Settle(ctx); err != nil {
		t.Fatal(err)
	}
	c.members = append(c.members, guest.Start(guest.Load{Address: s.Address, Rooms: []string{room}, Window: 4, Size: 100, Seed: 9}))
	raw, byClient := replay(t, s, room), follow(ctx, t, s, room)
	c.finish(t)
	chains := make(map[int64]guest.Chain)
	var chain guest.Chain
	for _, m := range c.log[room] {
		if err := chain.Add(m); err != nil {
			t.Fatal(err)
		}
		chains[chain.Seq] = chain
	}
	for who, got := range map[string]guest.Chain{"a socket": raw, "the Go client": byClient} {
		if want := chains[got.Seq]; got.Seq < missed || got != want {
			t.Errorf("%s heard another log: chain %x at %d, the log has %x", who, got.Sum[:4], got.Seq, want.Sum[:4])
		}
	}
}

// replay is the chain of what a join for all gives until it is live.
func replay(t *testing.T, s *server.Server, room string) (chain guest.Chain) {
	t.Helper()
	g, err := guest.Enter(s.Address, wire.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	start := time.Now()
	if err := g.Say("join", wire.Join{Room: room, After: &chain.Seq, All: true}); err != nil {
		t.Fatal(err)
	}
	joined, err := guest.Await[wire.Joined](g)
	if err != nil || joined.After != 0 || joined.Last < missed || joined.Reset {
		t.Fatalf("joined with %+v, %v", joined, err)
	}
	for live := false; !live; {
		f, err := g.Next(guest.Patience)
		if err != nil {
			t.Fatalf("after %d: %v", chain.Seq, err)
		}
		var all []wire.Message
		switch f := f.(type) {
		case wire.Messages:
			all = f.Messages
		case wire.MessageFrame:
			all, live = []wire.Message{f.Message}, true
		}
		for _, m := range all {
			if err := chain.Add(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	took := time.Since(start)
	t.Logf("%d messages were replayed in %v, and the room is live", chain.Seq, took.Round(time.Millisecond))
	if took > within {
		t.Errorf("that is longer than %v", within)
	}
	return chain
}

// follow is the chain of what the Go client makes of it.
func follow(ctx context.Context, t *testing.T, s *server.Server, room string) (chain guest.Chain) {
	t.Helper()
	c, err := client.Dial(ctx, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	r, err := c.Join(ctx, room, &client.From{After: new(int64), All: true})
	if err != nil {
		t.Fatal(err)
	}
	for chain.Seq < missed {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %d: %v", chain.Seq, err)
		}
		if err := chain.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the Go client has %d messages in %v", chain.Seq, time.Since(start).Round(time.Millisecond))
	return chain
}
