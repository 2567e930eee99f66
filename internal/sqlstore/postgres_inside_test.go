package sqlstore

import (
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

// As TestNoReadScansOrSorts does for SQLite, with statements as the pool has them:
// prepared, whether PostgreSQL plans them for their arguments or for all.
func TestNoReadScansOrSortsInPostgres(t *testing.T) {
	server := parts.Postgres(t)
	s, err := Open(t.Context(), server.URL("postgres"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
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
	server.Must("postgres", "ANALYZE")
	conn, err := s.reads.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, mode := range []string{"force_generic_plan", "force_custom_plan"} {
		for name, query := range map[string]string{"page": chunksOfPage} {
			statement := fmt.Sprintf("p_%s_%s", name, mode)
			if _, err := conn.ExecContext(t.Context(), "SET plan_cache_mode = "+mode+"; PREPARE "+statement+" AS "+query); err != nil {
				t.Fatal(err)
			}
			rows, err := conn.QueryContext(t.Context(), "EXPLAIN EXECUTE "+statement+"('room 3', 3951, 4000, 50)")
			if err != nil {
				t.Fatal(err)
			}
			var plan []string
			for rows.Next() {
				var line string
				if err := rows.Scan(&line); err != nil {
					t.Fatal(err)
				}
				plan = append(plan, line)
			}
			rows.Close()
			if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan on chunks") || strings.Contains(text, "Bitmap") {
				t.Errorf("%s, %s:\n%s", name, mode, text)
			}
		}
	}
}
