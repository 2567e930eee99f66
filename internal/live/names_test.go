package live

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// called is person 7 with a name.
func called(name string) chat.User { return chat.User{ID: someone(7).ID, Name: name} }

func TestWhatTheStoreSaysLaterIsTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		one.come(7, 7)
		pass(5 * time.Second)
		one.Renamed(called("Nova"))
		pass(5 * time.Second)
		one.losing(everything)
		one.Renamed(called("Vera"))
		pass(time.Second)
		one.losing(nil)
		pass(20 * time.Second)
		one.gone(7, 7)
		two.presence.join("a", called("Vera"), time.Now())  // whose socket has just read it
		two.presence.join("b", called("Nova"), time.Time{}) // and one that is older
		pass(5 * time.Second)
		for _, d := range []*node{one, two} {
			d.sees(t, append(sorted(1, 2), person(called("Vera")))...)
		}
		if here := two.presence.page("b", "", 1); here.People[0].Name != "Vera" {
			t.Errorf("in another room they are %+v", here.People)
		}
	})
}

func TestALaterSocketBringsTheLaterName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		p := newPresence(out.publish)
		defer p.stop()
		start := time.Now()
		p.join("a", called("Nova"), start)
		p.join("b", called("Nova"), start)
		pass(time.Minute)
		out.take()
		p.join("a", called("Vera"), start.Add(30*time.Second)) // Renamed was never heard of
		p.join("a", called("Nova"), start)                     // an older socket
		pass(5 * time.Second)
		want(t, out.take(), wire.Renamed{Person: person(called("Vera"))})
		p.rename(called("Ruth"))
		p.join("b", called("Vera"), start.Add(30*time.Second))
		for _, room := range []string{"a", "b"} {
			if here := p.page(room, "", 1); here.People[0].Name != "Ruth" {
				t.Errorf("in %s they are %+v", room, here.People)
			}
		}
	})
}

func TestNamesThatOvertakeEachOtherEndWithTheLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		nodes := []*node{w.node(t, 1), w.node(t, 2), w.node(t, 3)}
		nodes[2].come(7, 7)
		pass(10 * time.Second)
		tapes := make([][]channels.Delivery, 2)
		for i, name := range []string{"Nova", "Vera"} { // on two nodes, and late for the third
			nodes[2].losing(everything)
			stop := nodes[i].record()
			nodes[i].Renamed(called(name))
			pass(100 * time.Millisecond)
			tapes[i] = stop()
		}
		nodes[2].losing(nil)
		nodes[2].replay(tapes[1]...)
		nodes[2].replay(tapes[0]...)
		pass(10 * time.Second)
		for _, d := range nodes {
			d.sees(t, append(sorted(1, 2, 3), person(called("Vera")))...)
		}
		nodes[2].presence.join("b", someone(7), time.Time{}) // by a socket that is older than both
		if here := nodes[2].presence.page("b", "", 1); here.People[0].Name != "Vera" {
			t.Errorf("in another room they are %+v", here.People)
		}
	})
}

func TestASocketShowsTheNameThatItHasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		pass(5 * time.Second)
		old := two.dial(t)
		old.say(wire.Hello{Token: "7"})
		next[wire.Welcome](old)
		pass(time.Second)
		one.Renamed(called("Nova"))
		pass(time.Second)
		old.say(wire.Join{Room: "a"})
		next[wire.Joined](old)
		two.sees(t, append(sorted(1, 2), person(called("Nova")))...)
		two.enter(t, 7, "a") // their name is P7 again, which two has not heard
		pass(5 * time.Second)
		for _, d := range []*node{one, two} {
			d.sees(t, append(sorted(1, 2), person(someone(7)))...)
		}
	})
}
