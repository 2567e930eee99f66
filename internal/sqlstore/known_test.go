package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

func TestAFilterHasAllThatWasAddedAndHardlyAnythingElse(t *testing.T) {
	for _, first := range []int{0, 1, 1000, 50_000} {
		f := newFilter(first)
		bytes := f.bytes()
		const keys = 100_000
		for i := range keys {
			bytes += f.add(keyOf(fmt.Sprint("added ", i)))
		}
		if bytes != f.bytes() || bytes > 16*keys {
			t.Errorf("beginning with %d keys: it has %d bytes, and tells of %d", first, f.bytes(), bytes)
		}
		wrong := 0
		for i := range keys {
			if !f.has(keyOf(fmt.Sprint("added ", i))) {
				t.Fatalf("beginning with %d keys: key %d is not there", first, i)
			}
			if f.has(keyOf(fmt.Sprint("other ", i))) {
				wrong++
			}
		}
		if wrong > keys/1000 {
			t.Errorf("beginning with %d keys: of %d others it takes %d for its own", first, keys, wrong)
		}
	}
}

func TestWhatIsKnownStaysWithinItsBoundAndKeepsWhatIsUsed(t *testing.T) {
	const bound = 64 << 10
	c := newRecent[int](func(text string) int { return len(text) })
	for i := range 10_000 {
		if _, known := c.get(i); known {
			t.Fatal("something is known that nobody made known")
		}
		c.put(i, "something that takes room")
		if text, known := c.get(0); !known || text != "something that takes room" {
			t.Fatalf("what is in use was forgotten after %d others", i)
		}
		c.age(bound)
		if n := len(c.young) + len(c.old); n > 2*(bound/entryBytes+1) {
			t.Fatalf("%d are known", n)
		}
	}
	if _, known := c.get(1); known {
		t.Error("what nobody asks for is still known")
	}
	c.put(1, "")
	if c.forget(1); len(c.young) == 0 {
		t.Error("all is forgotten")
	}
	if _, known := c.get(1); known {
		t.Error("what was to be forgotten is known")
	}
}

// A room in which very many speak does not remember them all.
func TestARoomRemembersThoseWhoSpokeLately(t *testing.T) {
	s := openSQLite(t, t.TempDir())
	defer s.Close()
	forgetful(t, s, 100, 64<<10)
	for i := range 40 {
		batch := make([]chat.Draft, 50)
		for k := range batch {
			author := chat.UserID(1 + i*len(batch) + k)
			batch[k] = chat.Draft{Room: "lobby", Author: chat.User{ID: author, Name: "Ann"}, Nonce: "n", Text: "hi", Create: true}
		}
		if _, err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		room, _ := s.writer.known.rooms.get("lobby")
		if n := len(room.authors.young) + len(room.authors.old); n > 2*(64<<10/2/entryBytes+50) {
			t.Fatalf("%d authors are known", n)
		}
		if room.weighed < room.authors.bytes {
			t.Fatalf("it weighs %d bytes, and its authors %d", room.weighed, room.authors.bytes)
		}
	}
}

// openSQLite opens the database in a folder.
func openSQLite(t testing.TB, folder string) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(folder, "teahouse.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// forgetful makes a store file nonces and forget rooms at almost every commit.
func forgetful(t interface{ Fatal(...any) }, s *Store, fileAt, bound int) {
	if err := s.write(context.Background(), func(_ context.Context, w *writer) error {
		if w.known == nil {
			w.known = newKnown()
		}
		w.known.fileAt, w.known.bound = fileAt, bound
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Whatever is known, filed, forgotten or lost with a failed commit or at the end
// of a server: the store answers as one that looks everything up.
func TestWhatIsKnownNeverDiffersFromWhatIsStored(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		folder := t.TempDir()
		s, want := openSQLite(t, folder), memstore.New()
		defer func() { s.Close() }()
		pick := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(rt, name) }
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch pick("step", 8) {
			case 0:
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				s = openSQLite(t, folder)
			case 1:
				failCommit(rt, s)
			case 2:
				u := chat.User{ID: chat.UserID(pick("renamed", 3)), Name: fmt.Sprint("name ", pick("name", 3))}
				if err := errors.Join(s.SaveUser(t.Context(), u, nil), want.SaveUser(t.Context(), u, nil)); err != nil {
					rt.Fatal(err)
				}
			default:
				batch := make([]chat.Draft, rapid.IntRange(1, 12).Draw(rt, "drafts"))
				for i := range batch {
					batch[i] = chat.Draft{
						Room: fmt.Sprint("room ", pick("room", 3)), Author: chat.User{ID: chat.UserID(pick("author", 3)), Name: "first name"},
						Nonce: fmt.Sprint(pick("nonce", 40)), Text: fmt.Sprint("text ", pick("text", 10)/9),
						At: time.UnixMilli(int64(pick("at", 100))).UTC(), Create: pick("create", 4) > 0,
					}
				}
				forgetful(rt, s, 1+pick("file at", 9), 4096*pick("bound", 2))
				got, err := s.Append(t.Context(), batch)
				if err != nil {
					rt.Fatal(err)
				}
				wanted, err := want.Append(t.Context(), batch)
				if err != nil {
					rt.Fatal(err)
				}
				for i := range got {
					if got[i].Message != wanted[i].Message || got[i].Duplicate != wanted[i].Duplicate || !errors.Is(got[i].Err, wanted[i].Err) {
						rt.Fatalf("draft %d %+v:\n got %+v\nwant %+v", i, batch[i], got[i], wanted[i])
					}
				}
			}
		}
		for room := range 3 {
			slug := fmt.Sprint("room ", room)
			got, err := s.Messages(t.Context(), slug, chat.Newest(1000))
			if err != nil {
				rt.Fatal(err)
			}
			wanted, err := want.Messages(t.Context(), slug, chat.Newest(1000))
			if diff := cmp.Diff(wanted, got); err != nil || diff != "" {
				rt.Fatalf("%s: %v (-want +got):\n%s", slug, err, diff)
			}
		}
	})
}

