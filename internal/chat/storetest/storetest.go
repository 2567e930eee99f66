// Package storetest is what every chat.Store must do: a suite that Run runs,
// and benchmarks that Bench runs, against any store. A store's own tests call
// both:
//
//	func TestStore(t *testing.T) { storetest.Run(t, factory) }
//	func BenchmarkStore(b *testing.B) { storetest.Bench(b, factory) }
//
// The suite talks to the store alone, through the contract in chat.Store; the
// rules of chat.Service are not its subject.
package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Factory makes stores for the suite.
type Factory struct {
	// Open returns the store kept in dir, an existing folder, making it when
	// there is none. The suite closes it.
	Open func(tb testing.TB, dir string) chat.Store
	// Durable says that a store opened again in the same folder has what was
	// in it before.
	Durable bool
}

// Run runs the suite.
func Run(t *testing.T, f Factory) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Factory)
	}{
		{"numbers are dense and per room", numbersAreDense},
		{"numbers are dense under concurrent appends", numbersAreDenseUnderConcurrency},
		{"a repeated nonce is answered and burns no number", repeatedNonces},
		{"one nonce from many at once is one message", oneNonceFromMany},
		{"a nonce with another text is a conflict and burns no number", nonceConflicts},
		{"a batch may mix all outcomes", mixedBatch},
		{"a batch may be larger than any statement", largeBatch},
		{"an unknown room is an error for its drafts alone", unknownRoomInBatch},
		{"an empty batch is nothing", emptyBatch},
		{"times are whole milliseconds and never go back in a room", timesNeverGoBack},
		{"text, nonces and names come back byte for byte", textIsExact},
		{"rooms are told apart byte for byte", roomsAreExact},
		{"pages are what their range says", pages},
		{"pages of unknown rooms are empty, first and last", pagesOfUnknownRooms},
		{"large pages and large texts fit", largePages},
		{"rooms are listed by newest talk", roomsByTalk},
		{"rooms are found by their names, however many", findingRooms},
		{"messages show their author's present name", presentNames},
		{"a new author is stored with their login", newAuthors},
		{"logins are found, kept and seen", logins},
		{"settings are made once and differ between stores", settings},
		{"appends are seen by reads that follow, also by readers under way", readersDuringWrites},
		{"a cancelled context does nothing", cancelledContexts},
		{"a closed store fails and does not panic", closedStores},
		{"any sequence of calls does what the model does", model},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, f) })
	}
	if f.Durable {
		t.Run("everything is there after opening again", func(t *testing.T) { reopening(t, f) })
	}
}

// open returns a new store, closed when the test ends.
func open(t testing.TB, f Factory) chat.Store {
	t.Helper()
	s := f.Open(t, t.TempDir())
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

var (
	ann   = chat.User{ID: 1, Name: "Ann"}
	bob   = chat.User{ID: 2, Name: "Bob"}
	start = time.Date(2024, 2, 29, 23, 59, 59, 123e6, time.UTC)
)

// draft is a message for a room that is made when there is none.
func draft(room string, author chat.User, nonce, text string) chat.Draft {
	return chat.Draft{Room: room, Author: author, Nonce: nonce, Text: text, At: start, Create: true}
}

// mustAppend appends and wants no error of the batch.
func mustAppend(t testing.TB, s chat.Store, batch ...chat.Draft) []chat.Appended {
	t.Helper()
	results, err := s.Append(context.Background(), batch)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if len(results) != len(batch) {
		t.Fatalf("Append gave %d results for %d drafts", len(results), len(batch))
	}
	return results
}

// fill appends n messages by ann, "1" to "n".
func fill(t testing.TB, s chat.Store, room string, n int) {
	t.Helper()
	var batch []chat.Draft
	for i := range n {
		d := draft(room, ann, fmt.Sprintf("%s-%d", room, i+1), fmt.Sprint(i+1))
		d.At = start.Add(time.Duration(i) * time.Second)
		batch = append(batch, d)
	}
	mustAppend(t, s, batch...)
}

// whole reads a room's log from the beginning in small pages.
func whole(t testing.TB, s chat.Store, room string) []chat.Message {
	t.Helper()
	var all []chat.Message
	for after := int64(0); ; {
		p, err := s.Messages(context.Background(), room, chat.Range{Before: -1, After: after, Around: -1, Limit: 97})
		if err != nil {
			t.Fatalf("Messages after %d: %v", after, err)
		}
		all = append(all, p.Messages...)
		if p.Last {
			return all
		}
		after = all[len(all)-1].Seq
	}
}

// wantDense checks that a log is numbered 1, 2, 3, ..., once per nonce, with
// times that never go back.
func wantDense(t testing.TB, log []chat.Message) {
	t.Helper()
	seen := make(map[string]bool)
	for i, m := range log {
		key := fmt.Sprint(m.Author.ID, " ", m.Nonce)
		switch {
		case m.Seq != int64(i)+1:
			t.Fatalf("place %d has seq %d", i+1, m.Seq)
		case seen[key]:
			t.Fatalf("seq %d: nonce %q is there twice", m.Seq, m.Nonce)
		case i > 0 && m.At.Before(log[i-1].At):
			t.Fatalf("seq %d is of %v, before the message above it", m.Seq, m.At)
		}
		seen[key] = true
	}
}

func wantEqual[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}
