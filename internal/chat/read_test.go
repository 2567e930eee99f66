package chat_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

// fill puts n messages with a text into a room of a store.
func fill(t *testing.T, store chat.Store, room string, n int, text string) {
	t.Helper()
	var batch []chat.Draft
	for i := range n {
		batch = append(batch, chat.Draft{Room: room, Author: ann, Nonce: fmt.Sprint(i), Text: text, Create: true})
	}
	if _, err := store.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func TestPagesAreClampedInNumber(t *testing.T) {
	store := memstore.New()
	fill(t, store, "lobby", 300, "x")
	s := newService(t, chat.Options{Store: store})
	for limit, want := range map[int]int{-5: 1, 0: 50, 1: 1, 200: 200, 201: 200, 1e9: 200} {
		p, err := s.Page(t.Context(), " lobby", chat.Newest(limit))
		if err != nil || len(p.Messages) != want || p.First || !p.Last || p.LastSeq != 300 {
			t.Errorf("limit %d: %d messages, %v %v %v", limit, len(p.Messages), p.First, p.Last, err)
		}
	}
	if _, err := s.Page(t.Context(), "lobby", chat.Range{Before: 5, After: 0, Around: -1}); !errors.Is(err, chat.ErrBadQuery) {
		t.Errorf("two cursors: %v", err)
	}
	if _, err := s.Page(t.Context(), "", chat.Newest(1)); !errors.Is(err, chat.ErrBadRoom) {
		t.Errorf("no room: %v", err)
	}
}

func TestPagesAreClampedInBytesAwayFromTheCursor(t *testing.T) {
	store := memstore.New()
	fill(t, store, "lobby", 40, strings.Repeat("𠀀", 8000)) // 8 and a bit in a page
	s := newService(t, chat.Options{Store: store})
	none := chat.Range{Before: -1, After: -1, Around: -1, Limit: 40}
	before, after, around, first, last := none, none, none, none, none
	before.Before, after.After, around.Around, first.Around, last.Around = 41, 0, 20, 1, 40
	for _, c := range []struct {
		name        string
		r           chat.Range
		from, to    int64
		first, last bool
	}{
		{"newest", none, 33, 40, false, true},
		{"before", before, 33, 40, false, true},
		{"after", after, 1, 8, true, false},
		{"around the middle", around, 17, 24, false, false},
		{"around the first", first, 1, 8, true, false},
		{"around the last", last, 33, 40, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := s.Page(t.Context(), "lobby", c.r)
			if err != nil {
				t.Fatal(err)
			}
			from, to := p.Messages[0].Seq, p.Messages[len(p.Messages)-1].Seq
			if from != c.from || to != c.to || p.First != c.first || p.Last != c.last {
				t.Fatalf("%d to %d, first %v last %v; want %d to %d, %v %v", from, to, p.First, p.Last, c.from, c.to, c.first, c.last)
			}
		})
	}
}

func TestResumingGivesTheMissedOrTheNewest(t *testing.T) {
	store := memstore.New()
	fill(t, store, "short", 10, "x")
	fill(t, store, "long", 1200, "x")
	s := newService(t, chat.Options{Store: store})
	epoch := s.Epoch()
	for _, c := range []struct {
		name, room string
		p          chat.Position
		want       chat.Resumption
		err        error
	}{
		{"no position", "short", chat.Position{After: -1, Limit: 4}, chat.Resumption{Room: "short", After: 6, Last: 10}, nil},
		{"no position, short room", "short", chat.Position{After: -1}, chat.Resumption{Room: "short", After: 0, Last: 10, First: true}, nil},
		{"no position, limit clamped", "long", chat.Position{After: -1, Limit: 1e9}, chat.Resumption{Room: "long", After: 1000, Last: 1200}, nil},
		{"at the end", "short", chat.Position{After: 10, Epoch: epoch}, chat.Resumption{Room: "short", After: 10, Last: 10}, nil},
		{"behind", "short", chat.Position{After: 7, Epoch: epoch}, chat.Resumption{Room: "short", After: 7, Last: 10}, nil},
		{"from the beginning", "short", chat.Position{}, chat.Resumption{Room: "short", After: 0, Last: 10, First: true}, nil},
		{"500 behind", "long", chat.Position{After: 700, Epoch: epoch}, chat.Resumption{Room: "long", After: 700, Last: 1200}, nil},
		{"501 behind", "long", chat.Position{After: 699, Epoch: epoch}, chat.Resumption{Room: "long", After: 1150, Last: 1200, Reset: true}, nil},
		{"501 behind, and wants all", "long", chat.Position{After: 699, Epoch: epoch, All: true}, chat.Resumption{Room: "long", After: 699, Last: 1200}, nil},
		{"all from the beginning", "long", chat.Position{All: true}, chat.Resumption{Room: "long", After: 0, Last: 1200, First: true}, nil},
		{"no position, and wants all", "short", chat.Position{After: -1, Limit: 4, All: true}, chat.Resumption{Room: "short", After: 6, Last: 10}, nil},
		{"from a far beginning", "long", chat.Position{}, chat.Resumption{Room: "long", After: 1150, Last: 1200, Reset: true}, nil},
		{"unknown room", "none", chat.Position{After: -1}, chat.Resumption{Room: "none", First: true}, nil},
		{"unknown room from the beginning", "none", chat.Position{}, chat.Resumption{Room: "none", First: true}, nil},
		{"beyond the end", "short", chat.Position{After: 11, Epoch: epoch}, chat.Resumption{}, chat.ErrBadSeq},
		{"beyond an unknown room", "none", chat.Position{After: 1, Epoch: epoch}, chat.Resumption{}, chat.ErrBadSeq},
		{"another epoch", "short", chat.Position{After: 3, Epoch: "0123456789abcdef"}, chat.Resumption{}, chat.ErrBadEpoch},
		{"a position of no epoch", "short", chat.Position{After: 3}, chat.Resumption{}, chat.ErrBadEpoch},
		{"another epoch without a position", "short", chat.Position{After: -1, Epoch: "x"}, chat.Resumption{Room: "short", Last: 10, First: true}, nil},
		{"no room name", "..", chat.Position{After: -1}, chat.Resumption{}, chat.ErrBadRoom},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := s.Resume(t.Context(), c.room, c.p)
			if !errors.Is(err, c.err) || got != c.want {
				t.Fatalf("%+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
			if err != nil {
				return
			}
			next := got.After
			for page, err := range s.Replay(t.Context(), got) {
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range page {
					if next++; m.Seq != next {
						t.Fatalf("replay gave %d for %d", m.Seq, next)
					}
				}
			}
			if next != got.Last {
				t.Fatalf("replay ended at %d of %d", next, got.Last)
			}
		})
	}
}