// failCommit has an Append fail after it has numbered its message.
func failCommit(t interface{ Fatal(...any) }, s *Store) {
	ctx := context.Background()
	if err := s.write(ctx, func(ctx context.Context, w *writer) error {
		return w.exec(ctx, `CREATE TRIGGER full BEFORE INSERT ON chunks BEGIN SELECT raise(ABORT, 'no'); END`)
	}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Append(ctx, []chat.Draft{{Room: "room 0", Author: chat.User{ID: 9, Name: "lost"}, Nonce: "lost", Text: "lost", Create: true}})
	if err == nil || !strings.Contains(err.Error(), "no") {
		t.Fatal("an Append into a full database: ", err)
	}
	if err := s.write(ctx, func(ctx context.Context, w *writer) error { return w.exec(ctx, `DROP TRIGGER full`) }); err != nil {
		t.Fatal(err)
	}
}

// A panic in the middle of a transaction leaves the connection in it, and what is
// known ahead of what is stored.
func TestNothingIsKnownAfterAnAppendThatPanicked(t *testing.T) {
	s := openSQLite(t, t.TempDir())
	defer s.Close()
	draft := chat.Draft{Room: "lobby", Author: chat.User{ID: 1, Name: "Ann"}, Nonce: "1", Text: "hi", Create: true}
	if _, err := s.Append(t.Context(), []chat.Draft{draft}); err != nil {
		t.Fatal(err)
	}
	s.writer.known.rooms.young["lobby"].authors.young = map[chat.UserID]*filter{1: nil} // to use it panics
	draft.Nonce = "2"
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it did not panic")
			}
		}()
		s.Append(t.Context(), []chat.Draft{draft})
	}()
	for range 2 { // the first may find the connection in a transaction
		r, err := s.Append(t.Context(), []chat.Draft{draft})
		if err == nil {
			if r[0].Message.Seq != 2 || r[0].Duplicate {
				t.Fatalf("%+v", r[0])
			}
			return
		}
	}
	t.Fatal("the store does not work again")
}

// Two nonces of one author with one key are two nonces.
func TestNoncesOfOneKeyAreToldApartByTheirMessages(t *testing.T) {
	s := openSQLite(t, t.TempDir())
	defer s.Close()
	draft := func(nonce string) []chat.Draft {
		return []chat.Draft{{Room: "lobby", Author: chat.User{ID: 1, Name: "Ann"}, Nonce: nonce, Text: "hi", Create: true}}
	}
	for _, nonce := range []string{"a", "b"} {
		if _, err := s.Append(t.Context(), draft(nonce)); err != nil {
			t.Fatal(err)
		}
	}
	lobby := s.writer.known.rooms.young["lobby"]
	for i := range lobby.newest { // as if the nonce "c" had the key of both
		lobby.newest[i].key = keyOf("c")
		lobby.authors.young[1].add(keyOf("c"))
	}
	for _, filed := range []bool{false, true} {
		if filed {
			s.writer.known.fileAt = 1
		}
		nonce := map[bool]string{false: "c", true: "d"}[filed]
		r, err := s.Append(t.Context(), draft(nonce))
		if err != nil || r[0].Duplicate || r[0].Err != nil {
			t.Fatalf("%s: %+v %v", nonce, r, err)
		}
		if r, err = s.Append(t.Context(), draft("c")); err != nil || !r[0].Duplicate || r[0].Message.Seq != 3 {
			t.Fatalf("c again: %+v %v", r, err)
		}
	}
}

