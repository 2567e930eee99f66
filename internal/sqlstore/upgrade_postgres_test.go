package sqlstore

import (
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// rowsOfVersion1 is how version 1 stored a message.
const rowsOfVersion1 = `INSERT INTO messages (room_id, seq, author_id, nonce, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)`

// version1 makes a database as version 1 left it, and returns a session and what is
// in its log: texts of all kinds and more of them, rooms that are empty, small and of
// many chunks.
func version1(t *testing.T, url string, more ...string) (*sql.Conn, logs) {
	t.Helper()
	conn := session(t, url)
	steps, err := migrations("postgres")
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), postgres, conn, steps[:1], quiet); err != nil {
		t.Fatal(err)
	}
	people := []chat.User{{ID: -1 << 63, Name: "First"}, {ID: 1, Name: `"Ann"`}, {ID: 2, Name: "白鹭 🍵"}, {ID: 1<<63 - 1, Name: "Last"}}
	texts := []string{
		"", " ", `"`, `\`, `\"`, "line one\nline two\r\n\ttab", "\x01\x1f\x7f\u0085", "茶馆", "🍵👩‍👩‍👧", "one\u2028two\u2029three",
		`]],[["`, `\u0041`, `\\u0041 \n`, "<script>&amp;</script>", "{}", "null", "'; DROP TABLE messages; --", "$1 ? :a %s", "\ufeff\uffff\U0010ffff",
	}
	all := make(logs)
	say := func(slug, nonce, text string) {
		n := len(all[slug])
		all[slug] = append(all[slug], chat.Message{Seq: int64(n + 1), Author: people[n%3%2+n%5%3], Nonce: nonce, Text: text, At: fromMillis(1700000000000 + int64(n))})
	}
	for i := range 2*fileAt + 600 {
		say("茶馆", fmt.Sprint(texts[i%len(texts)], i), fmt.Sprint(i, texts[i/3%len(texts)]))
	}
	for i, text := range more {
		say("more", fmt.Sprint(i), text)
	}
	for slug, n := range map[string]int{"one": 1, "a chunk": 64, "a chunk and one": 65} {
		for i := range n {
			say(slug, texts[i%len(texts)]+strings.Repeat("!", i), texts[(i+1)%len(texts)])
		}
	}
	exec(t, conn, `BEGIN`)
	for _, u := range people {
		exec(t, conn, `INSERT INTO users (id, name, created_at) VALUES ($1, $2, 0)`, int64(u.ID), u.Name)
	}
	exec(t, conn, `INSERT INTO logins (hash, user_id, created_at, seen_at) VALUES ('\x01', 1, 2, 3)`)
	exec(t, conn, `INSERT INTO rooms (slug, last_seq, last_at) VALUES ('empty', 0, 0)`)
	for _, slug := range slices.Sorted(maps.Keys(all)) {
		log := all[slug]
		exec(t, conn, `INSERT INTO rooms (slug, last_seq, last_at) VALUES ($1, $2, $3)`, slug, len(log), log[len(log)-1].At.UnixMilli())
		for _, m := range log {
			exec(t, conn, strings.Replace(rowsOfVersion1, "$1", "(SELECT id FROM rooms WHERE slug = $1)", 1),
				slug, m.Seq, int64(m.Author.ID), m.Nonce, m.Text, m.At.UnixMilli())
		}
	}
	exec(t, conn, `COMMIT`)
	return conn, all
}

// rowsIn reads the log with SQL that versions of the schema have known, and closes
// the session.
func rowsIn(t *testing.T, url string) logs {
	t.Helper()
	db, err := connectPostgres(new(Store), url, reading)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return logsIn(t, db)
}

