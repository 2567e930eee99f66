// Package sdk is the Go client against a real server that is killed.
package sdk_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/client"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

// patience is for everything together: a client waits up to some seconds
// between its tries.
const patience = 2 * time.Minute

func TestNothingIsLostOrDoubledWhileTheServerIsKilled(t *testing.T) {
	const posts, kills = 60, 3
	s := server.Start(t, "--limits", "off")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	writer, reader := enter(ctx, t, s), enter(ctx, t, s)
	done := make(chan error, 1)
	go func() {
		for i := range posts {
			if _, err := writer.Post(ctx, fmt.Sprintf("message %d", i)); err != nil {
				done <- fmt.Errorf("post %d: %w", i, err)
				return
			}
		}
		done <- nil
	}()
	var got []string
	next := int64(1)
	for m, err := range reader.Messages(ctx) {
		if err != nil {
			t.Fatalf("after %d messages: %v", len(got), err)
		}
		if m.Seq != next {
			t.Fatalf("seq %d after %d", m.Seq, next-1)
		}
		next++
		got = append(got, m.Text)
		if len(got)%(posts/(kills+1)) == 0 && len(got) < posts {
			s.Kill()
			s.Restart()
		}
		if len(got) == posts {
			break
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range posts {
		want = append(want, fmt.Sprintf("message %d", i))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// enter is a new person in the lobby, from its first message on.
func enter(ctx context.Context, t *testing.T, s *server.Server) *client.Room {
	t.Helper()
	c, err := client.Dial(ctx, s.URL, &client.Options{Name: "sdk-test/1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	beginning := int64(0)
	r, err := c.Join(ctx, "lobby", &client.From{After: &beginning})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
