package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

func numbersAreDense(t *testing.T, f Factory) {
	s := open(t, f)
	for i, room := range []string{"a", "b", "a", "a", "b"} {
		r := mustAppend(t, s, draft(room, ann, fmt.Sprint("n", i), "hi"))[0]
		want := []int64{1, 1, 2, 3, 2}[i]
		if r.Err != nil || r.Duplicate || r.Message.Seq != want {
			t.Fatalf("append %d to %s: %+v, want seq %d", i, room, r, want)
		}
	}
	wantEqual(t, "message", whole(t, s, "b")[1], chat.Message{Seq: 2, Author: ann, Nonce: "n4", Text: "hi", At: start})
}

func numbersAreDenseUnderConcurrency(t *testing.T, f Factory) {
	const writers, batches, size = 8, 12, 7
	s := open(t, f)
	var wg sync.WaitGroup
	lasts := make([]map[string]int64, writers) // by room: order of one writer's own messages
	for w := range writers {
		wg.Go(func() {
			author := chat.User{ID: chat.UserID(100 + w%3), Name: fmt.Sprint("W", w%3)}
			lasts[w] = make(map[string]int64)
			for b := range batches {
				var batch []chat.Draft
				for i := range size {
					room := fmt.Sprint("room", (w+b+i)%3)
					batch = append(batch, draft(room, author, fmt.Sprintf("%d-%d-%d", w, b, i), "x"))
				}
				results, err := s.Append(t.Context(), batch)
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				for i, r := range results {
					if r.Err != nil || r.Message.Seq <= lasts[w][batch[i].Room] {
						t.Errorf("writer %d: %+v after seq %d", w, r, lasts[w][batch[i].Room])
					}
					lasts[w][batch[i].Room] = r.Message.Seq
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for i := range 3 {
		log := whole(t, s, fmt.Sprint("room", i))
		wantDense(t, log)
		total += len(log)
	}
	wantEqual(t, "messages stored", total, writers*batches*size)
}

func repeatedNonces(t *testing.T, f Factory) {
	s := open(t, f)
	first := mustAppend(t, s, draft("a", ann, "n", "hi"))[0]
	again := draft("a", ann, "n", "hi")
	again.At = start.Add(time.Hour)
	later := draft("a", ann, "m", "ho")
	results := mustAppend(t, s, again, again, later, later)
	for i, want := range []chat.Appended{
		{Message: first.Message, Duplicate: true},
		{Message: first.Message, Duplicate: true},
		{Message: chat.Message{Seq: 2, Author: ann, Nonce: "m", Text: "ho", At: start}},
		{Message: chat.Message{Seq: 2, Author: ann, Nonce: "m", Text: "ho", At: start}, Duplicate: true},
	} {
		wantEqual(t, fmt.Sprint("result ", i), results[i], want)
	}
	// The nonce is the author's own and the room's own.
	for i, d := range []chat.Draft{draft("a", bob, "n", "hi"), draft("b", ann, "n", "hi")} {
		if r := mustAppend(t, s, d)[0]; r.Duplicate || r.Err != nil {
			t.Fatalf("draft %d: %+v", i, r)
		}
	}
	wantDense(t, whole(t, s, "a"))
}

func oneNonceFromMany(t *testing.T, f Factory) {
	s := open(t, f)
	results := make([]chat.Appended, 200)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			r, err := s.Append(t.Context(), []chat.Draft{draft("a", ann, "n", "hi")})
			if err != nil || r[0].Err != nil {
				t.Errorf("Append: %+v %v", r, err)
				return
			}
			results[i] = r[0]
		})
	}
	wg.Wait()
	first := 0
	for _, r := range results {
		if !r.Duplicate {
			first++
		}
		wantEqual(t, "message", r.Message, chat.Message{Seq: 1, Author: ann, Nonce: "n", Text: "hi", At: start})
	}
	if n := len(whole(t, s, "a")); first != 1 || n != 1 {
		t.Fatalf("%d of them were the first, %d messages are stored", first, n)
	}
}

func nonceConflicts(t *testing.T, f Factory) {
	s := open(t, f)
	mustAppend(t, s, draft("a", ann, "n", "hi"))
	results := mustAppend(t, s, draft("a", ann, "n", "ho"), draft("a", ann, "m", "x"), draft("a", ann, "m", "y"))
	if !errors.Is(results[0].Err, chat.ErrNonceConflict) || !errors.Is(results[2].Err, chat.ErrNonceConflict) {
		t.Fatalf("want two conflicts: %+v", results)
	}
	if results[1].Err != nil || results[1].Message.Seq != 2 {
		t.Fatalf("the one between them: %+v", results[1])
	}
	if log := whole(t, s, "a"); len(log) != 2 || log[0].Text != "hi" || log[1].Text != "x" {
		t.Fatalf("log: %+v", log)
	}
}

func mixedBatch(t *testing.T, f Factory) {
	s := open(t, f)
	mustAppend(t, s, draft("a", ann, "old", "hi"))
	closed := draft("nowhere", ann, "n1", "x")
	closed.Create = false
	plain := draft("a", bob, "n2", "x")
	plain.Create = false
	results := mustAppend(t, s,
		closed, plain, draft("a", ann, "old", "hi"), draft("new", bob, "n3", "x"), draft("a", ann, "old", "other"),
		draft("a", ann, "n4", "x"), draft("new", ann, "n5", "x"))
	var got []string
	for _, r := range results {
		switch {
		case errors.Is(r.Err, chat.ErrNoRoom):
			got = append(got, "no room")
		case errors.Is(r.Err, chat.ErrNonceConflict):
			got = append(got, "conflict")
		case r.Err != nil:
			got = append(got, r.Err.Error())
		default:
			got = append(got, fmt.Sprint(r.Message.Seq, " ", r.Duplicate))
		}
	}
	wantEqual(t, "outcomes", got, []string{"no room", "2 false", "1 true", "1 false", "conflict", "3 false", "2 false"})
	if found, err := s.Find(t.Context(), "nowhere"); err != nil || len(found) > 0 {
		t.Fatalf("Room(nowhere): %v", err)
	}
}

func largeBatch(t *testing.T, f Factory) {
	s := open(t, f)
	for _, n := range []int{1, 2, 3, 63, 64, 65, 127, 300, 2048} {
		room := fmt.Sprint("room", n)
		var batch []chat.Draft
		for i := range n {
			batch = append(batch, draft(room, chat.User{ID: chat.UserID(i%100 + 1), Name: "x"}, fmt.Sprint(i), "x"))
			batch = append(batch, draft(fmt.Sprint("many", n, "-", i), ann, fmt.Sprint(i), "x"))
		}
		mustAppend(t, s, batch...)
		log := whole(t, s, room)
		wantDense(t, log)
		wantEqual(t, "messages in "+room, len(log), n)
	}
}

func unknownRoomInBatch(t *testing.T, f Factory) {
	s := open(t, f)
	d := draft("a", ann, "n", "x")
	d.Create = false
	made := draft("a", ann, "n", "x")
	results := mustAppend(t, s, d, made, d)
	if !errors.Is(results[0].Err, chat.ErrNoRoom) || results[1].Err != nil || !results[2].Duplicate {
		t.Fatalf("without, with and after making: %+v", results)
	}
	results = mustAppend(t, s, d)
	if !results[0].Duplicate {
		t.Fatalf("afterwards: %+v", results[0])
	}
}

func emptyBatch(t *testing.T, f Factory) {
	s := open(t, f)
	if results, err := s.Append(t.Context(), nil); err != nil || len(results) != 0 {
		t.Fatalf("Append(nil): %v %v", results, err)
	}
}

func timesNeverGoBack(t *testing.T, f Factory) {
	s := open(t, f)
	shanghai := time.FixedZone("CST", 8*3600)
	var got []time.Time
	for i, at := range []time.Time{
		start.Add(999 * time.Microsecond).In(shanghai), start.Add(-time.Hour), start.Add(time.Millisecond), start,
	} {
		d := draft("a", ann, fmt.Sprint(i), "x")
		d.At = at
		got = append(got, mustAppend(t, s, d)[0].Message.At)
	}
	next := start.Add(time.Millisecond)
	want := []time.Time{start, start, next, next}
	if !slices.EqualFunc(got, want, time.Time.Equal) {
		t.Fatalf("times %v, want %v", got, want)
	}
	for i, m := range whole(t, s, "a") {
		if !m.At.Equal(want[i]) || m.At.Location() != time.UTC || got[i].Location() != time.UTC {
			t.Fatalf("seq %d is of %v as stored and %v as read, want %v in UTC", m.Seq, got[i], m.At, want[i])
		}
	}
	other := draft("b", ann, "early", "x")
	other.At = start.Add(-time.Hour)
	if at := mustAppend(t, s, other)[0].Message.At; !at.Equal(other.At) {
		t.Fatalf("a room's first message is of %v, want its own time %v: times are per room", at, other.At)
	}
}

// awkward are texts that stores and drivers have been seen to change.
var awkward = []string{
	"x", "", " ", "'; DROP TABLE messages; --", `\0 \x00 \ %s %d`, "$1 ?1 :a @b", "NULL", "0012", "1e3", "true",
	"a\nb\tc\r\n", "\ufeffbom", "e\u0301 é", "\u200d\u200b\u202e", "茶馆里的白鹭", "👩‍👩‍👧‍👦🏳️‍🌈", "\U0010ffff\ufffd", "\x01\x1b[31m\x7f",
	`{"json":[1,2]}`, "<b>&amp;</b>", "'\"`",
}

func textIsExact(t *testing.T, f Factory) {
	s := open(t, f)
	for i, text := range awkward {
		author := chat.User{ID: chat.UserID(i + 1), Name: text}
		mustAppend(t, s, draft("a", author, text, text))
	}
	log := whole(t, s, "a")
	wantEqual(t, "messages", len(log), len(awkward))
	for i, m := range log {
		want := chat.Message{
			Seq: int64(i + 1), Author: chat.User{ID: chat.UserID(i + 1), Name: awkward[i]},
			Nonce: awkward[i], Text: awkward[i], At: start,
		}
		wantEqual(t, fmt.Sprintf("message with %q", awkward[i]), m, want)
	}
	for _, text := range awkward {
		if r := mustAppend(t, s, draft("a", log[slices.Index(awkward, text)].Author, text, text))[0]; !r.Duplicate {
			t.Fatalf("%q repeated: %+v", text, r)
		}
	}
}

func roomsAreExact(t *testing.T, f Factory) {
	s := open(t, f)
	names := []string{"lobby", "Lobby", "LOBBY", "é", "e\u0301", "e", "茶", "茶 ", "%", "_", "ß", "ss", "İ", "i", "123", "0123"}
	for _, name := range names {
		if r := mustAppend(t, s, draft(name, ann, "n", name))[0]; r.Err != nil || r.Message.Seq != 1 || r.Duplicate {
			t.Fatalf("first message of %q: %+v", name, r)
		}
	}
	for _, name := range names {
		if log := whole(t, s, name); len(log) != 1 || log[0].Text != name {
			t.Fatalf("log of %q: %+v", name, log)
		}
	}
}
