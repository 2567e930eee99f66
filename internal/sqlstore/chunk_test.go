package sqlstore

import (
	"database/sql"
	"errors"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// chunkOf is the JSON of messages as Append writes it.
func chunkOf(messages ...chat.Message) string {
	var b []byte
	for i := range messages {
		b = appendMessage(b, &messages[i])
	}
	return string(append(b, ']'))
}

func said(author int64, nonce, text string) chat.Message {
	return chat.Message{Author: chat.User{ID: chat.UserID(author)}, Nonce: nonce, Text: text, At: time.UnixMilli(1_700_000_000_000 + author%7).UTC()}
}

var odd = []chat.Message{
	said(1, "n", ""),
	said(-1<<63, `"\`, "line one\nline two\ttab\x00nul\x1f"),
	said(1<<63-1, "茶馆", `]],[["\\"`+"\u2028\u0085😀"),
	said(0, " ", `\u0041 \" \\u0041`),
}

// readAll is what readChunk finds.
func readAll(chunk string) (all []chat.Message, err error) {
	err = readChunk(chunk, func(m chat.Message) { all = append(all, m) })
	return all, err
}

func TestAChunkIsReadAsItWasWritten(t *testing.T) {
	got, err := readAll(chunkOf(odd...))
	if diff := cmp.Diff(odd, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
}

// What SQLite makes of the same rows, as the upgrade of version 3 does, reads the
// same; and SQLite finds in a chunk what was written.
func TestAChunkIsTheJSONThatSQLiteReadsAndWrites(t *testing.T) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, m := range odd {
		var theirs string
		err := db.QueryRow(`SELECT json_array(json_array($1, $2, $3, $4))`, int64(m.Author.ID), m.At.UnixMilli(), m.Nonce, m.Text).Scan(&theirs)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(theirs); err != nil || len(got) != 1 || got[0] != m {
			t.Errorf("%s is read as %+v, %v", theirs, got, err)
		}
		var author, at int64
		var nonce, text string
		err = db.QueryRow(`SELECT m.value ->> 0, m.value ->> 1, m.value ->> 2, m.value ->> 3 FROM json_each($1) m`, chunkOf(m)).Scan(&author, &at, &nonce, &text)
		if err != nil || author != int64(m.Author.ID) || at != m.At.UnixMilli() || nonce != m.Nonce || text != m.Text {
			t.Errorf("SQLite finds %d, %d, %q, %q in %s: %v", author, at, nonce, text, chunkOf(m), err)
		}
	}
}

func TestADamagedChunkIsAnError(t *testing.T) {
	whole := chunkOf(said(1, "a", "one"), said(2, "b", `two "quoted"`))
	if _, err := readAll(whole); err != nil {
		t.Fatal(err)
	}
	for end := range whole {
		if _, err := readAll(whole[:end]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", whole[:end], err)
		}
	}
	for _, bad := range []string{"", "[]", "[[]]", "[[1,2,3,4]]", `[[1,2,"a","b",5]]`, `[[1,2,"a","b"]]]`, `[["1",2,"a","b"]]`, `[[1.5,2,"a","b"]]`,
		`[[99999999999999999999,2,"a","b"]]`, `[[1,2,"a","\q"]]`, "null", whole + "x"} {
		if got, err := readAll(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s is read as %+v, %v", bad, got, err)
		}
	}
}

// Whatever is in the file, reading it ends, and what it reads can be written.
func FuzzReadChunk(f *testing.F) {
	f.Add(chunkOf(odd...))
	f.Add(`[[1,2,"a","b"],[3,4,"c","d"]]`)
	f.Add(`[[1,2,"\ud800","b"`)
	f.Fuzz(func(t *testing.T, chunk string) {
		got, err := readAll(chunk)
		if err != nil || !utf8.ValidString(chunk) {
			return
		}
		again, err := readAll(chunkOf(got...))
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Fatalf("%v (-want +got):\n%s", err, diff)
		}
	})
}
