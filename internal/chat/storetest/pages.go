package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

func before(seq int64, limit int) chat.Range {
	return chat.Range{Before: seq, After: -1, Around: -1, Limit: limit}
}

func after(seq int64, limit int) chat.Range {
	return chat.Range{Before: -1, After: seq, Around: -1, Limit: limit}
}

func around(seq int64, limit int) chat.Range {
	return chat.Range{Before: -1, After: -1, Around: seq, Limit: limit}
}

func pages(t *testing.T, f Factory) {
	s := open(t, f)
	fill(t, s, "noise", 30)
	fill(t, s, "a", 10)
	fill(t, s, "more noise", 30)
	for _, c := range []struct {
		name        string
		r           chat.Range
		from, to    int64 // inclusive; from > to is an empty page
		first, last bool
	}{
		{"newest", chat.Newest(3), 8, 10, false, true},
		{"newest, all exactly", chat.Newest(10), 1, 10, true, true},
		{"newest, one short of all", chat.Newest(9), 2, 10, false, true},
		{"newest, more than all", chat.Newest(200), 1, 10, true, true},
		{"before the middle", before(6, 3), 3, 5, false, false},
		{"before, to the beginning exactly", before(6, 5), 1, 5, true, false},
		{"before, more than there are", before(6, 200), 1, 5, true, false},
		{"before the end", before(11, 2), 9, 10, false, true},
		{"before far beyond the end", before(1<<40, 2), 9, 10, false, true},
		{"before the second", before(2, 5), 1, 1, true, false},
		{"before the first", before(1, 5), 1, 0, true, false},
		{"before nothing", before(0, 5), 1, 0, true, false},
		{"after the beginning", after(0, 3), 1, 3, true, false},
		{"after the beginning, all exactly", after(0, 10), 1, 10, true, true},
		{"after the middle", after(4, 3), 5, 7, false, false},
		{"after, to the end exactly", after(7, 3), 8, 10, false, true},
		{"after, more than there are", after(7, 200), 8, 10, false, true},
		{"after the last but one", after(9, 5), 10, 10, false, true},
		{"after the last", after(10, 5), 1, 0, false, true},
		{"after far beyond the end", after(1<<40, 5), 1, 0, false, true},
		{"around the middle, odd", around(5, 3), 4, 6, false, false},
		{"around the middle, even", around(5, 4), 3, 6, false, false},
		{"around the middle, alone", around(5, 1), 5, 5, false, false},
		{"around the first", around(1, 4), 1, 4, true, false},
		{"around nothing", around(0, 4), 1, 4, true, false},
		{"around the second", around(2, 5), 1, 5, true, false},
		{"around the last", around(10, 4), 7, 10, false, true},
		{"around the last but one", around(9, 4), 7, 10, false, true},
		{"around far beyond the end", around(1<<40, 4), 7, 10, false, true},
		{"around, all exactly", around(3, 10), 1, 10, true, true},
		{"around, more than there are", around(3, 200), 1, 10, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := s.Messages(t.Context(), "a", c.r)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, m := range p.Messages {
				got = append(got, fmt.Sprint(m.Seq, "=", m.Text))
			}
			for seq := c.from; seq <= c.to; seq++ {
				want = append(want, fmt.Sprint(seq, "=", seq))
			}
			wantEqual(t, "messages", got, want)
			if p.First != c.first || p.Last != c.last || p.LastSeq != 10 {
				t.Fatalf("First %v Last %v LastSeq %d, want %v %v 10", p.First, p.Last, p.LastSeq, c.first, c.last)
			}
		})
	}
}

func pagesOfUnknownRooms(t *testing.T, f Factory) {
	s := open(t, f)
	fill(t, s, "a", 3)
	for _, r := range []chat.Range{chat.Newest(5), before(3, 5), after(0, 5), after(7, 5), around(2, 5)} {
		p, err := s.Messages(t.Context(), "b", r)
		if err != nil || len(p.Messages) != 0 || !p.First || !p.Last || p.LastSeq != 0 {
			t.Fatalf("%+v: %+v %v", r, p, err)
		}
	}
	if found, err := s.Find(t.Context(), "b"); err != nil || len(found) > 0 {
		t.Fatalf("Find: %v %v", found, err)
	}
}

func largePages(t *testing.T, f Factory) {
	s := open(t, f)
	long := strings.Repeat("𠀀", chat.MaxText) // four bytes each
	var batch []chat.Draft
	for i := range 200 {
		batch = append(batch, draft("a", ann, fmt.Sprint(i), long))
	}
	mustAppend(t, s, batch...)
	p, err := s.Messages(t.Context(), "a", chat.Newest(200))
	if err != nil || len(p.Messages) != 200 {
		t.Fatalf("%d messages, %v", len(p.Messages), err)
	}
	for _, m := range p.Messages {
		if m.Text != long {
			t.Fatalf("seq %d has %d bytes", m.Seq, len(m.Text))
		}
	}
}

func roomsByTalk(t *testing.T, f Factory) {
	s := open(t, f)
	if rooms, err := s.Rooms(t.Context(), 5); err != nil || len(rooms) != 0 {
		t.Fatalf("a new store: %v %v", rooms, err)
	}
	for i, room := range []string{"a", "b", "c", "b"} {
		d := draft(room, ann, fmt.Sprint(i), "x")
		d.At = start.AddDate(0, 0, i)
		mustAppend(t, s, d)
	}
	want := []chat.Room{
		{Slug: "b", LastSeq: 2, LastAt: start.AddDate(0, 0, 3)},
		{Slug: "c", LastSeq: 1, LastAt: start.AddDate(0, 0, 2)},
		{Slug: "a", LastSeq: 1, LastAt: start},
	}
	for _, limit := range []int{1, 2, 3, 200} {
		rooms, err := s.Rooms(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, fmt.Sprint("rooms, limit ", limit), rooms, want[:min(limit, 3)])
	}
}

func findingRooms(t *testing.T, f Factory) {
	s := open(t, f)
	const rooms = 1500 // more than fit into a statement with a parameter for each
	var batch []chat.Draft
	var names []string
	for i := range rooms {
		names = append(names, fmt.Sprintf(`room "%d" 茶`, i))
		batch = append(batch, draft(names[i], ann, "a", "x"))
	}
	mustAppend(t, s, batch...)
	mustAppend(t, s, draft(names[7], ann, "b", "x"))
	if found, err := s.Find(t.Context()); err != nil || len(found) != 0 {
		t.Fatalf("nothing asked for: %v %v", found, err)
	}
	found, err := s.Find(t.Context(), names[7])
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "one room", found, []chat.Room{{Slug: names[7], LastSeq: 2, LastAt: start}})
	if found, err = s.Find(t.Context(), append(slices.Clone(names), "none", "Room", "")...); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(found, func(a, b chat.Room) int { return strings.Compare(a.Slug, b.Slug) })
	slices.Sort(names)
	if len(found) != rooms {
		t.Fatalf("%d rooms of %d were found", len(found), rooms)
	}
	for i, r := range found {
		if seq := int64(1); r.Slug != names[i] || r.LastSeq < seq || !r.LastAt.Equal(start) {
			t.Fatalf("place %d has %+v", i, r)
		}
	}
}
