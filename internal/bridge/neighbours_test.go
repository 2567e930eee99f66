package bridge_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/internal/bridge"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// several are the options of servers that have one log.
var several = bridge.Options{Patterns: []string{"tea-*"}, Neighbours: "neighbours"}

func TestARoomInWhichPeopleAreOnAnotherServerIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		leader, other := s.serve(several, chat.Options{}), s.serve(several, chat.Options{})
		d := s.django()
		other.Occupied("tea-1", true)
		other.Occupied("coffee", true)
		synctest.Wait()
		d.say("chat_tea-1", "one")
		d.say("chat_coffee", "one")
		same(t, "the room", s.log("tea-1"), "Django: one")
		same(t, "a room that is not shared", s.log("coffee"))

		other.Occupied("tea-2", true)
		time.Sleep(time.Minute)
		d.say("chat_tea-2", "they are still there")
		same(t, "the room", s.log("tea-2"), "Django: they are still there")

		other.Occupied("tea-3", true)
		synctest.Wait()
		if got := leader.Stats().Rooms; got != 3 {
			t.Errorf("%d rooms are followed", got)
		}
		other.Occupied("tea-3", false)
		time.Sleep(30 * time.Second)
		if got := leader.Stats().Rooms; got != 2 { // those with messages stay
			t.Errorf("%d rooms are followed after one was left", got)
		}
	})
}

func TestWhoTakesOverLearnsWherePeopleAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		nodes := []*node{s.serve(several, chat.Options{}), s.serve(several, chat.Options{}), s.serve(several, chat.Options{})}
		for i, n := range nodes {
			n.Occupied(fmt.Sprint("tea-", i), true)
		}
		d := s.django()
		for turn := range 4 {
			time.Sleep(6 * time.Second)
			for i := range nodes {
				d.say(fmt.Sprint("chat_tea-", i), fmt.Sprint(turn))
			}
			synctest.Wait()
			s.chair.lose()
		}
		for i := range nodes {
			room := fmt.Sprint("tea-", i)
			same(t, room, s.log(room), "Django: 0", "Django: 1", "Django: 2", "Django: 3")
		}
	})
}

func TestWhatNeighboursSayIsNotBelievedBlindly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		n := s.serve(several, chat.Options{})
		d := s.django()
		for _, rooms := range []any{
			nil, "tea-1", map[string]any{"tea-1": true}, []any{1, nil, []any{"tea-1"}},
			[]any{"coffee", "", "\xff", "tea-\u200b", "tea-a\x00", "TEA-1 ", "tea-0123456789abcdef.0123456789abcdef0123456789abcdef"},
		} {
			d.send("neighbours", "teahouse.rooms", map[string]any{"rooms": rooms})
		}
		d.send("neighbours", "chat.message", map[string]any{"rooms": []any{"tea-1"}})
		synctest.Wait()
		if got := n.Stats().Rooms; got != 0 {
			t.Errorf("%d rooms are followed", got)
		}
		flood := make([]any, bridge.MaxRooms+10)
		for i := range flood {
			flood[i] = fmt.Sprint("tea-", i)
		}
		d.send("neighbours", "teahouse.rooms", map[string]any{"rooms": flood})
		synctest.Wait()
		if got := n.Stats(); got.Rooms != bridge.MaxRooms || got.Beyond != 10 {
			t.Errorf("%d rooms are followed, %d are not", got.Rooms, got.Beyond)
		}
		time.Sleep(30 * time.Second)
		if got := n.Stats().Rooms; got != 0 {
			t.Errorf("%d rooms are followed though nobody told of them again", got)
		}
	})
}

func TestWhoStoodStillBeyondTheLeaseStoresNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		n := s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{})
		d := s.django()
		d.say("chat_lobby", "in time")
		synctest.Wait()
		s.chair.over.Store(true) // and the context of the lease goes on
		d.say("chat_lobby", "another server heard this")
		same(t, "the room", s.log("lobby"), "Django: in time")
		if got := n.Stats(); got.Late != 1 || got.In != 1 || !got.Leading {
			t.Errorf("%+v", got)
		}
		s.chair.over.Store(false)
		d.say("chat_lobby", "it has the lease again")
		same(t, "the room", s.log("lobby"), "Django: in time", "Django: it has the lease again")
	})
}
