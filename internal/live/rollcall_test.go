package live

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// step is one thing that happens in a town of three nodes.
type step struct {
	do     string
	node   int
	person int
	wait   time.Duration
}

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{
		do:     rapid.SampledFrom([]string{"come", "come", "leave", "lossy", "cut", "whole", "wait", "wait"}).Draw(t, "do"),
		node:   rapid.IntRange(0, 2).Draw(t, "node"),
		person: rapid.IntRange(10, 15).Draw(t, "person"),
		wait:   time.Duration(rapid.SampledFrom([]int{0, 50, 150, 500, 1000, 3000, 13000}).Draw(t, "ms")) * time.Millisecond,
	}
})

func TestWhateverIsLostEverybodyIsCountedInTheEnd(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		script := rapid.SliceOfN(steps, 1, 30).Draw(r, "script")
		seed := rapid.Uint64().Draw(r, "seed")
		if !t.Run("", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { play(t, script, seed) }) }) {
			r.Fatal("not everybody was")
		}
	})
}

// play does what a script says and compares what remains.
func play(t *testing.T, script []step, seed uint64) {
	w := newTown(t)
	nodes := []*node{w.node(t, 1), w.node(t, 2), w.node(t, 3)}
	var sheets []*sheet
	sockets := map[[2]int]int{} // of people on nodes
	for _, d := range nodes {
		sheets = append(sheets, newSheet(d.ear))
	}
	for i, s := range script {
		d := nodes[s.node]
		switch key := [2]int{s.node, s.person}; {
		case s.do == "come":
			d.come(s.person, s.person)
			sockets[key]++
		case s.do == "leave" && sockets[key] > 0:
			d.gone(s.person, s.person)
			sockets[key]--
		case s.do == "lossy":
			dice := rand.New(rand.NewPCG(seed, uint64(i)))
			d.losing(func() bool { return dice.IntN(2) == 0 })
		case s.do == "cut":
			d.losing(everything)
		case s.do == "whole":
			d.losing(nil)
		}
		pass(s.wait)
	}
	for _, d := range nodes {
		d.losing(nil)
	}
	pass(15 * time.Second)
	there := map[int]bool{1: true, 2: true, 3: true}
	for key, n := range sockets {
		if n > 0 {
			there[key[1]] = true
		}
	}
	all := sorted(slices.Sorted(maps.Keys(there))...)
	for i, d := range nodes {
		sheets[i].follow()
		if diff := cmp.Diff(all, sheets[i].list()); diff != "" || sheets[i].count != len(all) {
			t.Errorf("who was told all changes on node %d counts %d (-want +got)\n%s", i+1, sheets[i].count, diff)
		}
		d.sees(t, all...)
	}
}

// sheet is who is in room a as a client that sees all changes has it.
type sheet struct {
	ear    *talker
	count  int
	people map[string]wire.Person
}

func newSheet(ear *talker) *sheet {
	s := &sheet{ear: ear, people: map[string]wire.Person{}}
	s.again()
	return s
}

func (s *sheet) again() {
	s.ear.saw()
	people, count := s.ear.who()
	s.count = count
	clear(s.people)
	for _, p := range people {
		s.people[p.ID] = p
	}
}

// follow takes the changes that came, as clients do.
func (s *sheet) follow() {
	more := false
	for _, f := range s.ear.saw() {
		here, ok := f.(wire.Here)
		if !ok {
			continue
		}
		s.count = here.Count
		for _, p := range here.Joined {
			s.people[p.ID] = p
		}
		for _, id := range here.Left {
			delete(s.people, id)
		}
		more = more || here.More
	}
	if more {
		s.again()
	}
}

func (s *sheet) list() []wire.Person {
	return slices.SortedFunc(maps.Values(s.people), func(a, b wire.Person) int { return strings.Compare(a.ID, b.ID) })
}

func TestABigRoomIsCountedAndListedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two := w.node(t, 1), w.node(t, 2)
		pass(5 * time.Second)
		sheet := newSheet(one.ear)
		two.come(1001, 1000+rollPeople-1)
		pass(5 * time.Second)
		sheet.follow()
		one.sees(t, append(sorted(1, 2), sorted(numbers(1001, 1000+rollPeople-1)...)...)...)

		two.come(3, 100) // by id before those who were there
		pass(5 * time.Second)
		frames := one.ear.saw()
		if len(frames) == 0 {
			t.Error("the count is not told")
		}
		for _, f := range frames {
			if here := f.(wire.Here); here.Count != rollPeople+99 || len(here.Joined)+len(here.Left) > 0 || here.More {
				t.Errorf("told %+v", here)
			}
		}
		people, count := one.ear.who()
		if count != rollPeople+99 || len(people) != rollPeople+1 {
			t.Errorf("%d people, %d of them listed", count, len(people))
		}
		if people, count := two.ear.who(); count != rollPeople+99 || len(people) != count {
			t.Errorf("their own node has %d people, %d of them listed", count, len(people))
		}

		two.gone(4, 100)
		two.gone(1001, 1001)
		pass(5 * time.Second)
		sheet.follow()
		all := append(sorted(1, 2, 3), sorted(numbers(1002, 1000+rollPeople-1)...)...)
		if diff := cmp.Diff(all, sheet.list()); diff != "" || sheet.count != len(all) {
			t.Errorf("a client counts %d (-want +got)\n%s", sheet.count, diff)
		}
		two.losing(everything)
		pass(15 * time.Second)
		one.sees(t, sorted(1)...)
		if got := one.Stats().Rolls; got.Listed != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func numbers(from, to int) (ns []int) {
	for n := from; n <= to; n++ {
		ns = append(ns, n)
	}
	return ns
}

func TestANewNameIsKnownOnAllNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		one, two, three := w.node(t, 1), w.node(t, 2), w.node(t, 3)
		one.come(7, 7)
		two.come(7, 7)
		pass(5 * time.Second)
		three.ear.saw()
		u := someone(7)
		u.Name = "Nova"
		one.Renamed(u)
		pass(5 * time.Second)
		want(t, inRoomA(three.ear.saw()), wire.Renamed{Person: person(u)})
		for _, d := range []*node{one, two, three} {
			d.sees(t, append(sorted(1, 2, 3), person(u))...)
		}
		two.gone(7, 7)
		two.come(7, 7) // by a socket that still has the old name
		one.gone(7, 7)
		pass(5 * time.Second)
		for _, d := range []*node{one, two, three} {
			d.sees(t, append(sorted(1, 2, 3), person(u))...)
		}
		three.losing(everything)
		u.Name = "Vera"
		two.Renamed(u)
		pass(time.Second)
		three.losing(nil)
		pass(5 * time.Second)
		want(t, inRoomA(three.ear.saw()), wire.Renamed{Person: person(u)})
		three.sees(t, append(sorted(1, 2, 3), person(u))...)
	})
}

// noKey is the seal of the nodes in a test.
var noKey = newSeal([32]byte{}, "")

// tells is an event of another node.
func tells(s *seal, typ string, v any) channels.Event {
	e := s.carry(typ, v)
	e.Payload = e.Payload.(carried).Map()
	return e
}

