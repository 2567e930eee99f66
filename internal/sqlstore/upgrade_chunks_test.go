package sqlstore

import (
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// logs are the messages of rooms, by their slugs.
type logs map[string][]chat.Message

// rawLogs reads the messages with SQL that each version of the schema has known:
// from a table up to version 2, from a view since.
func rawLogs(t *testing.T, path string) logs {
	t.Helper()
	db, err := connectSQLite(nil, path, writing)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	return logsIn(t, db)
}

// logsIn does so where a database is open already.
func logsIn(t *testing.T, db *sql.DB) logs {
	t.Helper()
	rows, err := db.Query(`SELECT r.slug, m.seq, m.author_id, u.name, m.nonce, m.body, m.created_at
		FROM messages m JOIN rooms r ON r.id = m.room_id JOIN users u ON u.id = m.author_id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := make(logs)
	for rows.Next() {
		var slug string
		var m chat.Message
		var millis int64
		if err := rows.Scan(&slug, &m.Seq, &m.Author.ID, &m.Author.Name, &m.Nonce, &m.Text, &millis); err != nil {
			t.Fatal(err)
		}
		m.At = fromMillis(millis)
		all[slug] = append(all[slug], m)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, log := range all {
		slices.SortFunc(log, func(x, y chat.Message) int { return cmp.Compare(x.Seq, y.Seq) })
	}
	return all
}

// pagedLogs reads the messages of rooms from their beginning, page by page.
func pagedLogs(t *testing.T, s *Store, limit int) logs {
	t.Helper()
	rooms, err := s.Rooms(t.Context(), 1000)
	if err != nil {
		t.Fatal(err)
	}
	all := make(logs)
	for _, r := range rooms {
		for after := int64(0); after < r.LastSeq; {
			p, err := s.Messages(t.Context(), r.Slug, chat.Range{Before: -1, After: after, Around: -1, Limit: limit})
			if err != nil || len(p.Messages) == 0 || p.LastSeq != r.LastSeq {
				t.Fatalf("%s after %d: %d messages, %d the last, %v", r.Slug, after, len(p.Messages), p.LastSeq, err)
			}
			all[r.Slug] = append(all[r.Slug], p.Messages...)
			after = p.Messages[len(p.Messages)-1].Seq
		}
	}
	return all
}

// differ compares logs and says which messages are not the same.
func differ(t *testing.T, what string, want, got logs) {
	t.Helper()
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%.2000s", what, diff)
	}
}

// repeat posts all that is in the log again, with other texts if it says so.
func repeat(t *testing.T, s *Store, all logs, other string) {
	t.Helper()
	for slug, log := range all {
		for part := range slices.Chunk(log, 300) {
			var batch []chat.Draft
			for _, m := range part {
				batch = append(batch, chat.Draft{Room: slug, Author: m.Author, Nonce: m.Nonce, Text: m.Text + other, At: time.UnixMilli(1800000000000)})
			}
			results, err := s.Append(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if same := r.Duplicate && r.Err == nil && r.Message == part[i]; other == "" && !same {
					t.Fatalf("%s number %d again: %s; want a duplicate", slug, part[i].Seq, brief(r))
				} else if other != "" && !errors.Is(r.Err, chat.ErrNonceConflict) {
					t.Fatalf("%s number %d with another text: %s", slug, part[i].Seq, brief(r))
				}
			}
		}
	}
}

// brief is an answer without the rest of a long text.
func brief(a chat.Appended) string {
	a.Message.Text = fmt.Sprintf("%.40s", a.Message.Text)
	return fmt.Sprintf("%+v", a)
}

// An upgrade that fails has changed nothing, and the next one goes on.
func TestADatabaseOfVersion2IsUpgradedWithAllItHolds(t *testing.T) {
	path := frozen(t, "v2.sql")
	want := rawLogs(t, path)
	if n := len(want["茶馆"]); n != 2600 || len(want) != 6 {
		t.Fatalf("the fixture has %d messages in a room and %d rooms that are not empty", n, len(want))
	}
	breakUpgrade(t, path)
	differ(t, "after an upgrade that failed", want, rawLogs(t, path))

	s, err := Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	for _, limit := range []int{1000, 64, 50} {
		differ(t, "the log in pages", want, pagedLogs(t, s, limit))
	}
	if p, err := s.Messages(t.Context(), "empty", chat.Newest(10)); err != nil || len(p.Messages) != 0 || p.LastSeq != 0 {
		t.Errorf("the empty room: %+v %v", p, err)
	}
	tea := want["茶馆"]
	for at := int64(60); at < 135; at++ { // where chunks meet
		p, err := s.Messages(t.Context(), "茶馆", chat.Range{Before: at, After: -1, Around: -1, Limit: 50})
		if err != nil || !slices.Equal(p.Messages, tea[max(0, at-51):at-1]) {
			t.Fatalf("50 before %d: %v, %v", at, p, err)
		}
	}

	repeat(t, s, want, "")
	repeat(t, s, want, "?")
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
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	differ(t, "the view", want, rawLogs(t, path))
	if s, err = Open(t.Context(), path, quiet); err != nil {
		t.Fatal(err)
	}
	repeat(t, s, want, "")
	differ(t, "opened again", want, pagedLogs(t, s, 1000))
}

// breakUpgrade upgrades the database at path, and fails at the very end of it.
func breakUpgrade(t *testing.T, path string) {
	t.Helper()
	steps, err := migrations("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	steps[2].sql += "; INSERT INTO no_such_table VALUES (1);"
	db, err := connectSQLite(nil, path, writing)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := migrate(t.Context(), sqlite, conn, steps, quiet); err == nil || !strings.Contains(err.Error(), steps[2].name) {
		t.Fatalf("a broken upgrade: %v", err)
	}
}

// The upgrade walks through the log: it neither keeps nor sorts all of it.
func TestTheUpgradeToChunksSortsNothing(t *testing.T) {
	steps, err := migrations("sqlite")
	if err != nil {
		t.Fatal(err)
	}
	_, statement, _ := strings.Cut(steps[2].sql, "INSERT INTO chunks")
	statement, _, _ = strings.Cut(statement, ";")
	db, err := connectSQLite(nil, frozen(t, "v2.sql"), writing)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE chunks (id INTEGER PRIMARY KEY, messages TEXT NOT NULL)"); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("EXPLAIN QUERY PLAN INSERT INTO chunks" + statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	lines := 0
	for ; rows.Next(); lines++ {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		if t.Log(detail); strings.Contains(detail, "TEMP B-TREE") && !strings.Contains(detail, "json_group_array") { // of 64 messages
			t.Error(detail)
		}
	}
	if rows.Err() != nil || lines == 0 {
		t.Fatalf("a plan of %d lines, %v", lines, rows.Err())
	}
}

// What is damaged stays as it is, and the version before can serve it.
func TestALogWithAHoleIsNotUpgraded(t *testing.T) {
	for _, damage := range []string{
		"DELETE FROM messages WHERE room_id = 2 AND seq = 65", "DELETE FROM messages WHERE room_id = 77",
		"UPDATE rooms SET last_seq = 66 WHERE id = 5", "UPDATE messages SET seq = 66 WHERE room_id = 5 AND seq = 65",
	} {
		path := frozen(t, "v2.sql")
		edit(t, path, damage)
		before := rawLogs(t, path)
		s, err := Open(t.Context(), path, quiet)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "messages_missing") {
			t.Errorf("%s: %v", damage, err)
		}
		differ(t, damage, before, rawLogs(t, path))
	}
}
