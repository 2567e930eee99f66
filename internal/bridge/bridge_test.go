package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/bridge"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatIsSaidHereReachesDjangoAsTheOriginalSendsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		one := s.serve(bridge.Options{Patterns: []string{"lobby", "茶"}}, chat.Options{})
		two := s.serve(bridge.Options{Patterns: []string{"lobby", "茶"}}, chat.Options{})
		d := s.django()
		tea, _ := bridge.Group("茶")
		d.consume("chat_lobby")
		d.consume(tea)
		d.consume("chat_other")
		one.say(t, "lobby", "first")
		same(t, "Django", d.took(), "chat.message Ann first <nil>")
		two.say(t, "lobby", "second")
		two.say(t, "other", "not bridged")
		same(t, "Django", d.took(), "chat.message Ann second <nil>")
		one.say(t, "茶", "third")
		same(t, "Django", d.took(), "chat.message Ann third <nil>")
		same(t, "the room", s.log("lobby"), "Ann: first", "Ann: second")
		if one.Stats().Out != 2 || two.Stats().Out != 1 {
			t.Errorf("sent: %+v, %+v", one.Stats(), two.Stats())
		}
	})
}

func TestWhatDjangoSaysIsInTheLogOnceAndNotSentBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		nodes := []*node{
			s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{}),
			s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{}),
			s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{}),
		}
		d, listener := s.django(), s.django()
		listener.consume("chat_lobby")
		var said, want []string
		for i := range 500 {
			d.say("chat_lobby", fmt.Sprint(i))
			said = append(said, fmt.Sprintf("chat.message <nil> %d <nil>", i))
			want = append(want, fmt.Sprintf("Django: %d", i))
		}
		same(t, "the room", s.log("lobby"), want...)
		same(t, "Django", listener.took(), said...)
		in := 0
		for _, n := range nodes {
			in += int(n.Stats().In)
		}
		if in != 500 {
			t.Errorf("%d were counted", in)
		}
	})
}

func TestAnAuthorIsTheSiteOrATrustedUsernameAndNeverAGuest(t *testing.T) {
	for _, c := range []struct {
		name     string
		options  bridge.Options
		username any
		want     string
	}{
		{"no username", bridge.Options{Usernames: true}, nil, "Django"},
		{"a username that is trusted", bridge.Options{Usernames: true}, "Ann", "Ann"},
		{"a username that is not", bridge.Options{}, "Ann", "Django"},
		{"another name of the site", bridge.Options{Name: "Forum"}, "Ann", "Forum"},
		{"a username that nobody may have here", bridge.Options{Usernames: true}, "admin", "Django"},
		{"a username that is too long", bridge.Options{Usernames: true}, strings.Repeat("x", 99), "Django"},
		{"a username that is no text", bridge.Options{Usernames: true}, 7, "Django"},
		{"the name of the site", bridge.Options{Usernames: true}, "Django", "Django"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				c.options.Patterns = []string{"lobby"}
				n := s.serve(c.options, chat.Options{})
				n.say(t, "lobby", "I am real")
				s.django().send("chat_lobby", "chat_message", map[string]any{"message": "hi", "username": c.username})
				same(t, "the room", s.log("lobby"), "Ann: I am real", c.want+": hi")
				page, err := s.store.Messages(t.Context(), "lobby", chat.Newest(2))
				if err != nil {
					t.Fatal(err)
				}
				real, bridged := page.Messages[0].Author.ID, page.Messages[1].Author.ID
				if real.Bridged() || !bridged.Bridged() || !strings.HasPrefix(bridged.Tag(), "via") {
					t.Errorf("ids %v and %v, tag %s", real, bridged, bridged.Tag())
				}
				if site := chat.BridgedID("django site", "Django"); c.username == "Django" && bridged == site {
					t.Error("a user of Django is taken for the site")
				}
			})
		})
	}
}

