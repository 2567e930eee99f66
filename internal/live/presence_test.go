package live

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is what a presence published, as it would be read.
type told struct {
	mu     sync.Mutex
	events []string
}

func (t *told) publish(room string, e channels.Event) {
	f, local := e.Payload.(wire.Frame)
	if !local {
		f = e.Payload.(shared).frame
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, room+" "+string(wire.Encode(f)))
}

// take returns what was published since the last take.
func (t *told) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	events := t.events
	t.events = nil
	return events
}

func someone(n int) chat.User { return chat.User{ID: chat.UserID(n), Name: fmt.Sprint("P", n)} }

// pass lets time go by and everything that is due then happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func want(t *testing.T, got []string, frames ...wire.Frame) {
	t.Helper()
	var texts []string
	for _, f := range frames {
		texts = append(texts, "a "+string(wire.Encode(f)))
	}
	if diff := cmp.Diff(texts, got); diff != "" {
		t.Errorf("told (-want +got)\n%s", diff)
	}
}

func TestWhoIsHereIsToldOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		p := newPresence(out.publish)
		defer p.stop()
		p.join("a", someone(1), time.Time{})
		here := p.join("a", someone(2), time.Time{})
		if here.Count != 2 || len(here.People) != 2 || here.People[0].Name != "P1" {
			t.Errorf("joined: %+v", here)
		}
		pass(500 * time.Millisecond)
		want(t, out.take())
		p.join("a", someone(3), time.Time{})
		p.leave("a", 2)
		pass(600 * time.Millisecond)
		want(t, out.take(), wire.Here{Room: "a", Count: 2, Joined: sorted(1, 3)})
		p.leave("a", 3)
		pass(999 * time.Millisecond)
		want(t, out.take())
		pass(time.Millisecond)
		want(t, out.take(), wire.Here{Room: "a", Count: 1, Left: []string{someone(3).ID.String()}})
		pass(time.Minute)
		want(t, out.take())
	})
}

func sorted(ids ...int) (people []wire.Person) {
	for _, id := range ids {
		people = append(people, person(someone(id)))
	}
	return people
}

func TestAReloadIsNoChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		p := newPresence(out.publish)
		defer p.stop()
		p.join("a", someone(1), time.Time{})
		p.join("a", someone(2), time.Time{})
		pass(2 * time.Second)
		out.take()
		p.leave("a", 2)
		pass(100 * time.Millisecond)
		p.join("a", someone(2), time.Time{})
		pass(2 * time.Second)
		want(t, out.take())
	})
}

func TestAPersonIsThereAsLongAsOneOfTheirSocketsIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		p := newPresence(out.publish)
		defer p.stop()
		p.join("a", someone(1), time.Time{})
		p.join("a", someone(2), time.Time{})
		p.join("a", someone(2), time.Time{})
		pass(2 * time.Second)
		out.take()
		p.leave("a", 2)
		pass(2 * time.Second)
		want(t, out.take())
		p.leave("a", 2)
		p.leave("a", 2) // once too often does no harm
		pass(2 * time.Second)
		want(t, out.take(), wire.Here{Room: "a", Count: 1, Left: []string{someone(2).ID.String()}})
		p.leave("a", 1)
		if p.rooms() != 0 {
			t.Error("an empty room is kept")
		}
		pass(2 * time.Second)
		want(t, out.take())
	})
}

func TestTooManyChangesAreCountedNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		p := newPresence(out.publish)
		defer p.stop()
		for i := range digestNames + 1 {
			p.join("a", someone(i+1), time.Time{})
		}
		pass(2 * time.Second)
		want(t, out.take(), wire.Here{Room: "a", Count: digestNames + 1, More: true})
	})
}

func TestTypingIsToldSoonAndNotTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		p := newPresence(out.publish)
		defer p.stop()
		for i := range 6 {
			p.join("a", someone(i+1), time.Time{})
		}
		pass(5 * time.Second)
		out.take()
		p.typing("a", 1)
		p.typing("a", 1)
		p.typing("a", 99) // who is not in the room
		pass(typingDelay)
		want(t, out.take(), wire.TypingFrame{Room: "a", People: sorted(1)})
		for i := range 6 {
			p.typing("a", chat.UserID(i+1))
		}
		pass(digestEvery - time.Millisecond)
		want(t, out.take())
		pass(time.Millisecond)
		want(t, out.take(), wire.TypingFrame{Room: "a", People: sorted(1, 2, 3, 4)})
		p.typing("nobody's", 1)
	})
}

func TestANewNameIsToldInEveryRoomOfThePerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out told
		p := newPresence(out.publish)
		defer p.stop()
		p.join("a", someone(1), time.Time{})
		p.join("b", someone(1), time.Time{})
		p.join("c", someone(2), time.Time{})
		pass(2 * time.Second)
		out.take()
		for i := range 50 {
			p.rename(chat.User{ID: 1, Name: fmt.Sprint("New ", i)})
		}
		pass(time.Second)
		told := out.take()
		slices.Sort(told)
		frame := string(wire.Encode(wire.Renamed{Person: person(chat.User{ID: 1, Name: "New 49"})}))
		if diff := cmp.Diff([]string{"a " + frame, "b " + frame}, told); diff != "" {
			t.Errorf("told (-want +got)\n%s", diff)
		}
		p.leave("b", 1)
		p.join("b", someone(1), time.Time{}) // a socket that still holds the old name
		if here := p.page("b", "", 10); here.People[0].Name != "New 49" {
			t.Errorf("listed as %+v", here)
		}
	})
}

func TestPeopleComeInPages(t *testing.T) {
	var out told
	p := newPresence(out.publish)
	defer p.stop()
	for i := range 120 {
		p.join("a", someone(i+1), time.Time{})
	}
	seen, after := 0, ""
	for range 10 {
		here := p.page("a", after, 50)
		seen += len(here.People)
		if after = here.Next; after == "" {
			break
		}
	}
	if seen != 120 || after != "" {
		t.Errorf("saw %d of 120, next %q", seen, after)
	}
	if here := p.page("a", "not an id", 1000); len(here.People) != 120 {
		t.Errorf("saw %d of 120", len(here.People))
	}
	if here := p.page("nowhere", "", 1); here.Count != 0 {
		t.Errorf("nobody is %+v", here)
	}
}

func TestARoomIsOccupiedFromItsFirstPersonToItsLast(t *testing.T) {
	var got []string
	p := newPresence(func(string, channels.Event) {})
	p.occupied = func(room string, somebody bool) { got = append(got, fmt.Sprint(room, " ", somebody)) }
	defer p.stop()
	for range 2 {
		p.join("a", someone(1), time.Time{})
		p.join("a", someone(1), time.Time{})
		p.join("b", someone(2), time.Time{})
		p.join("a", someone(2), time.Time{})
		p.leave("a", 1)
		p.leave("a", 2)
		p.leave("a", 1)
		p.leave("b", 2)
	}
	once := []string{"a true", "b true", "a false", "b false"}
	if diff := cmp.Diff(append(once, once...), got); diff != "" {
		t.Error(diff)
	}
}
