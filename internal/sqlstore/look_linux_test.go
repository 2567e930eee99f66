package sqlstore_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func TestLookingAtAPostgresThatHangsEnds(t *testing.T) {
	server := parts.Postgres(t)
	server.Signal(syscall.SIGSTOP)
	defer server.Signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := sqlstore.Look(ctx, server.URL("postgres"), false); !errors.Is(err, sqlstore.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}
