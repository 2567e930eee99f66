package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/client"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// patience is for all of replaced: clients wait up to some seconds between
// their tries.
const patience = 2 * time.Minute

// replaced takes out one server in order and the other by force, while two
// people talk and a third reads pages. No page may fail, and no message be
// lost, doubled or moved.
func replaced(t *testing.T, s *site) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	writer, reader := s.member(ctx, "127.0.0.2"), s.member(ctx, "127.0.0.3")
	var tasks sync.WaitGroup
	defer tasks.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	tasks.Go(func() { s.browse(ctx) })

	said := 0
	talk := func(n int) { // and hear it, in order
		t.Helper()
		for range n {
			text := fmt.Sprintf("cup %d", said)
			m, err := writer.Post(ctx, text)
			if err != nil {
				t.Fatalf("post: %v", err)
			}
			said++
			if m.Seq != int64(said) {
				t.Fatalf("%q became %d", text, m.Seq)
			}
		}
	}
	talk(10)
	for i, end := range []func(*server.Server){(*server.Server).Stop, (*server.Server).Kill} {
		end(s.nodes[i])
		talk(10)
		s.nodes[i].Restart()
		s.returned(i)
		talk(10)
	}
	next := 0
	for m, err := range reader.Messages(ctx) {
		if want := fmt.Sprintf("cup %d", next); err != nil || m.Text != want || m.Seq != int64(next+1) {
			t.Fatalf("got %d %q, %v; want %q", m.Seq, m.Text, err, want)
		}
		if next++; next == said {
			break
		}
	}
}

// member is somebody in the room "moving", from its first message on.
func (s *site) member(ctx context.Context, local string) *client.Room {
	s.t.Helper()
	c, err := client.Dial(ctx, s.base, &client.Options{Name: "proxy-test/1", HTTP: s.browser(local, false)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	beginning := int64(0)
	r, err := c.Join(ctx, "moving", &client.From{After: &beginning})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// browse reads until ctx ends; each answer must be good, whichever server is
// gone at that moment.
func (s *site) browse(ctx context.Context) {
	c := s.browser("127.0.0.4", true)
	for n := 0; ctx.Err() == nil; n++ {
		res, body, err := s.try(c, http.MethodGet, "/api/rooms/moving/messages", "")
		if err != nil || res.StatusCode != http.StatusOK {
			status := 0
			if res != nil {
				status = res.StatusCode
			}
			s.t.Errorf("request %d: got %d %.100q, %v", n, status, body, err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(2 * time.Millisecond): // leaves the processors to others
		}
	}
}

// returned waits until the proxy sends visitors to a server again.
func (s *site) returned(node int) {
	s.t.Helper()
	c := s.browser("127.0.0.5", true)
	before := len(s.nodes[node].Log())
	parts.Eventually(s.t, "the proxy notices that the server is back", func() bool {
		s.do(c, http.MethodGet, "/robots.txt", "")
		return requested(s.nodes[node].Log()[before:], "/robots.txt")
	})
}
