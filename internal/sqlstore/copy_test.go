package sqlstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func openAt(t *testing.T, at string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), at, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustAppend(t *testing.T, s *sqlstore.Store, batch ...chat.Draft) {
	t.Helper()
	if _, err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// everyRune is every code point that a text may hold, as texts of the longest
// length there is.
func everyRune() []string {
	var texts []string
	var b strings.Builder
	n := 0
	for r := rune(1); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		b.WriteRune(r)
		if n++; n == 8000 {
			texts = append(texts, b.String())
			b.Reset()
			n = 0
		}
	}
	return append(texts, b.String())
}

// furnish makes a store at an address with rooms of many sizes and names, and
// people with logins; texts are said besides.
func furnish(t *testing.T, at string, messages int, texts ...string) {
	t.Helper()
	s := openAt(t, at)
	defer closeStore(t, s)
	var batch []chat.Draft
	say := func(room, text string, author int) {
		batch = append(batch, chat.Draft{
			Room: room, Author: chat.User{ID: chat.UserID(author*7919 - 40_000), Name: fmt.Sprint("人 ", author, " 🍵")},
			Login: &chat.Login{Hash: [32]byte{byte(author), byte(author >> 8), 9}, Created: time.UnixMilli(17e11), Seen: time.UnixMilli(int64(17e11 + author))},
			Nonce: fmt.Sprint("n-", len(batch), "-茶"), Text: text,
			At: time.UnixMilli(17e11 + int64(len(batch))), Create: true,
		})
	}
	for i, text := range texts {
		say("每个字", text, i%3)
	}
	for i := range messages {
		say(fmt.Sprint("room ", i%97%11, strings.Repeat("!", i%5)), strings.Repeat("A heron waits. ", i%4+1), i%250)
	}
	for i := range 700 { // more than are read at a time
		say(fmt.Sprint("small ", i), "hi", i%3)
	}
	for part := range slices.Chunk(batch, 2000) {
		mustAppend(t, s, part...)
	}
}

// content is all that a store's interface tells.
type content struct {
	Rooms []chat.Room
	Logs  map[string][]chat.Message
	Login []chat.Login
	Key   [32]byte
}

