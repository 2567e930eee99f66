package sqlstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/storetest"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(childRestore); file != "" {
		if _, err := sqlstore.Restore(context.Background(), file, os.Getenv(childDatabase), true); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv(childDatabase); path != "" {
		if err := runChild(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if from := os.Getenv(childCopyFrom); from != "" {
		if err := runCopyChild(from, os.Getenv(childCopyTo)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
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

// What the server waits for before it can serve: opening a database that holds
// 100,000 messages.
func BenchmarkOpenWith100000Messages(b *testing.B) {
	dir := b.TempDir()
	s := factory.Open(b, dir)
	for i := range 200 {
		batch := make([]chat.Draft, 500)
		for k := range batch {
			batch[k] = chat.Draft{
				Room: fmt.Sprint("room ", k%100), Author: chat.User{ID: chat.UserID(k + 1), Name: "Ann"},
				Nonce: fmt.Sprint(i, " ", k), Text: "A heron stands in the shallow water and waits.", Create: true,
			}
		}
		if _, err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := factory.Open(b, dir)
		if rooms, err := s.Rooms(b.Context(), 50); err != nil || len(rooms) != 50 {
			b.Fatalf("%d rooms, %v", len(rooms), err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
