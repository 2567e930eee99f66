package nats_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels/nats"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestAServerTellsAboutItself(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{Config: "max_payload: 4096\nauthorization { user: tea, password: s3cret }"})
	o := nats.Options{Servers: []string{"nats://127.0.0.1:1", server.URL()}, User: "tea", Password: "s3cret"}
	got, err := nats.Look(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != server.Address || got.Version == "" || got.MaxPayload != 4096 || got.TLS || got.Others != 0 || got.RoundTrip <= 0 {
		t.Errorf("got %+v", got)
	}
	o.Servers, o.Password = o.Servers[1:], "wr0ng"
	if _, err := nats.Look(t.Context(), o); err == nil || !strings.Contains(err.Error(), "Authorization") || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("a wrong password: %v", err)
	}
	server.Signal(syscall.SIGSTOP)
	defer server.Signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := nats.Look(ctx, o); err == nil {
		t.Error("a server that hangs answers")
	}
}