func TestRollsThatCannotBeAreRefused(t *testing.T) {
	node := strings.Repeat("N", nodeIDLen)
	good := roll{Node: node, Room: "a", Version: 1, Count: 2, People: []attender{{someone(1).ID.String(), "P"}, {someone(2).ID.String(), "Q"}}}
	if _, people, err := readRoll(noKey, tells(noKey, eventRoll, good)); err != nil || len(people) != 2 {
		t.Fatal(people, err)
	}
	for name, spoil := range map[string]func(r *roll){
		"no node":               func(r *roll) { r.Node = "" },
		"a long node":           func(r *roll) { r.Node += "N" },
		"a count below":         func(r *roll) { r.Count = 1 },
		"a negative count":      func(r *roll) { r.Count, r.People = -1, nil },
		"a count above all":     func(r *roll) { r.Count = countMax + 1 },
		"too many people":       func(r *roll) { r.People, r.Count = crowdOf(rollPeople+1), rollPeople+1 },
		"an id that is none":    func(r *roll) { r.People[0].ID = "me" },
		"somebody twice":        func(r *roll) { r.People[1] = r.People[0] },
		"another order":         func(r *roll) { slices.Reverse(r.People) },
		"no name":               func(r *roll) { r.People[0].Name = "" },
		"a long name":           func(r *roll) { r.People[0].Name = strings.Repeat("x", chat.MaxName+1) },
		"a name over two lines": func(r *roll) { r.People[0].Name = "a\nb" },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			bad.People = slices.Clone(good.People)
			spoil(&bad)
			if _, _, err := readRoll(noKey, tells(noKey, eventRoll, bad)); err == nil {
				t.Error("not refused")
			}
		})
	}
	long := good
	long.Room = strings.Repeat("x", carriedMax)
	for name, e := range map[string]channels.Event{
		"too much text": tells(noKey, eventRoll, long),
		"another seal":  tells(newSeal([32]byte{1}, ""), eventRoll, good),
		"another type":  {Type: eventRoll, Payload: tells(noKey, eventBeat, good).Payload},
		"no seal":       {Type: eventRoll, Payload: map[string]any{keyFrame: tells(noKey, eventRoll, good).Payload.(map[string]any)[keyFrame]}},
		"no map":        {Type: eventRoll, Payload: "x"},
		"no text":       {Type: eventRoll, Payload: map[string]any{keyFrame: 1}},
		"no JSON":       {Type: eventRoll, Payload: marked("{")},
		"no UTF-8":      {Type: eventRoll, Payload: marked(`{"node":"` + strings.Repeat("\xff", nodeIDLen) + `"}`)},
		"no object":     {Type: eventRoll, Payload: marked("[]")},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := readRoll(noKey, e); err == nil {
				t.Error("not refused")
			}
		})
	}
	many := beat{Node: node, Rooms: map[string]int64{}}
	for i := range beatRooms + 1 {
		many.Rooms[fmt.Sprint(i)] = 1
	}
	for _, b := range []beat{{}, many} {
		if _, err := readBeat(noKey, tells(noKey, eventBeat, b)); err == nil {
			t.Errorf("a beat with %d rooms is not refused", len(b.Rooms))
		}
	}
}

// marked is text as a roll with a good seal.
func marked(text string) map[string]any {
	return carried{text, noKey.of(eventRoll + " " + text)}.Map()
}

func crowdOf(n int) (people []attender) {
	for i := range n {
		people = append(people, attender{someone(i + 1).ID.String(), "P"})
	}
	return people
}

// meets has a node hear a beat of another that hears it.
func (d *node) meets(b beat) error {
	c := d.presence.crowd
	d.presence.mu.Lock()
	b.Sent, b.Heard = time.Now().UnixMicro(), map[string]int64{c.self: c.next()}
	d.presence.mu.Unlock()
	return d.presence.hear(tells(c.seal, eventBeat, b))
}

// stranger is the id of the nth node that is not there.
func stranger(n int) string { return fmt.Sprintf("%0*d", nodeIDLen, n) }

func TestWhatOthersSayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newTown(t).node(t, 1)
		p := d.presence
		hear := func(r roll) {
			t.Helper()
			if _, err := p.hearRoll(tells(p.crowd.seal, eventRoll, r)); err != nil {
				t.Fatal(err)
			}
		}
		hear(roll{Node: p.crowd.self, Room: "a", Version: 1, Count: 9, People: crowdOf(9)})  // an echo
		hear(roll{Node: stranger(999), Room: "a", Version: 1, Count: 9, People: crowdOf(9)}) // of nobody
		if got := d.Stats().Rolls; got.Heard != 0 {
			t.Errorf("%+v", got)
		}
		for n := range 2 * rollNodes {
			if err := d.meets(beat{Node: stranger(n), Rooms: map[string]int64{"a": 1, "b": 2}}); (err == nil) != (n < rollNodes) {
				t.Fatal(err)
			}
			sent := time.Now().UnixMicro()
			hear(roll{Node: stranger(n), Sent: sent, Room: "a", Version: 1, Count: rollPeople, People: crowdOf(rollPeople)})
			hear(roll{Node: stranger(n), Sent: sent, Room: "nobody's", Version: 1, Count: 1, People: crowdOf(1)})
			hear(roll{Node: stranger(n), Sent: sent, Room: "a", Version: 2, Ask: int64(n + 1), Count: 1, People: crowdOf(1)})
		}
		if got := d.Stats().Rolls; got.Nodes != rollNodes || got.Listed != rollNodes || got.Refused != rollNodes || d.Stats().Rooms != 1 {
			t.Errorf("%+v", got)
		}
		d.take(eventRoll)
		pass(10 * time.Second)
		if n := d.take(eventRoll); n > 10 || n == 0 {
			t.Errorf("who asks without end gets %d rolls in 10 s", n)
		}
		p.mu.Lock()
		p.crowd.listed += listedMax - 10 // in other rooms
		p.mu.Unlock()
		hear(roll{Node: stranger(0), Sent: time.Now().UnixMicro(), Room: "a", Version: 3, Count: 20, People: crowdOf(20)})
		pass(time.Second)
		_, count := d.ear.who()
		if got := d.Stats().Rolls.Listed; got != listedMax-10+rollNodes-1 || count != 21 {
			t.Errorf("%d people are held, %d counted", got, count)
		}
		p.mu.Lock()
		p.crowd.listed -= listedMax - 10
		p.mu.Unlock()
		pass(15 * time.Second)
		if got := d.Stats().Rolls; got.Nodes != 0 || got.Listed != 0 || got.Forgotten != rollNodes {
			t.Errorf("%+v", got)
		}
		d.sees(t, sorted(1)...)
	})
}

