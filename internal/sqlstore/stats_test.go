package sqlstore_test

import (
	"syscall"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestAStoreCountsWhatFailed(t *testing.T) {
	server := parts.Postgres(t)
	s := openPostgres(t, inSchema(t, server, "tea"))
	defer s.Close()
	for _, nonce := range []string{"one", "two"} {
		if _, err := s.Append(t.Context(), []chat.Draft{said("lobby", nonce, 1)}); err != nil {
			t.Fatal(err)
		}
		if got := len(logOf(t, s, "lobby")); got == 0 {
			t.Fatal("nothing is stored")
		}
		if nonce == "one" {
			if got := s.Stats(); got.Renewed != 0 || got.Again != 0 || got.Readers == 0 || got.Reading != 0 {
				t.Errorf("all is well: %+v", got)
			}
			server.Restart(syscall.SIGINT)
		}
	}
	if got := s.Stats(); got.Renewed != 1 || got.Again != 1 {
		t.Errorf("after a restart of PostgreSQL: %+v", got)
	}
}
