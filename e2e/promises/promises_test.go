// Package promises holds the server to what it promises about messages, as a
// client sees it: durable before acknowledged, one effect per nonce, one order
// per room, no silent gap, resuming at any age. The server is killed, stopped,
// starved and cut off while people talk; then everything that was acknowledged
// is looked up, and every listener's chain of hashes is compared with the log.
package promises_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite" // to look into the database

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

// patience bounds waits for what will happen unless there is a bug.
const patience = time.Minute

// crowd is people with a load in some rooms, and the log as it has been read.
type crowd struct {
	server  *server.Server
	rooms   []string
	members []*guest.Member
	log     map[string][]wire.Message
}

// gather lets n people talk in rooms, and as many listen.
func gather(t *testing.T, s *server.Server, n int, load guest.Load) *crowd {
	t.Helper()
	load.Address = s.Address
	c := &crowd{server: s, rooms: load.Rooms, log: make(map[string][]wire.Message)}
	for i := range 2 * n {
		each := load
		each.Seed = load.Seed + uint64(i)
		if i >= n {
			each.Window = 0
		}
		c.members = append(c.members, guest.Start(each))
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			m.Leave()
		}
	})
	return c
}

// speak waits until the first of n speakers has been acknowledged some more
// messages, and each other one at least one.
func (c *crowd) speak(ctx context.Context, t *testing.T, n, messages int) {
	t.Helper()
	for _, m := range c.members[:n] {
		if err := m.Speak(ctx, messages); err != nil {
			t.Fatal(err)
		}
		messages = 1
	}
}

// read takes in what the log has behind what was read before.
func (c *crowd) read(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, room := range c.rooms {
		more, err := guest.History(ctx, c.server.Address, room, int64(len(c.log[room])))
		if err != nil {
			t.Fatal(err)
		}
		c.log[room] = append(c.log[room], more...)
	}
}

// acknowledged fails unless everything in it is in the log as it was said.
func (c *crowd) acknowledged(t *testing.T, all []guest.Acked) {
	t.Helper()
	for _, a := range all {
		log := c.log[a.Room]
		if a.Seq < 1 || a.Seq > int64(len(log)) {
			t.Fatalf("%s was acknowledged as %d of %s and is lost: the log has %d", a.Nonce, a.Seq, a.Room, len(log))
		}
		if m := log[a.Seq-1]; m.Nonce != a.Nonce || m.Text != a.Text {
			t.Fatalf("%s was acknowledged as %d of %s, where there is %q", a.Nonce, a.Seq, a.Room, m.Nonce)
		}
	}
}

// sound fails unless the log is dense and has each nonce once.
func (c *crowd) sound(t *testing.T) {
	t.Helper()
	for room, log := range c.log {
		type once struct{ author, nonce string }
		seen := make(map[once]int64, len(log))
		for i, m := range log {
			if m.Seq != int64(i)+1 {
				t.Fatalf("number %d of %s is %d", i+1, room, m.Seq)
			}
			if i > 0 && m.At.Before(log[i-1].At.Time) {
				t.Fatalf("number %d of %s is older than the one above it", m.Seq, room)
			}
			key := once{m.Author.ID, m.Nonce}
			if first, twice := seen[key]; twice {
				t.Fatalf("nonce %s is in %s as %d and %d", m.Nonce, room, first, m.Seq)
			}
			seen[key] = m.Seq
		}
	}
}

// finish lets everybody finish, compares what each has with the log, and
// returns their stories and the number of messages. The server must run.
func (c *crowd) finish(t *testing.T) (stories []guest.Story, total int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, m := range c.members {
		if err := m.Settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	c.read(t)
	c.sound(t)
	for _, m := range c.members {
		for room, log := range c.log {
			if err := m.Reach(ctx, room, int64(len(log))); err != nil {
				t.Fatal(err)
			}
		}
	}
	members := c.members
	c.members = nil // nobody is left for the cleanup
	said, chains := 0, c.chains(t)
	for _, m := range members {
		story := m.Leave()
		stories = append(stories, story)
		said += len(story.Acked)
		c.compare(t, story, chains)
	}
	for _, log := range c.log {
		total += len(log)
	}
	if said != total {
		t.Errorf("%d messages in the log, %d acknowledged, and nobody waits for more", total, said)
	}
	return stories, total
}

// compare holds one story against the log and its chains.
func (c *crowd) compare(t *testing.T, story guest.Story, chains map[string]guest.Chain) {
	t.Helper()
	if len(story.Faults) > 0 {
		t.Errorf("%s: %d faults, the first: %s", story.ID, len(story.Faults), story.Faults[0])
	}
	c.acknowledged(t, story.Acked)
	for room, want := range chains {
		if got := story.Chains[room]; got != want {
			t.Errorf("%s heard another %s: chain %x at %d, the log has %x at %d",
				story.ID, room, got.Sum[:4], got.Seq, want.Sum[:4], want.Seq)
		}
	}
}

// chains are those of the log.
func (c *crowd) chains(t *testing.T) map[string]guest.Chain {
	t.Helper()
	chains := make(map[string]guest.Chain)
	for room, log := range c.log {
		var chain guest.Chain
		for _, m := range log {
			if err := chain.Add(m); err != nil {
				t.Fatal(err)
			}
		}
		chains[room] = chain
	}
	return chains
}

// examine looks into the database of a server that does not run: it must be
// whole and have the log as it was read.
func (c *crowd) examine(t *testing.T) {
	t.Helper()
	db := open(t, c.server)
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity_check: %s, %v", verdict, err)
	}
	for room, log := range c.log {
		rows, err := db.Query(`SELECT m.seq, m.nonce, m.body FROM messages m JOIN rooms r ON r.id = m.room_id
			WHERE r.slug = ? ORDER BY m.seq`, room)
		if err != nil {
			t.Fatal(err)
		}
		var stored []string
		for rows.Next() {
			var seq int64
			var nonce, body string
			if err := rows.Scan(&seq, &nonce, &body); err != nil {
				t.Fatal(err)
			}
			stored = append(stored, fmt.Sprint(seq, nonce, body))
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, m := range log {
			want = append(want, fmt.Sprint(m.Seq, m.Nonce, m.Text))
		}
		if !slices.Equal(stored, want) {
			t.Errorf("%s has %d rows, the log that was read %d, or they differ", room, len(stored), len(want))
		}
	}
}

// open opens the database of a server.
func open(t *testing.T, s *server.Server) *sql.DB {
	t.Helper()
	path := filepath.Join(s.Data, "teahouse.db")
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestEverybodyHearsTheSame(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	c := gather(t, s, 8, guest.Load{Rooms: []string{"a", "b", "茶 c"}, Window: 8, Size: 200, Seed: 1})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.speak(ctx, t, 8, 200)
	_, total := c.finish(t)
	t.Logf("%d messages", total)
	s.Stop()
	c.examine(t)
}
