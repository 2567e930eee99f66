package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

// machine drives a store and the reference with the same calls, from few rooms,
// people and nonces so that they meet often.
type machine struct {
	store, reference chat.Store
}

// model runs random sequences of calls. One store serves all of them, each in
// rooms and with people of its own.
func model(t *testing.T, f Factory) {
	s := open(t, f)
	world := 0
	rapid.Check(t, func(rt *rapid.T) {
		world++
		m := &machine{store: s, reference: memstore.New()}
		prefix := fmt.Sprint("world", world, "-")
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { m.append(rt, prefix, world) },
			"page":   func(rt *rapid.T) { m.page(rt, prefix) },
			"room":   func(rt *rapid.T) { m.room(rt, prefix) },
			"rename": func(rt *rapid.T) { m.rename(rt, world) },
			"login":  func(rt *rapid.T) { m.login(rt, world) },
		})
	})
}

func drawRoom(rt *rapid.T, prefix string) string {
	return prefix + rapid.SampledFrom([]string{"a", "b", "茶"}).Draw(rt, "room")
}

func drawUser(rt *rapid.T, world int) chat.User {
	n := rapid.IntRange(1, 3).Draw(rt, "user")
	return chat.User{ID: chat.UserID(world*10 + n), Name: rapid.SampledFrom([]string{"Ann", "Bob", "鹭"}).Draw(rt, "name")}
}

func drawLogin(rt *rapid.T, u chat.User, world int) *chat.Login {
	if !rapid.Bool().Draw(rt, "has login") {
		return nil
	}
	// A hash belongs to one person.
	l := &chat.Login{User: u, Created: start, Seen: drawTime(rt)}
	l.Hash = hashOf(u.ID, rapid.IntRange(0, 1).Draw(rt, "hash"), world)
	return l
}

func hashOf(id chat.UserID, n, world int) (h [32]byte) {
	copy(h[:], fmt.Sprint(id, "/", n, "/", world))
	return h
}

func drawTime(rt *rapid.T) time.Time {
	return start.Add(time.Duration(rapid.Int64Range(-5000, 5000).Draw(rt, "time")) * time.Microsecond * 100)
}

func (m *machine) append(rt *rapid.T, prefix string, world int) {
	batch := make([]chat.Draft, rapid.IntRange(0, 6).Draw(rt, "drafts"))
	for i := range batch {
		u := drawUser(rt, world)
		batch[i] = chat.Draft{
			Room:   drawRoom(rt, prefix),
			Author: u,
			Login:  drawLogin(rt, u, world),
			Nonce:  fmt.Sprint(rapid.IntRange(1, 9).Draw(rt, "nonce")),
			Text:   rapid.SampledFrom([]string{"x", "y", "龙井茶"}).Draw(rt, "text"),
			At:     drawTime(rt),
			Create: rapid.Bool().Draw(rt, "create"),
		}
	}
	got := of(m.store.Append(context.Background(), batch))
	want := of(m.reference.Append(context.Background(), batch))
	same(rt, "Append", got, want)
}

func (m *machine) page(rt *rapid.T, prefix string) {
	room := drawRoom(rt, prefix)
	r := chat.Newest(rapid.IntRange(1, 8).Draw(rt, "limit"))
	cursor := rapid.Int64Range(0, 25).Draw(rt, "cursor")
	switch rapid.IntRange(0, 3).Draw(rt, "kind") {
	case 1:
		r.Before = cursor
	case 2:
		r.After = cursor
	case 3:
		r.Around = cursor
	}
	got := of(m.store.Messages(context.Background(), room, r))
	want := of(m.reference.Messages(context.Background(), room, r))
	same(rt, fmt.Sprintf("Messages %+v", r), got, want)
}

func (m *machine) room(rt *rapid.T, prefix string) {
	var slugs []string
	for range rapid.IntRange(0, 3).Draw(rt, "rooms") {
		if slug := drawRoom(rt, prefix); !slices.Contains(slugs, slug) {
			slugs = append(slugs, slug)
		}
	}
	got := of(m.store.Find(context.Background(), slugs...))
	want := of(m.reference.Find(context.Background(), slugs...))
	for _, rooms := range [][]chat.Room{got.value, want.value} {
		slices.SortFunc(rooms, func(a, b chat.Room) int { return strings.Compare(a.Slug, b.Slug) })
	}
	same(rt, "Find", got, want)
}

func (m *machine) rename(rt *rapid.T, world int) {
	u := drawUser(rt, world)
	l := drawLogin(rt, u, world)
	got := of(struct{}{}, m.store.SaveUser(context.Background(), u, l))
	want := of(struct{}{}, m.reference.SaveUser(context.Background(), u, l))
	same(rt, "SaveUser", got, want)
}

func (m *machine) login(rt *rapid.T, world int) {
	hash := hashOf(drawUser(rt, world).ID, rapid.IntRange(0, 1).Draw(rt, "hash"), world)
	got := of(m.store.Login(context.Background(), hash))
	want := of(m.reference.Login(context.Background(), hash))
	same(rt, "Login", got, want)
}

// answer is what a call returned.
type answer[T any] struct {
	value T
	err   error
}

func of[T any](value T, err error) answer[T] { return answer[T]{value, err} }

func same[T any](rt *rapid.T, what string, got, want answer[T]) {
	rt.Helper()
	if !errors.Is(got.err, want.err) {
		rt.Fatalf("%s: error %v, the model has %v", what, got.err, want.err)
	}
	if diff := cmp.Diff(want.value, got.value, cmpopts.EquateErrors(), cmpopts.EquateEmpty()); diff != "" {
		rt.Fatalf("%s (-model +store):\n%s", what, diff)
	}
}
