package sqlstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// How fast a store is copied and compared, there and back. TEAHOUSE_MESSAGES sets
// how many messages it holds, in 100 rooms.
func BenchmarkCopy(b *testing.B) {
	messages := 20_000
	if s := os.Getenv("TEAHOUSE_MESSAGES"); s != "" {
		var err error
		if messages, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	from := filepath.Join(dir, "from", "teahouse.db")
	s, err := sqlstore.Open(b.Context(), from, quiet)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < messages; i += 1000 {
		batch := make([]chat.Draft, min(1000, messages-i))
		for k := range batch {
			batch[k] = chat.Draft{
				Room: fmt.Sprint("room ", k%100), Author: chat.User{ID: chat.UserID(k%700 + 1), Name: "Ann"},
				Nonce: fmt.Sprint("0c6b1d9f4a7e8b2d5c3f", i+k), Text: "A heron stands in the shallow water and waits.", Create: true,
			}
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	server := parts.Postgres(b)
	server.Must("postgres", "CREATE SCHEMA source")
	source := server.URL("postgres", "search_path=source")
	if _, err := sqlstore.Copy(b.Context(), from, source, sqlstore.CopyOptions{Log: quiet}); err != nil {
		b.Fatal(err)
	}
	for _, way := range []string{"to PostgreSQL", "to SQLite"} {
		b.Run(way, func(b *testing.B) {
			for n := range b.N {
				from, to := from, server.URL("postgres", fmt.Sprint("search_path=target", n))
				if way == "to SQLite" {
					from, to = source, filepath.Join(dir, fmt.Sprint("to", b.N, n), "teahouse.db")
				} else {
					server.Must("postgres", fmt.Sprintf("DROP SCHEMA IF EXISTS target%d CASCADE; CREATE SCHEMA target%d", n, n))
				}
				if _, err := sqlstore.Copy(b.Context(), from, to, sqlstore.CopyOptions{Log: quiet}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(messages*b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
