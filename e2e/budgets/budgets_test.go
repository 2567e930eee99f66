// Package budgets holds the real binary to its sizes: on disk, in memory, and
// with a large log. Times are reported, and only bounded generously, because
// the machine may be busy with other things.
package budgets_test

import (
	"database/sql"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // to fill the database

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

// TestTheBinaryIsSmall: 30 MiB is for the binary people run; symbols for
// debuggers make it nearly half as large again.
func TestTheBinaryIsSmall(t *testing.T) {
	for name, tt := range map[string]struct {
		flags []string
		most  int64
	}{
		"as make build makes it": {[]string{"-trimpath", "-ldflags=-s -w"}, 30 << 20},
		"with symbols":           {nil, 40 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			path, most := filepath.Join(t.TempDir(), "teahouse"), tt.most
			if err := server.Build(path, tt.flags...); err != nil {
				t.Fatal(err)
			}
			file, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%.1f MiB", float64(file.Size())/(1<<20))
			if file.Size() > most {
				t.Errorf("the binary has %d bytes, more than %d", file.Size(), most)
			}
		})
	}
}

func TestIdleMemoryIsSmall(t *testing.T) {
	const most = 40 << 20
	s := server.Start(t)
	fresh := s.RSS(t)
	// Idle is also after a visit.
	g, err := guest.Enter(s.Address, wire.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if _, _, err := g.Join(wire.Join{Room: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Post(wire.Post{Room: "a", Nonce: "n", Text: "hi"}); err != nil {
		t.Fatal(err)
	}
	visited := s.RSS(t)
	t.Logf("%.1f MiB at the start, %.1f MiB after a visit", float64(fresh)/(1<<20), float64(visited)/(1<<20))
	if max(fresh, visited) > most {
		t.Errorf("idle memory is %d and %d bytes, more than %d", fresh, visited, most)
	}
}

// TestALargeLogDoesNotDelayTheStart has 100,000 messages in 100 rooms.
func TestALargeLogDoesNotDelayTheStart(t *testing.T) {
	const most = 2 * time.Second
	s := server.Start(t)
	empty := s.RSS(t)
	s.Stop()
	grow(t, s.Data)
	best := time.Hour
	for range 3 {
		best = min(best, s.Restart())
		if first := s.RSS(t); first > 40<<20 {
			t.Errorf("memory is %d bytes after the start, %d with an empty log", first, empty)
		}
		s.Stop()
	}
	t.Logf("ready after %v", best)
	if best > most {
		t.Errorf("ready after %v, want %v", best, most)
	}
	s.Restart()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: server.Patience}
	res, err := client.Get(s.URL + "/chat/room 7/")
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("a room of it: %d, %v", res.StatusCode, err)
	}
	newest, err := guest.History(t.Context(), s.Address, "room 7", 950)
	if err != nil || len(newest) != 50 || newest[49].Seq != 1000 {
		t.Errorf("%d messages, %v", len(newest), err)
	}
}

// grow fills the log in one transaction, as if people had talked.
func grow(t *testing.T, data string) {
	t.Helper()
	path := url.URL{Path: filepath.Join(data, "teahouse.db")}
	db, err := sql.Open("sqlite", "file:"+path.EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO users (id, name, created_at) VALUES (7, 'Speaker', 1)`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
			INSERT INTO rooms (slug, last_seq, last_at) SELECT 'room ' || i, 1000, 1000 + i FROM n`,
		`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			INSERT INTO chunks (id, messages)
			SELECT r.id << 36 | min(i), json_group_array(json_array(7, 1000, 'n' || i, 'Message ' || i || ' of those that were said here, about as long as most.') ORDER BY i)
			FROM rooms r, n WHERE r.slug LIKE 'room %' GROUP BY r.id, (i - 1) / 64`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}