func TestWhatIsNoMessageOfDjangosIsIgnoredOrRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		n := s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{})
		d := s.django()
		d.send("chat_lobby", "chat.message", map[string]any{"message": "another Teahouse's", bridge.Marker: 7})
		d.send("chat_lobby", "chat.join", map[string]any{"message": "an event for other handlers"})
		if got := n.Stats(); s.log("lobby") != nil || got.Refused != 0 {
			t.Errorf("%+v", got)
		}
		refused := []map[string]any{
			nil, {}, {"message": nil}, {"message": 1}, {"message": []byte("bytes")}, {"message": map[string]any{}},
			{"message": ""}, {"message": "\u200b"}, {"message": "\xff"}, {"message": strings.Repeat("x", chat.MaxText+1)},
		}
		for _, payload := range refused {
			d.send("chat_lobby", "chat.message", payload)
		}
		d.say("chat_lobby", "good")
		same(t, "the room", s.log("lobby"), "Django: good")
		if got := n.Stats(); got.Refused != uint64(len(refused)) || got.In != 1 {
			t.Errorf("%+v", got)
		}
	})
}

func TestAPatternFollowsRoomsThatAreThereAreMadeOrAreEntered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		first := s.serve(bridge.Options{}, chat.Options{}) // holds no rooms, but the lease
		first.say(t, "tea-old", "here before")
		first.say(t, "coffee", "not bridged")
		first.stop()
		n := s.serve(bridge.Options{Patterns: []string{"tea-*", "t?o[12]"}}, chat.Options{})
		other := s.serve(bridge.Options{Patterns: []string{"tea-*", "t?o[12]"}}, chat.Options{})
		d := s.django()

		d.say("chat_tea-old", "one")
		same(t, "a room of the log", s.log("tea-old"), "Ann: here before", "Django: one")
		n.say(t, "two1", "now")
		synctest.Wait()
		d.say("chat_two1", "two")
		same(t, "a room made here", s.log("two1"), "Ann: now", "Django: two")
		other.say(t, "tea-new", "now")
		time.Sleep(11 * time.Second)
		d.say("chat_tea-new", "three")
		same(t, "a room made by another server", s.log("tea-new"), "Ann: now", "Django: three")

		d.say("chat_tea-empty", "nobody listens")
		same(t, "a room that is nowhere", s.log("tea-empty"))
		n.Occupied("tea-empty", true)
		n.Occupied("coffee", true)
		n.Occupied("tea-left", true)
		n.Occupied("tea-left", false)
		synctest.Wait()
		for _, room := range []string{"tea-empty", "tea-left", "coffee"} {
			d.say("chat_"+room, "four")
		}
		same(t, "a room that is entered", s.log("tea-empty"), "Django: four")
		same(t, "a room that is left", s.log("tea-left"))
		same(t, "a room that is not bridged", s.log("coffee"), "Ann: not bridged")

		n.Occupied("tea-empty", false)
		synctest.Wait()
		d.say("chat_tea-empty", "five")
		same(t, "a room that is left and in the log", s.log("tea-empty"), "Django: four", "Django: five")
		if got := n.Stats().Rooms; got != 4 {
			t.Errorf("%d rooms are followed", got)
		}
	})
}

func TestAnotherServerTakesOverWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		one := s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{})
		two := s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{})
		d := s.django()
		for i := range 6 {
			d.say("chat_lobby", fmt.Sprint(i))
			synctest.Wait()
			if one.Stats().Leading == two.Stats().Leading {
				t.Errorf("both or none have the lease: %+v, %+v", one.Stats(), two.Stats())
			}
			s.chair.lose()
			time.Sleep(2 * time.Second)
		}
		same(t, "the room", s.log("lobby"), "Django: 0", "Django: 1", "Django: 2", "Django: 3", "Django: 4", "Django: 5")
		if one.Stats().In != 3 || two.Stats().In != 3 {
			t.Errorf("%+v, %+v", one.Stats(), two.Stats())
		}
	})
}

