package inbox

import (
	"context"
	"slices"
	"testing"
)

type text string

func (t text) Weight() int { return len(t) }

func TestGapsAreToldOnceAndBehindWhatCameBefore(t *testing.T) {
	i := New[text]()
	for _, s := range []text{"a", "b"} {
		if !i.Put(s) {
			t.Fatal("there is no room")
		}
	}
	i.Gap("h", "g")
	i.Gap("g")
	i.GapAll()
	b := i.Take(t.Context())
	if !slices.Equal(b.Arrived, []text{"a", "b"}) || !slices.Equal(b.Gaps, []string{"g", "h"}) || !b.GapAll {
		t.Errorf("got %+v", b)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if b := i.Take(ended); len(b.Arrived) > 0 || len(b.Gaps) > 0 || b.GapAll {
		t.Errorf("a second time: %+v", b)
	}
}

func TestWhatIsTakenCountsUntilItIsReleased(t *testing.T) {
	i := New[text]()
	large := text(make([]byte, MaxWaiting/2-itemWeight))
	for range 2 {
		if !i.Put(large) {
			t.Fatal("there is no room for what it may hold")
		}
	}
	if i.Put("x") {
		t.Fatal("it holds more than it may")
	}
	if n := i.Waiting(); n != 2 {
		t.Errorf("%d wait", n)
	}
	b := i.Take(t.Context())
	if i.Put("x") {
		t.Error("there is room before anything is released")
	}
	i.Release(b.Arrived[0])
	if !i.Put("x") {
		t.Error("there is no room after that")
	}
}