// A room whose log cannot be read takes no messages. Others do, in the same batch.
func TestADamagedRoomStopsNobodyElse(t *testing.T) {
	for name, damage := range map[string]string{
		"a chunk that is none":    `UPDATE chunks SET messages = '[[' WHERE id = 1 << 36 | 2`,
		"a chunk that is missing": `DELETE FROM chunks WHERE id = 1 << 36 | 2`,
		"a number beyond a key":   `UPDATE rooms SET id = 1 << 27 WHERE id = 1`,
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			batch := func(nonce string) []chat.Draft {
				ann := chat.User{ID: 1, Name: "Ann"}
				return []chat.Draft{
					{Room: "damaged", Author: ann, Nonce: nonce, Text: "hi", Create: true},
					{Room: "whole", Author: ann, Nonce: nonce, Text: "hi", Create: true},
				}
			}
			s := openSQLite(t, folder)
			for _, nonce := range []string{"1", "2", "3"} {
				if _, err := s.Append(t.Context(), batch(nonce)); err != nil {
					t.Fatal(err)
				}
			}
			s.Close()
			edit(t, filepath.Join(folder, "teahouse.db"), damage)
			s = openSQLite(t, folder)
			defer s.Close()
			for i, nonce := range []string{"4", "5"} {
				r, err := s.Append(t.Context(), batch(nonce))
				if err != nil || !errors.Is(r[0].Err, chat.ErrUnavailable) || r[1].Err != nil || r[1].Message.Seq != int64(4+i) {
					t.Fatalf("%+v %v", r, err)
				}
			}
		})
	}
}

// Whether a nonce was used cannot be judged without its message. That is a matter
// of this draft alone, and ends with the damage.
func TestADraftThatRepeatsAMessageWhichIsLost(t *testing.T) {
	folder := t.TempDir()
	s := openSQLite(t, folder)
	draft := func(nonce string) chat.Draft {
		return chat.Draft{Room: "lobby", Author: chat.User{ID: 1, Name: "Ann"}, Nonce: nonce, Text: "hi", Create: true}
	}
	for i := range 5 {
		forgetful(t, s, 1, knownBytes)
		if _, err := s.Append(t.Context(), []chat.Draft{draft(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	run := func(statement string) {
		if err := s.write(t.Context(), func(ctx context.Context, w *writer) error { return w.exec(ctx, statement) }); err != nil {
			t.Fatal(err)
		}
	}
	defer s.Close()
	for _, change := range []string{`UPDATE chunks SET messages = '[[' || messages`, `UPDATE chunks SET id = -id`} {
		run(change + ` WHERE id = 1 << 36 | 2`)
		next := fmt.Sprint("next ", change)
		r, err := s.Append(t.Context(), []chat.Draft{draft("1"), draft("2"), draft(next)})
		if err != nil || !errors.Is(r[0].Err, chat.ErrUnavailable) || !r[1].Duplicate || r[1].Message.Seq != 3 || r[2].Err != nil {
			t.Fatalf("%s: %+v %v", change, r, err)
		}
		run(`UPDATE chunks SET id = abs(id), messages = replace(messages, '[[[[', '[[')`)
		if r, err = s.Append(t.Context(), []chat.Draft{draft("1")}); err != nil || !r[0].Duplicate || r[0].Message.Seq != 2 {
			t.Fatalf("mended: %+v %v", r, err)
		}
	}
}

// Of an author whose filed nonces are cut short nobody knows which were used.
func TestARoomWhoseNoncesCannotBeReadTakesNoMessages(t *testing.T) {
	folder := t.TempDir()
	draft := func(room, nonce string) chat.Draft {
		return chat.Draft{Room: room, Author: chat.User{ID: 1, Name: "Ann"}, Nonce: nonce, Text: "hi", Create: true}
	}
	s := openSQLite(t, folder)
	forgetful(t, s, 1, knownBytes)
	if _, err := s.Append(t.Context(), []chat.Draft{draft("damaged", "1"), draft("damaged", "2"), draft("whole", "1")}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	edit(t, filepath.Join(folder, "teahouse.db"), `UPDATE nonces SET keys = substr(keys, 1, 20) WHERE room_id = (SELECT id FROM rooms WHERE slug = 'damaged')`)
	s = openSQLite(t, folder)
	defer s.Close()
	for range 2 {
		r, err := s.Append(t.Context(), []chat.Draft{draft("damaged", "2"), draft("whole", "1")})
		if err != nil || !errors.Is(r[0].Err, chat.ErrUnavailable) || !r[1].Duplicate {
			t.Fatalf("%+v %v", r, err)
		}
	}
}
