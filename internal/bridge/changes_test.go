package bridge

import (
	"fmt"
	"testing"
)

func TestTheRoomsAreToldAsTheyWereUnderstood(t *testing.T) {
	b, err := New(Options{Patterns: []string{"tea-*", "lobby,kitchen", "e\u0301"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%q", b.shared()); got != `["lobby,kitchen" "é" "tea-*"]` {
		t.Errorf("got %s", got)
	}
}

func TestAProcessThatDoesNotListenKeepsNothingOfRoomsThatWereLeft(t *testing.T) {
	b, err := New(Options{Patterns: []string{"tea-*"}})
	if err != nil {
		t.Fatal(err)
	}
	people := func() {
		for i := range 1000 {
			b.Occupied(fmt.Sprint("tea-", i), true)
			b.Occupied(fmt.Sprint("tea-", i), false)
		}
	}
	people()
	if n := len(b.rooms.changed); n > 0 {
		t.Errorf("before it listened it kept %d rooms", n)
	}
	b.rooms.all()
	b.Occupied("tea-old", true)
	if changed := b.rooms.take(); !changed["tea-old"] {
		t.Errorf("one that listens was told %v", changed)
	}
	people()
	b.rooms.leave()
	people()
	if n := len(b.rooms.changed); n > 0 {
		t.Errorf("after it listened it kept %d rooms", n)
	}
	if all := b.rooms.all(); len(all) != 1 || !all["tea-old"] {
		t.Errorf("when it listens again it is told %v", all)
	}
}
