package sqlstore

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// chunkedRoom stores a room in chunks of given sizes and returns its log.
func chunkedRoom(t *testing.T, s *Store, id int64, sizes ...int) (log []chat.Message) {
	t.Helper()
	exec := func(statement string, args ...any) {
		if _, err := s.writer.conn.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range sizes {
		first := len(log)
		for range size {
			n := int64(len(log) + 1)
			m := said(n%5-2, fmt.Sprint("nonce ", id, " ", n), fmt.Sprint("number ", n, " of ", id))
			if m.Seq = n; m.Author.ID != 0 { // who is nobody
				m.Author.Name = fmt.Sprint("Person ", n%5-2)
			}
			log = append(log, m)
		}
		exec(`INSERT INTO chunks (id, messages) VALUES ($1, $2)`, chunkID(id, int64(first+1)), chunkOf(log[first:]...))
	}
	exec(`INSERT INTO rooms (id, slug, last_seq, last_at) VALUES ($1, $2, $3, 0)`, id, fmt.Sprint("room ", id), len(log))
	return log
}

// openChunked opens a store with the authors of chunkedRoom.
func openChunked(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for id := int64(-2); id <= 2; id++ {
		if id != 0 {
			if err := s.SaveUser(t.Context(), chat.User{ID: chat.UserID(id), Name: fmt.Sprint("Person ", id)}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s
}

// pageOf is what a page of a log is, as chat.Store says.
func pageOf(log []chat.Message, r chat.Range) chat.Page {
	p := chat.Page{LastSeq: int64(len(log))}
	upTo := func(seq int64) []chat.Message { return log[:max(0, min(seq, int64(len(log))))] }
	newest := func(part []chat.Message) []chat.Message { return part[max(0, len(part)-r.Limit):] }
	switch {
	case r.Before >= 0:
		p.Messages = newest(upTo(r.Before - 1))
	case r.After >= 0:
		p.Messages = log[len(upTo(r.After)):]
		p.Messages = p.Messages[:min(len(p.Messages), r.Limit)]
	case r.Around >= 0:
		both := slices.Clone(newest(upTo(r.Around - 1)))
		slices.Reverse(both)
		p.Messages = middle(append(both, log[len(upTo(r.Around-1)):]...), r.Around, r.Limit)
	default:
		p.Messages = newest(log)
	}
	p.First, p.Last = edges(&p, r)
	return p
}

// Whatever the sizes of chunks are, pages are those of a plain list; and those of
// rooms whose ids follow one another do not mix.
func TestAPageOfChunksIsAPartOfTheLog(t *testing.T) {
	t.Parallel()
	s := openChunked(t, filepath.Join(t.TempDir(), "teahouse.db"))
	rooms := map[int64][]chat.Message{
		1: chunkedRoom(t, s, 1, 1, 1, 64, 3, 1, 70, 2),
		2: chunkedRoom(t, s, 2, 5),
		3: chunkedRoom(t, s, 3),
		4: chunkedRoom(t, s, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1),
		5: chunkedRoom(t, s, 5, 64, 64),

		maxRoom - 1: chunkedRoom(t, s, maxRoom-1, 2, 2),
		maxRoom:     chunkedRoom(t, s, maxRoom, 1),
	}
	for id, log := range rooms {
		cursors := []int64{math.MaxInt64, math.MaxInt64 - 1, maxSeq - 1, maxSeq, maxSeq + 1, maxSeq + 2, math.MaxInt32}
		for c := range int64(len(log) + 4) {
			cursors = append(cursors, c)
		}
		for _, limit := range []int{1, 2, 3, 7, 50, 64, 65, 1000, math.MaxInt} {
			ranges := []chat.Range{chat.Newest(limit)}
			for _, c := range cursors {
				ranges = append(ranges, chat.Range{Before: c, After: -1, Around: -1, Limit: limit},
					chat.Range{Before: -1, After: c, Around: -1, Limit: limit}, chat.Range{Before: -1, After: -1, Around: c, Limit: limit})
			}
			for _, r := range ranges {
				want := pageOf(log, r)
				got, err := s.Messages(t.Context(), fmt.Sprint("room ", id), r)
				if err != nil || got.First != want.First || got.Last != want.Last || got.LastSeq != want.LastSeq || !slices.Equal(got.Messages, want.Messages) {
					t.Fatalf("room %d, %+v: %v (-want +got):\n%s", id, r, err, cmp.Diff(want, got))
				}
			}
		}
	}
	if p, err := s.Messages(t.Context(), "nowhere", chat.Newest(5)); err != nil || !p.First || !p.Last || p.Messages != nil {
		t.Errorf("of a room that is not there: %+v %v", p, err)
	}
}

// A page reads the chunks that it is made of, and no other: damage elsewhere does
// not matter to it.
func TestAPageReadsNoChunkThatItDoesNotHold(t *testing.T) {
	t.Parallel()
	s := openChunked(t, filepath.Join(t.TempDir(), "teahouse.db"))
	chunkedRoom(t, s, 1, 4)
	log := chunkedRoom(t, s, 2, 3, 3, 3, 3)
	chunkedRoom(t, s, 3, 4)
	bounds := []int64{1, 4, 7, 10, 13}
	for held := range 4 {
		if _, err := s.writer.conn.ExecContext(t.Context(), `UPDATE chunks SET messages = 'nothing'`); err != nil {
			t.Fatal(err)
		}
		from, to := bounds[held], bounds[held+1]
		if _, err := s.writer.conn.ExecContext(t.Context(), `UPDATE chunks SET messages = $2 WHERE id = $1`,
			chunkID(2, from), chunkOf(log[from-1:to-1]...)); err != nil {
			t.Fatal(err)
		}
		for _, r := range []chat.Range{
			{Before: to, After: -1, Around: -1, Limit: 3}, {Before: -1, After: from - 1, Around: -1, Limit: 3}, {Before: -1, After: -1, Around: from + 1, Limit: 3},
			{Before: to - 1, After: -1, Around: -1, Limit: 1}, {Before: -1, After: from, Around: -1, Limit: 2}, {Before: -1, After: -1, Around: to - 1, Limit: 1},
			{Before: 1, After: -1, Around: -1, Limit: 3}, {Before: -1, After: 12, Around: -1, Limit: 3}, {Before: 0, After: -1, Around: -1, Limit: 3},
		} {
			if p, err := s.Messages(t.Context(), "room 2", r); err != nil || !slices.Equal(p.Messages, pageOf(log, r).Messages) {
				t.Errorf("chunk %d, %+v: %v, %v", held, r, p.Messages, err)
			}
		}
	}
	if _, err := s.Messages(t.Context(), "room 2", chat.Newest(4)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a chunk that is none is read without an error: %v", err)
	}
}

// What is missing of one room is not made up from the room before it.
func TestAPageOfADamagedLogHoldsWhatIsThere(t *testing.T) {
	t.Parallel()
	s := openChunked(t, filepath.Join(t.TempDir(), "teahouse.db"))
	chunkedRoom(t, s, 1, 2, 6)
	log := chunkedRoom(t, s, 2, 3, 3)
	if _, err := s.writer.conn.ExecContext(t.Context(), `DELETE FROM chunks WHERE id = $1`, chunkID(2, 1)); err != nil {
		t.Fatal(err)
	}
	for r, want := range map[chat.Range][]chat.Message{
		chat.Newest(4): log[3:],
		{Before: -1, After: 0, Around: -1, Limit: 9}: log[3:],
		{Before: -1, After: -1, Around: 2, Limit: 3}: nil,
		{Before: 3, After: -1, Around: -1, Limit: 5}: nil,
	} {
		p, err := s.Messages(t.Context(), "room 2", r)
		if err != nil || !slices.Equal(p.Messages, want) {
			t.Errorf("%+v: %v %v", r, p.Messages, err)
		}
	}
}

// Every statement that reads finds its rows by an index, and gives them in
// order without sorting: none looks at more than it returns.
func TestNoReadScansOrSorts(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "teahouse.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for name, query := range map[string]string{
		"page": chunksOfPage, "names": namesOf + sqlite.among, "copy": chunksFrom,
		"room": roomBySlug, "named": roomsNamed + s.dialect.among, "rooms": roomsByTalk, "login": loginByHash,
	} {
		args := []any{1}
		switch name {
		case "page":
			args = []any{"a", 1, 5, 10}
		case "copy":
			args = []any{1, 5, 10}
		case "names":
			args = []any{"[1,2]"}
		case "named":
			args = []any{s.dialect.names([]string{"a", "b"})}
		}
		rows, err := s.reads.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
			indexed := strings.Contains(detail, "INDEX rooms_by_talk") || strings.Contains(detail, "SCAN json_each")
			few := name == "rooms" // those of the last 16 s in which some talked are sorted
			if strings.Contains(detail, "SCAN") && !indexed || strings.Contains(detail, "TEMP B-TREE") && !few || strings.Contains(detail, "AUTOMATIC") {
				t.Errorf("%s: %s", name, detail)
			}
		}
		rows.Close()
		if t.Failed() || testing.Verbose() {
			t.Logf("%s:\n\t%s", name, strings.Join(plan, "\n\t"))
		}
	}
}

// middle takes limit messages around a seq from up to limit older ones, newest
// first, followed by up to limit newer ones, oldest first. Half are older,
// unless one side has too few.
func middle(both []chat.Message, around int64, limit int) []chat.Message {
	split := 0
	for split < len(both) && both[split].Seq < around {
		split++
	}
	older, newer := both[:split], both[split:]
	nOlder := min(len(older), limit/2)
	nNewer := min(len(newer), limit-nOlder)
	nOlder = min(len(older), limit-nNewer)
	slices.Reverse(older)
	return append(older[len(older)-nOlder:], newer[:nNewer]...)
}
