package sqlstore_test

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/storetest"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// inPostgres makes stores in schemas of one server, one for each folder.
func inPostgres(server *parts.PostgresServer) storetest.Factory {
	return storetest.Factory{
		Open: func(tb testing.TB, dir string) chat.Store {
			tb.Helper()
			schema := fmt.Sprintf("s%x", sha256.Sum256([]byte(dir)))[:20]
			server.Must("postgres", "CREATE SCHEMA IF NOT EXISTS "+schema)
			return openPostgres(tb, server.URL("postgres", "search_path="+schema))
		},
		Durable: true,
	}
}

func openPostgres(tb testing.TB, url string) *sqlstore.Store {
	tb.Helper()
	s, err := sqlstore.Open(tb.Context(), url, quiet)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestPostgresDoesWhatEveryStoreMust(t *testing.T) {
	storetest.Run(t, inPostgres(parts.Postgres(t)))
}

func BenchmarkPostgres(b *testing.B) { storetest.Bench(b, inPostgres(parts.Postgres(b))) }
