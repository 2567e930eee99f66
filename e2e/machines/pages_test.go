package machines_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/server"
)

// TestPagesOfALog has 250 messages and asks for them in every way.
func TestPagesOfALog(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	at := messages(s, "log")
	for i := 1; i <= 250; i++ {
		if a := call(t, "POST", at, fmt.Sprint("message ", i)); a.Seq != int64(i) {
			t.Fatalf("post %d: %d %s", i, a.Status, a.Body)
		}
	}
	for _, c := range []struct {
		name, query string
		from, to    int64 // seqs; 0, 0 is an empty page
		first, last bool
	}{
		{"the newest", "", 201, 250, false, true},
		{"the newest ten", "?limit=10", 241, 250, false, true},
		{"a limit of 0 is the usual one", "?limit=0", 201, 250, false, true},
		{"a limit beyond all measure", "?limit=1000000000", 51, 250, false, true},
		{"the beginning", "?after=0&limit=5", 1, 5, true, false},
		{"after the first", "?after=1&limit=5", 2, 6, false, false},
		{"after the last but one", "?after=249", 250, 250, false, true},
		{"after the last", "?after=250", 0, 0, false, true},
		{"after what is not there yet", "?after=1000", 0, 0, false, true},
		{"before the end", "?before=251&limit=3", 248, 250, false, true},
		{"before the last", "?before=250&limit=3", 247, 249, false, false},
		{"before the third", "?before=3", 1, 2, true, false},
		{"before the first", "?before=1", 0, 0, true, false},
		{"before the beginning", "?before=0", 0, 0, true, false},
		{"before what is not there yet", "?before=1000&limit=2", 249, 250, false, true},
		{"around the middle", "?around=100&limit=5", 98, 102, false, false},
		{"around the first", "?around=1&limit=5", 1, 5, true, false},
		{"around the last", "?around=250&limit=5", 246, 250, false, true},
		{"one around", "?around=100&limit=1", 100, 100, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := call(t, "GET", at+c.query, "")
			if a.Status != http.StatusOK || a.Room != "log" || a.First != c.first || a.Last != c.last {
				t.Errorf("status %d, room %q, first %v, last %v", a.Status, a.Room, a.First, a.Last)
			}
			n := 0
			if c.to > 0 {
				n = int(c.to - c.from + 1)
			}
			if len(a.Messages) != n {
				t.Fatalf("%d messages, want %d", len(a.Messages), n)
			}
			for i, m := range a.Messages {
				if want := c.from + int64(i); m.Seq != want || m.Text != fmt.Sprint("message ", want) {
					t.Fatalf("message %d is %d %q", i, m.Seq, m.Text)
				}
			}
		})
	}
	for _, query := range []string{"?after=1&before=2", "?after=1&around=1", "?after=-1", "?before=x", "?after=", "?limit=-1", "?limit=x",
		"?after=99999999999999999999", "?after=1&after=2", "?around=1.5"} {
		t.Run("refused: "+query, func(t *testing.T) {
			if a := call(t, "GET", at+query, ""); a.Status != http.StatusBadRequest || a.Code != "bad_query" || a.Hint == "" {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
		})
	}
	t.Run("a room where nobody has spoken", func(t *testing.T) {
		if a := call(t, "GET", messages(s, "empty"), ""); a.Status != http.StatusOK || len(a.Messages) != 0 || !a.First || !a.Last || a.Messages == nil {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	})
	t.Run("another spelling of the room", func(t *testing.T) {
		if a := call(t, "GET", messages(s, "%20log%20")+"?limit=1", ""); a.Room != "log" || len(a.Messages) != 1 {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	})
}