// rates lets so many posts of each key through, and then one in a second.
type rates struct {
	mu   sync.Mutex
	left map[string]int
	next map[string]time.Time
}

func (r *rates) Take(kind chat.Limit, key string) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := fmt.Sprint(kind, " ", key)
	n, limited := r.left[k]
	switch now := time.Now(); {
	case !limited:
		return 0
	case n > 0:
		r.left[k]--
		return 0
	case now.Before(r.next[k]):
		return r.next[k].Sub(now)
	default:
		r.next[k] = now.Add(time.Second)
		return 0
	}
}

func TestTheSiteIsSlowedDownAndAPersonWhoIsTooFastIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		fast := chat.BridgedID("django", "Fast").String()
		limiter := &rates{next: map[string]time.Time{}, left: map[string]int{
			"messages per address django:lobby": 3, "messages " + fast: 2,
		}}
		n := s.serve(bridge.Options{Patterns: []string{"lobby", "other"}, Usernames: true}, chat.Options{Limiter: limiter})
		d := s.django()
		for i := range 6 {
			d.say("chat_lobby", fmt.Sprint(i))
		}
		same(t, "at once", s.log("lobby"), "Django: 0", "Django: 1", "Django: 2", "Django: 3")
		time.Sleep(3 * time.Second)
		if got := len(s.log("lobby")); got != 6 {
			t.Errorf("%d messages are there in the end", got)
		}
		for range 10 {
			d.send("chat_other", "chat.message", map[string]any{"message": "flood", "username": "Fast"})
		}
		d.send("chat_other", "chat.message", map[string]any{"message": "calm", "username": "Slow"})
		same(t, "the other room", s.log("other"), "Fast: flood", "Fast: flood", "Fast: flood", "Slow: calm")
		if got := n.Stats(); got.Limited != 7 || got.In != 10 {
			t.Errorf("%+v", got)
		}
	})
}

// failing is a store that can be broken.
type failing struct {
	chat.Store
	mu     sync.Mutex
	broken bool
}

func (f *failing) set(broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

func (f *failing) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	if broken {
		return nil, errors.New("no space left on device")
	}
	return f.Store.Append(ctx, batch)
}

func TestALogThatFailsForAWhileLosesNothingOfDjango(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		store := &failing{Store: s.store, broken: true}
		s.store = store
		n := s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{})
		d := s.django()
		for i := range 3 {
			d.say("chat_lobby", fmt.Sprint(i))
		}
		time.Sleep(10 * time.Second)
		same(t, "while the store fails", s.log("lobby"))
		store.set(false)
		time.Sleep(3 * time.Second)
		same(t, "the room", s.log("lobby"), "Django: 0", "Django: 1", "Django: 2")

		store.set(true)
		d.say("chat_lobby", "lost")
		time.Sleep(time.Minute)
		store.set(false)
		d.say("chat_lobby", "stored")
		same(t, "the room", s.log("lobby"), "Django: 0", "Django: 1", "Django: 2", "Django: stored")
		if got := n.Stats(); got.Failed != 1 {
			t.Errorf("%+v", got)
		}

		store.set(true)
		d.say("chat_lobby", "at the end")
		synctest.Wait()
		begun := time.Now()
		n.stop()
		if took := time.Since(begun); took > 2*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}

func TestMoreThanCanWaitIsDroppedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		store := &failing{Store: s.store, broken: true}
		s.store = store
		n := s.serve(bridge.Options{Patterns: []string{"lobby"}}, chat.Options{})
		d := s.django()
		text := strings.Repeat("x", 8000)
		for range 200 {
			d.say("chat_lobby", text)
			synctest.Wait()
		}
		if got := n.Stats().InDropped; got < 50 || got > 150 {
			t.Errorf("of 200 messages of 8 KB %d were dropped", got)
		}
		s.hub.Cut()
		synctest.Wait()
		if got := n.Stats().Missed; got != 1 {
			t.Errorf("%d gaps were counted", got)
		}
	})
}
