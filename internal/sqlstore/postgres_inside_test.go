package sqlstore

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestAPostgresThatForgetsIsCorrectedOrTold(t *testing.T) {
	server := parts.Postgres(t, "fsync=off", "synchronous_commit=off")
	var log strings.Builder
	s, err := Open(t.Context(), server.URL("postgres"), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.Contains(log.String(), "fsync=off") {
		t.Errorf("fsync=off is not told: %s", log.String())
	}
	var durable string
	if err := s.writer.conn.QueryRowContext(t.Context(), "SHOW synchronous_commit").Scan(&durable); err != nil || durable != "on" {
		t.Errorf("synchronous_commit is %q, %v", durable, err)
	}
}

func TestWhichPostgresIsSuitable(t *testing.T) {
	for _, c := range []struct {
		version, encoding string
		ok                bool
	}{
		{"14.0", "UTF8", true},
		{"15.6 (Debian 15.6-0+deb12u1)", "UTF8", true},
		{"19beta1", "UTF8", true},
		{"20", "UTF8", true},
		{"13.22", "UTF8", false},
		{"9.6.24", "UTF8", false},
		{"", "UTF8", false},
		{"15.6", "LATIN1", false},
		{"15.6", "SQL_ASCII", false},
	} {
		err := suitable(func(name string) string {
			return map[string]string{"server_version": c.version, "server_encoding": c.encoding}[name]
		})
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrUnsuitable) {
			t.Errorf("version %q with %s: %v", c.version, c.encoding, err)
		}
	}
}

// As TestNoReadScansOrSorts does for SQLite, with statements as connections have
// them: prepared, whether PostgreSQL plans them for their arguments or for all,
// and before it has looked at what is stored or after. A copy, which reads all, gets
// its rows in order at once.
func TestNoReadScansOrSortsInPostgres(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t, "autovacuum=off")
	s := openPeer(t, server.URL("postgres"))
	conn := session(t, server.URL("postgres"))
	var writes string
	for name, value := range purposes[writing] {
		writes += "SET " + name + " = " + value + ";"
	}
	planned := func(stage string) {
		for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
			for name, c := range map[string]struct{ settings, query, args string }{
				"page":     {"", chunksOfPage, "'room 3', 3951, 4000, 50"},
				"names":    {"", namesOf + postgres.among, "'{17,18,19}'"},
				"room":     {"", roomBySlug, "'room 3'"},
				"named":    {"", roomsNamed + postgres.among, "'{room 1,room 2}'"},
				"messages": {writes, chunksBetween, fmt.Sprint(chunkID(3, 0), ",", chunkID(3, 3951), ",", chunkID(3, 4000))},
				"after":    {writes, listed(chunksAfter), fmt.Sprintf("'{%d}','{%d}','{%d}'", chunkID(3, 0), chunkID(3, 3951), chunkID(3, 4000))},
				"filed":    {writes, listed(keysOf), "'{3}', '{17}'"},
				"stored":   {writes, listed(chunksWith), fmt.Sprintf("'{%d}','{%d}'", chunkID(3, 0), chunkID(3, 3951))},
				"copy":     {postgres.long, chunksFrom, "3, 3951, 3"},
			} {
				exec(t, conn, "RESET ALL; "+c.settings+"; SET plan_cache_mode = "+mode+"; PREPARE p AS "+c.query)
				plan := planOf(t, conn, "EXECUTE p ("+c.args+")")
				walks := strings.Count(plan, "Scan") - strings.Count(plan, "Bitmap Heap Scan") - // by the bitmap of an index
					strings.Count(plan, "Function Scan") // of an argument
				sorts := strings.Contains(plan, "Sort") || strings.Contains(plan, "Bitmap") // the few rows it returns
				if walks != strings.Count(plan, "Index Cond:") || strings.Contains(plan, "Seq Scan") || name == "copy" && sorts {
					t.Errorf("%s, %s, %s:\n%s", stage, name, mode, plan)
				}
				exec(t, conn, "DEALLOCATE p")
			}
		}
	}
	planned("new")
	for i := range 40 {
		batch := make([]chat.Draft, 1000)
		for k := range batch {
			batch[k] = chat.Draft{
				Room: fmt.Sprint("room ", k%5), Author: chat.User{ID: chat.UserID(k%100 + 1), Name: "Ann"},
				Nonce: fmt.Sprint(i, " ", k), Text: "A heron stands in the shallow water and waits.", Create: true,
			}
		}
		if _, err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	server.Must("postgres", `INSERT INTO users (id, name, created_at) SELECT n, 'Nobody', 0 FROM generate_series(1000, 20000) n;
		INSERT INTO rooms (slug, last_seq, last_at) SELECT 'quiet ' || n, 0, 0 FROM generate_series(1, 20000) n`)
	planned("full")
	server.Must("postgres", "ANALYZE")
	planned("looked at")
}

// listed is a list's statement for rows of numbers.
func listed(l list) string {
	values := make([]any, l.columns)
	for i := range values {
		values[i] = int64(0)
	}
	text, _ := withArrays([]rowsOf{{l, values}})
	return text
}

// planOf is how a statement is to be run.
func planOf(t *testing.T, conn *sql.Conn, statement string) string {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN "+statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}