func TestBeatsAreOfABoundedSize(t *testing.T) {
	p := newPresence(func(string, channels.Event) {})
	p.crowd = &crowd{self: stranger(1), seal: noKey, peers: map[string]*peer{}}
	for n := range rollNodes {
		p.crowd.peers[stranger(n+2)] = &peer{beaten: 1 << 62, shown: time.Now()}
	}
	rooms := map[string]bool{}
	for i := range 3*beatRooms - 7 {
		room := fmt.Sprintf("%s%d", strings.Repeat("\u2028", 60), i)
		rooms[room] = true
		p.byRoom[room] = &attendance{version: 1 << 62}
	}
	for _, b := range p.beats() {
		text, err := json.Marshal(b)
		if err != nil || len(text) > carriedMax {
			t.Fatalf("%d bytes: %v", len(text), err)
		}
		heard, err := readBeat(noKey, tells(noKey, eventBeat, b))
		if err != nil {
			t.Fatal(err)
		}
		for room := range heard.Rooms {
			delete(rooms, room)
		}
	}
	if len(rooms) > 0 {
		t.Errorf("%d rooms are in no beat", len(rooms))
	}
}

func FuzzRoll(f *testing.F) {
	for _, v := range []any{
		roll{Node: stranger(1), Room: "a", Version: 1, Ask: 2, Count: 3, People: crowdOf(3)},
		beat{Node: stranger(1), Sent: 1, Heard: map[string]int64{stranger(0): 1 << 62}, Ask: true, Rooms: map[string]int64{"a": 1}},
		typists{Node: stranger(1), Room: "a", People: crowdOf(2)},
		naming{Node: stranger(1), Sent: 1, attender: crowdOf(1)[0]},
	} {
		f.Add(noKey.carry("", v).Payload.(carried).text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := newPresence(func(string, channels.Event) {})
		p.crowd = &crowd{self: stranger(0), seal: noKey, peers: map[string]*peer{
			stranger(1): {came: time.Now(), shown: time.Now()},
		}}
		p.crowd.publish = func(channels.Event) {}
		p.join("a", someone(1), time.Time{})
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.stopped = true
			p.byRoom["a"].tell.stop()
			p.byRoom["a"].call.stop()
			p.crowd.greet.stop()
		}()
		for _, typ := range []string{eventRoll, eventTypists, eventBeat, eventName} {
			e := channels.Event{Type: typ, Payload: carried{text, noKey.of(typ + " " + text)}.Map()}
			switch typ {
			case eventRoll:
				_, _ = p.hearRoll(e)
			case eventTypists:
				_, _ = p.hearTypists(e)
			default:
				_ = p.hear(e)
			}
		}
		here := p.page("a", "", 2*rollPeople)
		if here.Count < len(here.People) || len(here.People) > rollPeople+1 {
			t.Fatalf("%d of %d people", len(here.People), here.Count)
		}
		for i, someone := range here.People[1:] {
			if someone.ID == here.People[i].ID {
				t.Fatalf("%+v twice", someone)
			}
		}
	})
}
