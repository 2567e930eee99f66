package guest_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAChainTellsLogsApart(t *testing.T) {
	at := wire.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	said := func(seq int64, author, text string) wire.Message {
		return wire.Message{Seq: seq, Author: wire.Person{ID: author}, Text: text, Nonce: "n", At: at}
	}
	chain := func(all ...wire.Message) guest.Chain {
		var c guest.Chain
		for _, m := range all {
			if err := c.Add(m); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	log := chain(said(1, "a", "x"), said(2, "b", "y"))
	if log != chain(said(1, "a", "x"), said(2, "b", "y")) {
		t.Error("equal logs have different chains")
	}
	for name, other := range map[string]guest.Chain{
		"another text":    chain(said(1, "a", "x"), said(2, "b", "z")),
		"another author":  chain(said(1, "a", "x"), said(2, "c", "y")),
		"another order":   chain(said(1, "b", "y"), said(2, "a", "x")),
		"one more":        chain(said(1, "a", "x"), said(2, "b", "y"), said(3, "b", "z")),
		"borders shifted": chain(said(1, "a", "x"), said(2, "bn", "y")),
	} {
		if other == log {
			t.Errorf("%s has the same chain", name)
		}
	}
	for name, next := range map[string]int64{"a gap": 4, "a double": 2, "a step back": 1} {
		c := log
		if err := c.Add(said(next, "a", "x")); err == nil || c != log {
			t.Errorf("%s was taken: %v", name, err)
		}
	}
}