func contentOf(t *testing.T, s *sqlstore.Store) content {
	t.Helper()
	settings, err := s.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := content{Logs: make(map[string][]chat.Message), Key: settings.Key}
	if c.Rooms, err = s.Rooms(t.Context(), 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, r := range c.Rooms {
		p, err := s.Messages(t.Context(), r.Slug, chat.Newest(1<<20))
		if err != nil {
			t.Fatal(err)
		}
		c.Logs[r.Slug] = p.Messages
	}
	for author := range 250 {
		l, err := s.Login(t.Context(), [32]byte{byte(author), byte(author >> 8), 9})
		if err != nil && !errors.Is(err, chat.ErrNoLogin) {
			t.Fatal(err)
		}
		c.Login = append(c.Login, l)
	}
	return c
}

func readAt(t *testing.T, at string) (content, string) {
	t.Helper()
	s := openAt(t, at)
	defer closeStore(t, s)
	return contentOf(t, s), epochIn(t, s)
}

func mustCopy(t *testing.T, from, to string) sqlstore.CopyProgress {
	t.Helper()
	done, err := sqlstore.Copy(t.Context(), from, to, sqlstore.CopyOptions{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestACopyIsTheSameLogThereAndBackAgain(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	dir := t.TempDir()
	places := []string{
		filepath.Join(dir, "first", "teahouse.db"),
		inSchema(t, server, "middle"),
		server.URL("postgres", "search_path="+"public"),
		filepath.Join(dir, "last", "teahouse.db"),
		filepath.Join(dir, "and one more", "teahouse.db"),
	}
	furnish(t, places[0], 9000, everyRune()...)
	want, epoch := readAt(t, places[0])
	for i, to := range places[1:] {
		from := places[i]
		done := mustCopy(t, from, to)
		if done.Stage != sqlstore.Comparing || done.Messages != done.AllMessages || done.Messages < 9700 || done.Rooms != int64(len(want.Rooms)) {
			t.Errorf("to %d: done %+v", i+1, done)
		}
		got, same := readAt(t, to)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("to %d: differs (-want +got):\n%s", i+1, diff[:min(len(diff), 2000)])
		}
		if same != epoch {
			t.Errorf("to %d: the epoch was %s and is %s", i+1, epoch, same)
		}
		if _, renewed := readAt(t, from); renewed == epoch {
			t.Errorf("to %d: the source, served again, has the epoch of the copy", i+1)
		}
	}
	for i, at := range places {
		s := openAt(t, at)
		again := chat.Draft{Room: "small 1", Author: want.Logs["small 1"][0].Author, Nonce: want.Logs["small 1"][0].Nonce, Text: "hi"}
		r, err := s.Append(t.Context(), []chat.Draft{said("a new room", "one", 1), said("small 1", "two", 1), again})
		if err != nil || r[0].Message.Seq != 1 || r[1].Message.Seq != 2 || !r[2].Duplicate || r[2].Message.Seq != 1 {
			t.Errorf("place %d goes on: %+v %v", i, r, err)
		}
		closeStore(t, s)
	}
}

func TestWhatCannotBeCopiedSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	small := func(at string) string {
		s := openAt(t, at)
		defer closeStore(t, s)
		mustAppend(t, s, said("lobby", "one", 1), said("lobby", "two", 1), said("lobby", "three", 2))
		return at
	}
	path := func() string { return filepath.Join(t.TempDir(), "teahouse.db") }
	schemas := 0
	schema := func() string {
		schemas++
		return inSchema(t, server, fmt.Sprint("s", schemas))
	}
	edited := func(statement string) string {
		at := small(path())
		execSQLite(t, at, statement)
		return at
	}
	served := func(at string) string {
		s := openAt(t, small(at))
		t.Cleanup(func() { closeStore(t, s) })
		return at
	}
	same := small(schema())
	// The third message is a chunk of its own, too.
	const split = `INSERT INTO chunks SELECT id + 2, '[' || json_extract(messages, '$[2]') || ']' FROM chunks; `
	for _, c := range []struct {
		name, from, to string
		want           error
		says           string
	}{
		{"no source", path(), path(), sqlstore.ErrEmpty, "the source: "},
		{"an empty source", schema(), path(), sqlstore.ErrEmpty, "the source: "},
		{"a source that is served", served(path()), path(), sqlstore.ErrInUse, "stop the other one"},
		{"a target that holds a chat", small(path()), small(path()), sqlstore.ErrOccupied, "name an empty database"},
		{"a target in PostgreSQL that holds a chat", small(path()), small(schema()), sqlstore.ErrOccupied, "name an empty database"},
		{"the same database", same, same, sqlstore.ErrOccupied, "the same"},
		{"the same file", edited(""), "", sqlstore.ErrOccupied, "source and target are the same database"},
		{"a copy of something else", small(path()), unfinished(t, schema()), sqlstore.ErrOtherCopy, "name an empty database"},
		{"an unfinished source", unfinished(t, path()), path(), sqlstore.ErrUnfinished, "migrate-store again"},
		{"a message that is missing", edited(split + "UPDATE chunks SET messages = json_remove(messages, '$[2]', '$[1]') WHERE id = 1 << 36 | 1"),
			schema(), sqlstore.ErrDamaged, `number 3 of the room "lobby" follows number 1`},
		{"a message that is there twice", edited(split), path(), sqlstore.ErrDamaged, `number 3 of the room "lobby" follows number 3`},
		{"messages missing at the end", edited("UPDATE rooms SET last_seq = 9"), path(), sqlstore.ErrDamaged, `after number 3 of the room "lobby" are missing`},
		{"messages after the end", edited("UPDATE rooms SET last_seq = 2"), path(), sqlstore.ErrDamaged, `number 3 of the room "lobby" follows number 2, and the last is 2`},
		{"a chunk that is none", edited("UPDATE chunks SET messages = substr(messages, 1, 40)"), path(), sqlstore.ErrDamaged, "the source: "},
		{"text that is none", edited("UPDATE chunks SET messages = json_set(messages, '$[1][3]', CAST(x'ff41' AS TEXT))"), schema(), sqlstore.ErrDamaged, `number 2 of the room "lobby" is not text`},
		{"a number that no chunk can have", edited("UPDATE rooms SET id = 1 << 27"), path(), sqlstore.ErrDamaged, `after number 0 of the room "lobby" are missing`},
		{"a target that cannot be reached", small(path()), "postgres://ann:s3cret@127.0.0.1:1/tea", sqlstore.ErrUnreachable, "the target: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.to == "" {
				c.to = c.from
			}
			_, err := sqlstore.Copy(t.Context(), c.from, c.to, sqlstore.CopyOptions{Log: quiet})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v saying %q", err, c.want, c.says)
			} else if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}

// unfinished makes a copy of something that nobody has any more.
func unfinished(t *testing.T, at string) string {
	t.Helper()
	from := filepath.Join(t.TempDir(), "teahouse.db")
	s := openAt(t, from)
	mustAppend(t, s, said("lobby", "one", 1))
	closeStore(t, s)
	execSQLite(t, from, "UPDATE rooms SET last_seq = 2")
	if _, err := sqlstore.Copy(t.Context(), from, at, sqlstore.CopyOptions{Log: quiet}); !errors.Is(err, sqlstore.ErrDamaged) {
		t.Fatalf("to be left unfinished: %v", err)
	}
	if _, err := sqlstore.Open(t.Context(), at, quiet); !errors.Is(err, sqlstore.ErrUnfinished) || !strings.Contains(err.Error(), "migrate-store") {
		t.Fatalf("a server opens an unfinished copy: %v", err)
	}
	if _, err := sqlstore.Look(t.Context(), at, false); !errors.Is(err, sqlstore.ErrUnfinished) {
		t.Fatalf("who only looks is not told: %v", err)
	}
	return at
}