func TestAPostgresDatabaseOfVersion1IsUpgradedWithAllItHolds(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	url := inSchemaOf(server, "tea")
	var every []string // character there is
	for r := rune(1); r <= utf8.MaxRune; r += 4000 {
		var b strings.Builder
		for c := r; c < r+4000 && c <= utf8.MaxRune; c++ {
			if utf8.ValidRune(c) {
				b.WriteRune(c)
			}
		}
		every = append(every, b.String())
	}
	_, want := version1(t, url, every...)
	differ(t, "the fixture", want, rowsIn(t, url))
	s := openPeer(t, url)
	for _, limit := range []int{1000, 64, 50} {
		differ(t, "the log in pages", want, pagedLogs(t, s, limit))
	}
	differ(t, "the view", want, rowsIn(t, url))
	if p, err := s.Messages(t.Context(), "empty", chat.Newest(10)); err != nil || len(p.Messages) != 0 || p.LastSeq != 0 {
		t.Errorf("the empty room: %+v %v", p, err)
	}
	filedOnce(t, s)
	repeat(t, s, want, "")
	short := maps.Clone(want) // to find a long message reads the long ones around it
	delete(short, "more")
	repeat(t, s, short, "?")
	differ(t, "after posts that were there", want, pagedLogs(t, s, 1000))
	for slug, log := range want {
		last := log[len(log)-1]
		d := chat.Draft{Room: slug, Author: last.Author, Nonce: "new", Text: "new", At: time.UnixMilli(0)}
		r, err := s.Append(t.Context(), []chat.Draft{d})
		m := chat.Message{Seq: last.Seq + 1, Author: last.Author, Nonce: "new", Text: "new", At: last.At} // time never goes back
		if err != nil {
			t.Fatal(err)
		}
		if r[0] != (chat.Appended{Message: m}) {
			t.Fatalf("a new post in %s: %s; want %+v", slug, brief(r[0]), m)
		}
		want[slug] = append(log, m)
	}
	differ(t, "the view of old and new messages", want, rowsIn(t, url))
	s = openPeer(t, url)
	repeat(t, s, short, "")
	differ(t, "at another server", want, pagedLogs(t, s, 1000))
}

// What is damaged stays as it is, and the version before can serve it.
func TestAPostgresLogWithAHoleIsNotUpgraded(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	url := inSchemaOf(server, "tea")
	conn, _ := version1(t, url)
	for _, damage := range []string{
		"DELETE FROM messages WHERE room_id = (SELECT id FROM rooms WHERE slug = '茶馆') AND seq = 65",
		"DELETE FROM messages WHERE room_id = (SELECT id FROM rooms WHERE slug = 'one')",
		"DELETE FROM messages WHERE room_id = (SELECT id FROM rooms WHERE slug = 'a chunk') AND seq = 64",
		"UPDATE rooms SET last_seq = 66 WHERE slug = 'a chunk and one'",
		"UPDATE rooms SET last_seq = 64 WHERE slug = 'a chunk and one'",
		"UPDATE rooms SET last_seq = 1 WHERE slug = 'empty'",
		"UPDATE messages SET seq = 66 WHERE room_id = (SELECT id FROM rooms WHERE slug = 'a chunk and one') AND seq = 65",
	} {
		exec(t, conn, "CREATE SCHEMA damaged")
		for _, table := range []string{"settings", "users", "logins", "rooms", "messages", "migrations"} {
			exec(t, conn, fmt.Sprintf("CREATE TABLE damaged.%s (LIKE tea.%[1]s INCLUDING ALL); INSERT INTO damaged.%[1]s SELECT * FROM tea.%[1]s", table))
		}
		exec(t, conn, "SET search_path = damaged; "+damage+"; SET search_path = tea")
		at := server.URL("postgres", "search_path=damaged")
		before := rowsIn(t, at)
		s, err := Open(t.Context(), at, quiet)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "messages_missing") {
			t.Errorf("%s: %v", damage, err)
		}
		differ(t, damage, before, rowsIn(t, at))
		var version, columns int
		if err := conn.QueryRowContext(t.Context(), `SELECT (SELECT max(version) FROM damaged.migrations),
			(SELECT count(*) FROM information_schema.columns WHERE table_schema = 'damaged' AND table_name = 'rooms')`).Scan(&version, &columns); err != nil || version != 1 || columns != 4 {
			t.Errorf("%s: version %d, rooms of %d columns, %v", damage, version, columns, err)
		}
		exec(t, conn, "DROP SCHEMA damaged CASCADE")
	}
}

