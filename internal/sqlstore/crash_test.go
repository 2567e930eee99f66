package sqlstore_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// The crash tests run this test binary again as a server without a network: it
// posts by many senders and prints a line for each answer, until it is killed
// or has posted what it was asked to.
const (
	childDatabase = "TEAHOUSE_CHILD_DATABASE" // path: this process is the child
	childName     = "TEAHOUSE_CHILD_NAME"     // first part of its nonces
	childSenders  = "TEAHOUSE_CHILD_SENDERS"
	childPosts    = "TEAHOUSE_CHILD_POSTS" // of each sender
)

// runChild posts and prints. A line is "acked ROOM SEQ NONCE" or "failed NONCE
// ERROR"; a line is one write, so that being killed cuts at most the last.
func runChild(path string) error {
	ctx := context.Background()
	store, err := sqlstore.Open(ctx, path, quiet)
	if err != nil {
		return err
	}
	defer store.Close()
	service, err := chat.New(ctx, chat.Options{Store: store, Logger: quiet})
	if err != nil {
		return err
	}
	senders, err := strconv.Atoi(os.Getenv(childSenders))
	if err != nil {
		return err
	}
	posts, err := strconv.Atoi(os.Getenv(childPosts))
	if err != nil {
		return err
	}
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Fprintf(os.Stdout, format+"\n", args...)
	}
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			author := chat.User{ID: chat.UserID(n + 1), Name: fmt.Sprint("Sender ", n)}
			for i := range posts {
				nonce := fmt.Sprintf("%s-%d-%d", os.Getenv(childName), n, i)
				room := fmt.Sprint("room", (n+i)%3)
				m, _, err := service.Post(ctx, crashPost(room, author, nonce))
				for err != nil { // as a client does: again, with the same nonce
					say("failed %s %v", nonce, err)
					m, _, err = service.Post(ctx, crashPost(room, author, nonce))
				}
				say("acked %s %d %s", room, m.Seq, nonce)
			}
		})
	}
	wg.Wait()
	return service.Shutdown(ctx)
}

func crashPost(room string, author chat.User, nonce string) chat.Post {
	return chat.Post{Room: room, Author: author, Nonce: nonce, Text: "said with " + nonce}
}

// load is what a child is asked to do.
type load struct {
	name           string // first part of its nonces
	senders, posts int    // posts of each sender
}

// child prepares the command that runs the child; wrap goes before it.
func child(t *testing.T, path string, l load, wrap ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := append(wrap, self)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), childDatabase+"="+path, childName+"="+l.name,
		fmt.Sprint(childSenders, "=", l.senders), fmt.Sprint(childPosts, "=", l.posts))
	cmd.Stderr = os.Stderr
	return cmd
}

// ack is what a child said about one post.
type ack struct {
	room, nonce string
	seq         int64
}

// parseAcks reads whole lines of a child's output.
func parseAcks(t *testing.T, output []byte) (acks []ack, failed []string) {
	t.Helper()
	whole := output[:bytes.LastIndexByte(output, '\n')+1]
	for line := range strings.Lines(string(whole)) {
		var a ack
		if _, err := fmt.Sscanf(line, "acked %s %d %s\n", &a.room, &a.seq, &a.nonce); err == nil {
			acks = append(acks, a)
		} else if rest, ok := strings.CutPrefix(line, "failed "); ok {
			nonce, _, _ := strings.Cut(rest, " ")
			failed = append(failed, nonce)
		} else {
			t.Fatalf("a child said %q", line)
		}
	}
	return acks, failed
}