func TestReplayStopsAtItsEndAndWhenTold(t *testing.T) {
	store := memstore.New()
	fill(t, store, "lobby", 450, "x")
	s := newService(t, chat.Options{Store: store})
	r := chat.Resumption{Room: "lobby", After: 3, Last: 440}
	var sizes []int
	for page := range s.Replay(t.Context(), r) {
		sizes = append(sizes, len(page))
	}
	if diff := cmp.Diff([]int{200, 200, 37}, sizes); diff != "" {
		t.Fatalf("pages (-want +got):\n%s", diff)
	}
	for range s.Replay(t.Context(), r) {
		break
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for page, err := range s.Replay(ctx, r) {
		if len(page) > 0 || !errors.Is(err, context.Canceled) || errors.Is(err, chat.ErrUnavailable) {
			t.Fatalf("cancelled: %d messages, %v", len(page), err)
		}
	}
}

func TestRenamingFollowsTheRulesAndShowsEverywhere(t *testing.T) {
	store := memstore.New()
	s := newService(t, chat.Options{Store: store})
	if _, _, err := s.Post(t.Context(), post("lobby", "a", "x")); err != nil {
		t.Fatal(err)
	}
	u, err := s.Rename(t.Context(), chat.Naming{User: ann, Name: "  Ａnna "})
	if err != nil || u != (chat.User{ID: ann.ID, Name: "Anna"}) {
		t.Fatalf("%+v %v", u, err)
	}
	p, err := s.Page(t.Context(), "lobby", chat.Newest(1))
	if err != nil || p.Messages[0].Author != u {
		t.Fatalf("%+v %v", p, err)
	}
	if _, err := s.Rename(t.Context(), chat.Naming{User: ann, Name: "system"}); !errors.Is(err, chat.ErrBadName) {
		t.Fatalf("reserved: %v", err)
	}
	l := chat.Login{Hash: [32]byte{1}, User: chat.User{ID: 9}}
	if _, err := s.Rename(t.Context(), chat.Naming{User: l.User, Login: &l, Name: "Cy"}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Login(t.Context(), l.Hash); err != nil || got.User.Name != "Cy" {
		t.Fatalf("login: %+v %v", got, err)
	}
}

func TestReadingTellsAnswersFromFailures(t *testing.T) {
	store := memstore.New()
	s := newService(t, chat.Options{Store: store})
	fill(t, store, "lobby", 1, "x")
	if r, err := s.Room(t.Context(), " lobby "); err != nil || r.LastSeq != 1 {
		t.Errorf("Room: %+v %v", r, err)
	}
	if rooms, err := s.Recent(t.Context(), 0); err != nil || len(rooms) != 1 {
		t.Errorf("Recent: %+v %v", rooms, err)
	}
	if _, err := s.Room(t.Context(), "none"); !errors.Is(err, chat.ErrNoRoom) || errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("unknown room: %v", err)
	}
	if _, err := s.Login(t.Context(), [32]byte{}); !errors.Is(err, chat.ErrNoLogin) || errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("unknown login: %v", err)
	}
	store.Close()
	if _, err := s.Page(t.Context(), "lobby", chat.Newest(1)); !errors.Is(err, chat.ErrUnavailable) || chat.RetryAfter(err) == 0 {
		t.Errorf("closed store: %v", err)
	}
	if _, err := s.Resume(t.Context(), "lobby", chat.Position{After: -1}); !errors.Is(err, chat.ErrUnavailable) {
		t.Errorf("closed store: %v", err)
	}
}

func TestAFailingReadIsLoggedOnceAndItsInsidesStayInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		store := memstore.New()
		s := newService(t, chat.Options{Store: store, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			_, err := s.Page(t.Context(), "lobby", chat.Newest(1))
			if code, sentence := chat.Code(err); code != "unavailable" || strings.Contains(sentence, "reading") {
				t.Errorf("told as %s %q", code, sentence)
			}
		}
		if n := strings.Count(log.String(), "the store failed"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
		time.Sleep(11 * time.Second)
		if _, err := s.Recent(t.Context(), 1); !errors.Is(err, chat.ErrUnavailable) {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "the store failed"); n != 2 {
			t.Errorf("after a while logged %d times:\n%s", n, &log)
		}
	})
}