// Servers of version 1 that were not stopped cannot store anything any more.
func TestAServerOfVersion1StoresNothingAfterTheUpgrade(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	url := inSchemaOf(server, "tea")
	conn, want := version1(t, url)
	old, err := conn.PrepareContext(t.Context(), rowsOfVersion1)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	exec(t, conn, `BEGIN`)
	if _, err := old.ExecContext(t.Context(), 1, 999, 1, "a", "a", 1); err != nil {
		t.Fatalf("the statement of version 1 is not right: %v", err)
	}
	exec(t, conn, `ROLLBACK`)
	s := openPeer(t, url)
	for range 2 {
		if _, err := old.ExecContext(t.Context(), 1, 1, 1, "a", "a", 1); err == nil || !strings.Contains(err.Error(), `cannot insert into view "messages"`) {
			t.Errorf("a post at a server of version 1: %v", err)
		}
	}
	differ(t, "the log", want, pagedLogs(t, s, 1000))
}

// steps counts what an upgrade tells.
type steps struct {
	mu   sync.Mutex
	told strings.Builder
}

func (s *steps) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told.Write(p)
}

func TestOfServersThatStartAtOnceOneUpgrades(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	url := inSchemaOf(server, "tea")
	_, want := version1(t, url)
	var told steps
	stores := make([]*Store, 4)
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			var err error
			if stores[i], err = Open(t.Context(), url, slog.New(slog.NewTextHandler(&told, nil))); err != nil {
				t.Errorf("server %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, s := range stores {
		if s == nil {
			t.FailNow()
		}
		defer s.Close()
		differ(t, "the log", want, pagedLogs(t, s, 1000))
		repeat(t, s, want, "")
	}
	filedOnce(t, stores[0])
	if n := strings.Count(told.told.String(), "step=chunks took="); n != 1 {
		t.Errorf("%d servers have upgraded:\n%s", n, told.told.String())
	}
}

// What a server of version 1 is storing while the upgrade begins is upgraded, too:
// the upgrade waits for it.
func TestAPostOfVersion1ThatWasUnderWayIsUpgraded(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	for name, inserted := range map[string]bool{"numbered": false, "inserted": true} {
		t.Run(name, func(t *testing.T) {
			url := inSchemaOf(server, name)
			conn, want := version1(t, url)
			m := chat.Message{Seq: 2, Author: want["one"][0].Author, Nonce: "under way", Text: "under way", At: fromMillis(1800000000000)}
			var room int64
			exec(t, conn, `SET idle_in_transaction_session_timeout = 0; BEGIN`)
			if err := conn.QueryRowContext(t.Context(), `SELECT id FROM rooms WHERE slug = 'one' FOR NO KEY UPDATE`).Scan(&room); err != nil {
				t.Fatal(err)
			}
			insert := func() {
				exec(t, conn, rowsOfVersion1, room, m.Seq, int64(m.Author.ID), m.Nonce, m.Text, m.At.UnixMilli())
			}
			if inserted {
				insert()
			}
			opened := make(chan error, 1)
			var s *Store
			go func() {
				var err error
				s, err = Open(t.Context(), url, quiet)
				opened <- err
			}()
			awaitBlocked(server)
			if !inserted {
				insert()
			}
			exec(t, conn, `UPDATE rooms SET last_seq = 2, last_at = 1800000000000 WHERE id = $1`, room)
			exec(t, conn, `COMMIT`)
			if err := <-opened; err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			want["one"] = append(want["one"], m)
			differ(t, "the log", want, pagedLogs(t, s, 1000))
			repeat(t, s, want, "")
		})
	}
}