// verify opens the database, checks it and compares it with every ack so far:
// each is there once, with its number and text; numbers are dense; a repeated
// post gets the same answer.
func verify(t *testing.T, path string, acks []ack, repeat int) {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), path, quiet)
	if err != nil {
		t.Fatalf("opening after the crash: %v", err)
	}
	defer store.Close()
	logs := make(map[string][]chat.Message)
	nonces := make(map[string]bool)
	for i := range 3 {
		room := fmt.Sprint("room", i)
		for after := int64(0); ; {
			p, err := store.Messages(t.Context(), room, chat.Range{Before: -1, After: after, Around: -1, Limit: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range p.Messages {
				after++
				if m.Seq != after || nonces[m.Nonce] || m.Text != "said with "+m.Nonce {
					t.Fatalf("%s: place %d holds %+v, seen before: %v", room, after, m, nonces[m.Nonce])
				}
				nonces[m.Nonce] = true
			}
			logs[room] = append(logs[room], p.Messages...)
			if p.Last {
				break
			}
		}
	}
	for _, a := range acks {
		if log := logs[a.room]; a.seq > int64(len(log)) || log[a.seq-1].Nonce != a.nonce {
			t.Fatalf("acknowledged and lost: %+v, the log of %s has %d messages", a, a.room, len(log))
		}
	}
	for _, a := range acks[max(0, len(acks)-repeat):] {
		m := logs[a.room][a.seq-1]
		r, err := store.Append(t.Context(), []chat.Draft{{Room: a.room, Author: m.Author, Nonce: a.nonce, Text: m.Text}})
		if err != nil || !r[0].Duplicate || r[0].Message != m {
			t.Fatalf("repeating %+v: %+v %v", a, r, err)
		}
	}
}

// checkIntegrity asks SQLite whether the file is sound.
func checkIntegrity(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, check := range []string{"PRAGMA integrity_check", "SELECT coalesce((SELECT 'foreign key' FROM pragma_foreign_key_check), 'ok')"} {
		var answer string
		if err := db.QueryRow(check).Scan(&answer); err != nil || answer != "ok" {
			t.Fatalf("%s: %q %v", check, answer, err)
		}
	}
}

// envCount is a number set in the environment, or def.
func envCount(t *testing.T, name string, def int) int {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s=%s: not a number", name, s)
		}
		return n
	}
	return def
}

// Kill -9 at a random moment, again and again on one database: while it is
// opened, while it is new, under load, and after recovering from the last time.
// TEAHOUSE_KILLS sets how often, TEAHOUSE_SEED repeats a run.
func TestKillingTheServerLosesNothingAcknowledged(t *testing.T) {
	kills := envCount(t, "TEAHOUSE_KILLS", 20)
	seed := uint64(envCount(t, "TEAHOUSE_SEED", int(rand.Int32())))
	t.Logf("%d kills, TEAHOUSE_SEED=%d", kills, seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	var acks []ack
	path := ""
	for round := range kills {
		if round%20 == 0 { // so that logs stay small and the beginning is hit too
			acks, path = nil, filepath.Join(dir, fmt.Sprint("database", round), "teahouse.db")
		}
		cmd := child(t, path, load{fmt.Sprint("r", round), 32, 1 << 30})
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var output bytes.Buffer
		reader := bufio.NewReader(out)
		if round%4 != 0 { // else the clock starts at once, to hit opening and making
			line, err := reader.ReadString('\n')
			if err != nil {
				t.Fatalf("a child ended by itself: %v", err)
			}
			output.WriteString(line)
		}
		timer := time.AfterFunc(time.Duration(random.Int64N(int64(60*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		if _, err := output.ReadFrom(reader); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // "signal: killed"
		timer.Stop()
		fresh, failed := parseAcks(t, output.Bytes())
		if len(failed) > 0 {
			t.Fatalf("posts failed before the kill: %v", failed)
		}
		acks = append(acks, fresh...)
		verify(t, path, acks, 64)
		checkIntegrity(t, path)
	}
	if len(acks) == 0 {
		t.Fatal("nothing was acknowledged: the test is void")
	}
	t.Logf("%d acknowledged in the last database", len(acks))
}

// execSQLite runs statements on the file at path.
func execSQLite(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
}
