package promises_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

// enter is a guest in a room, until the end of the test; token may be empty.
func enter(t *testing.T, s *server.Server, room, token string) *guest.Guest {
	t.Helper()
	g, err := guest.Enter(s.Address, wire.Hello{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	if _, _, err := g.Join(wire.Join{Room: room}); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestOneNonceFromManySocketsIsOneMessage is F15: the same person posts the same
// nonces from eight sockets at once.
func TestOneNonceFromManySocketsIsOneMessage(t *testing.T) {
	const sockets, nonces = 8, 100
	s := server.Start(t, "--limits", "off")
	first := enter(t, s, "one", "")
	all := []*guest.Guest{first}
	for range sockets - 1 {
		all = append(all, enter(t, s, "one", first.Welcome.Token))
	}
	seqs := make([][]int64, sockets)
	errs := make([]error, sockets)
	var posting sync.WaitGroup
	for i, g := range all {
		posting.Go(func() {
			for n := range nonces {
				seq, _, err := g.Post(wire.Post{Room: "one", Nonce: fmt.Sprint(n), Text: fmt.Sprint("text ", n)})
				if err != nil {
					errs[i] = fmt.Errorf("socket %d, nonce %d: %w", i, n, err)
					return
				}
				seqs[i] = append(seqs[i], seq)
			}
		})
	}
	posting.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, got := range seqs {
		for n, seq := range got {
			if seq != seqs[0][n] {
				t.Fatalf("nonce %d is number %d to socket %d and %d to the first", n, seq, i, seqs[0][n])
			}
		}
	}
	log, err := guest.History(t.Context(), s.Address, "one", 0)
	if err != nil || len(log) != nonces {
		t.Errorf("%d messages in the log, %v; want %d", len(log), err, nonces)
	}
}

// TestANonceStandsForOneTextForEver is F16, and survives a restart.
func TestANonceStandsForOneTextForEver(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	g := enter(t, s, "one", "")
	said := wire.Post{Room: "one", Nonce: "n", Text: "the first text"}
	seq, _, err := g.Post(said)
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	g = enter(t, s, "one", g.Welcome.Token)
	if got, again, err := g.Post(said); err != nil || !again || got != seq {
		t.Errorf("repeated after a restart: number %d, again %v, %v; want %d", got, again, err, seq)
	}
	other := said
	other.Text = "another text"
	var mistake *guest.Mistake
	if _, _, err := g.Post(other); !errors.As(err, &mistake) || mistake.Code != wire.CodeNonceConflict {
		t.Errorf("another text: %v, want nonce_conflict", err)
	}
	// The nonce is the author's and the room's own.
	if _, again, err := enter(t, s, "one", "").Post(other); err != nil || again {
		t.Errorf("of somebody else: again %v, %v", again, err)
	}
	other.Room = "two"
	if _, again, err := enter(t, s, "two", g.Welcome.Token).Post(other); err != nil || again {
		t.Errorf("in another room: again %v, %v", again, err)
	}
}

// TestTwoServersOnOneFolder: the second says so and ends, the first goes on.
func TestTwoServersOnOneFolder(t *testing.T) {
	s := server.Start(t)
	g := enter(t, s, "one", "")
	second := server.New(t, server.Options{Data: s.Data})
	if err := second.Launch(); err != nil {
		t.Fatal(err)
	}
	if code, err := second.Wait(server.Patience); err != nil || code <= 0 {
		t.Errorf("exit code %d, %v", code, err)
	}
	if second.Log() == "" {
		t.Error("the second server does not say why it ends")
	}
	if _, _, err := g.Post(wire.Post{Room: "one", Nonce: "n", Text: "still here"}); err != nil {
		t.Error(err)
	}
}
