package memstore_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/internal/chat/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var factory = storetest.Factory{Open: func(testing.TB, string) chat.Store { return memstore.New() }}

func TestMemstoreDoesWhatEveryStoreMust(t *testing.T) { storetest.Run(t, factory) }

func BenchmarkMemstore(b *testing.B) { storetest.Bench(b, factory) }
