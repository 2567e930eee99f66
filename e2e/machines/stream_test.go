package machines_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

// event is one of a stream.
type event struct {
	id, kind string
	message  wire.Message
}

// stream is an open one.
type stream struct {
	lines *bufio.Scanner
	close func()
}

// follow opens a room's stream; lastID may be empty.
func follow(t *testing.T, s *server.Server, path, lastID string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	unlimited := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := unlimited.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("status %d, %s", res.StatusCode, kind)
	}
	f := &stream{lines: bufio.NewScanner(res.Body), close: sync.OnceFunc(func() {
		cancel()
		_ = res.Body.Close() // it was cut
	})}
	t.Cleanup(f.close)
	return f
}

// next is the next event; the test's own limit of time bounds the wait.
func (f *stream) next(t *testing.T) (e event) {
	t.Helper()
	for f.lines.Scan() {
		name, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.message); err != nil {
				t.Fatal(err)
			}
		case "":
			if e.kind != "" {
				return e
			}
		}
	}
	t.Fatalf("the stream ended: %v", f.lines.Err())
	return e
}

// expect fails unless the next events are the messages of these seqs.
func (f *stream) expect(t *testing.T, from, to int64) (lastID string) {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		e := f.next(t)
		if e.kind != "message" || e.message.Seq != seq || !strings.HasSuffix(e.id, fmt.Sprint("-", seq)) {
			t.Fatalf("got %+v, want number %d", e, seq)
		}
		lastID = e.id
	}
	return lastID
}

func TestFollowingARoom(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	posted := 0
	post := func(n int) {
		for range n {
			posted++
			if a := call(t, "POST", messages(s, "live"), fmt.Sprint("message ", posted)); a.Seq != int64(posted) {
				t.Fatalf("post %d: %d %s", posted, a.Status, a.Body)
			}
		}
	}
	const path = "/api/rooms/live/stream"
	post(3)
	fresh := follow(t, s, path, "")
	all := follow(t, s, path+"?after=0", "")
	rest := follow(t, s, path+"?after=2", "")
	all.expect(t, 1, 3)
	id := rest.expect(t, 3, 3)
	post(2)
	fresh.expect(t, 4, 5)
	all.expect(t, 4, 5)
	rest.close()
	post(300) // more than one page of the log
	back := follow(t, s, path, id)
	last := back.expect(t, 4, 305)
	fresh.expect(t, 6, 305)
	all.expect(t, 6, 305)

	epoch, _, _ := strings.Cut(id, "-")
	for name, position := range map[string]string{"a foreign epoch": "00000000deadbeef-5", "a position nobody has reached": epoch + "-9999"} {
		t.Run(name+" is a reset", func(t *testing.T) {
			f := follow(t, s, path, position)
			if e := f.next(t); e.kind != "reset" {
				t.Fatalf("got %+v", e)
			}
			f.expect(t, 256, 305)
		})
	}
	for _, position := range []string{"nonsense", epoch + "-x", epoch + "--1", "-"} {
		if a := call(t, "GET", s.URL+path, "", "Last-Event-ID: "+position); a.Status != http.StatusBadRequest || a.Code != "bad_query" {
			t.Errorf("Last-Event-ID %q: %d %s", position, a.Status, a.Body)
		}
	}
	t.Run("a stream survives a restart by its last id", func(t *testing.T) {
		s.Stop()
		s.Restart()
		f := follow(t, s, path, last)
		post(2)
		f.expect(t, 306, 307)
	})
}
