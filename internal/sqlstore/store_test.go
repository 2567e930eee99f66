package sqlstore_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/storetest"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

var factory = storetest.Factory{
	Open: func(tb testing.TB, dir string) chat.Store {
		s, err := sqlstore.Open(tb.Context(), filepath.Join(dir, "teahouse.db"), nil)
		if err != nil {
			tb.Fatal(err)
		}
		return s
	},
	Durable: true,
}

func TestSQLiteDoesWhatEveryStoreMust(t *testing.T) { storetest.Run(t, factory) }

func BenchmarkSQLite(b *testing.B) { storetest.Bench(b, factory) }
