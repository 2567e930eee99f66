package sqlstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// A process with these in its environment copies, and prints a line for each
// thing that it tells of its progress.
const (
	childCopyFrom = "TEAHOUSE_CHILD_COPY_FROM"
	childCopyTo   = "TEAHOUSE_CHILD_COPY_TO"
)

func runCopyChild(from, to string) error {
	_, err := sqlstore.Copy(context.Background(), from, to, sqlstore.CopyOptions{Log: quiet, Progress: func(p sqlstore.CopyProgress) {
		fmt.Printf("%+v\n", p)
	}})
	return err
}

// copyUntil runs a copy in another process and kills it some time after its first
// word. It says whether the copy was done before.
func copyUntil(t *testing.T, from, to string, life time.Duration) (done bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childCopyFrom+"="+from, childCopyTo+"="+to)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(out)
	if line, err := reader.ReadString('\n'); err != nil {
		_ = cmd.Wait()
		t.Fatalf("a copy ended by itself after %q: %v", line, err)
	}
	timer := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	if _, err := io.Copy(io.Discard, reader); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait() // "signal: killed"
	if err != nil && cmd.ProcessState.Exited() {
		t.Fatalf("a copy failed: %v", err)
	}
	return err == nil
}

// Kill -9 at a random moment of a copy, again and again: it goes on, and what
// comes out is whole. Meanwhile nobody can serve it.
func TestAKilledCopyGoesOn(t *testing.T) {
	t.Parallel()
	seed := uint64(envCount(t, "TEAHOUSE_SEED", int(rand.Int32())))
	t.Logf("TEAHOUSE_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	server := parts.Postgres(t)
	dir := t.TempDir()
	first := filepath.Join(dir, "first", "teahouse.db")
	furnish(t, first, 60_000, everyRune()...)
	want, epoch := readAt(t, first)
	from := first
	for i, to := range []string{inSchema(t, server, "middle"), filepath.Join(dir, "last", "teahouse.db")} {
		kills, copied := 0, false
		for kills < 8 && !copied {
			if copied = copyUntil(t, from, to, time.Duration(random.Int64N(int64(80*time.Millisecond)))); copied {
				break
			}
			kills++
			s, err := sqlstore.Open(t.Context(), to, quiet)
			switch {
			case err == nil: // killed between its last commit and its end
				copied = true
				closeStore(t, s)
			case !errors.Is(err, sqlstore.ErrUnfinished):
				t.Fatalf("after kill %d: %v", kills, err)
			}
		}
		if kills < 2 {
			t.Errorf("copy %d was killed %d times: the test is void", i, kills)
		}
		if !copied {
			mustCopy(t, from, to)
		}
		got, same := readAt(t, to)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("copy %d differs after %d kills (-want +got):\n%s", i, kills, diff[:min(len(diff), 2000)])
		}
		if same != epoch {
			// Killed after the source had been given up, the next run found it with a new epoch.
			t.Logf("copy %d has another epoch", i)
		}
		from, epoch = to, same
	}
}

// errStop ends a copy where a test wants it to.
var errStop = errors.New("stopped by the test")

// copyBriefly copies until half of the messages are stored.
func copyBriefly(t *testing.T, from, to string) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	done, err := sqlstore.Copy(ctx, from, to, sqlstore.CopyOptions{Log: quiet, Progress: func(p sqlstore.CopyProgress) {
		if p.Messages > p.AllMessages/2 {
			cancel(errStop)
		}
	}})
	if err == nil || context.Cause(ctx) != errStop || done.Messages == done.AllMessages {
		t.Fatalf("it was to be stopped: %+v %v", done, err)
	}
}

func TestASourceServedBetweenTwoRunsIsCopiedAsItIsThen(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	for kind, to := range map[string]string{
		"PostgreSQL": inSchema(t, server, "target"),
		"SQLite":     filepath.Join(t.TempDir(), "teahouse.db"),
	} {
		t.Run(kind, func(t *testing.T) { servedBetweenTwoRuns(t, to) })
	}
}

func servedBetweenTwoRuns(t *testing.T, to string) {
	from := filepath.Join(t.TempDir(), "teahouse.db")
	furnish(t, from, 10_000)
	copyBriefly(t, from, to)
	s := openAt(t, from)
	room, err := s.Rooms(t.Context(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range room[len(room)-20:] { // old ones, copied by now
		mustAppend(t, s, said(r.Slug, "said in between", 1))
	}
	mustAppend(t, s, said("room of a moment between", "one", 77_777))
	if err := s.SaveUser(t.Context(), chat.User{ID: 77_777, Name: "Renamed"}, nil); err != nil {
		t.Fatal(err)
	}
	want, epoch := contentOf(t, s), epochIn(t, s)
	closeStore(t, s)
	mustCopy(t, from, to)
	got, same := readAt(t, to)
	if diff := cmp.Diff(want, got); diff != "" || same != epoch {
		t.Fatalf("epoch %s, then %s; differs (-want +got):\n%s", epoch, same, diff[:min(len(diff), 2000)])
	}
}

// duplicate copies a database that nobody uses, as a file.
func duplicate(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "teahouse.db")
	if err := os.WriteFile(at, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestWhatIsNotEqualIsNotServed(t *testing.T) {
	t.Parallel()
	first, half := filepath.Join(t.TempDir(), "teahouse.db"), filepath.Join(t.TempDir(), "teahouse.db")
	furnish(t, first, 9000)
	copyBriefly(t, first, half)
	for name, statement := range map[string]string{
		"a text":           "UPDATE chunks SET messages = json_set(messages, '$[0][3]', 'other') WHERE id = 1 << 36 | 1",
		"an author":        "UPDATE chunks SET messages = json_set(messages, '$[0][0]', (SELECT max(id) FROM users)) WHERE id = 1 << 36 | 1",
		"a time":           "UPDATE chunks SET messages = json_set(messages, '$[0][1]', 7) WHERE id = 1 << 36 | 1",
		"a nonce":          "UPDATE chunks SET messages = json_set(messages, '$[0][2]', 'other') WHERE id = 1 << 36 | 1",
		"a name of before": "INSERT INTO users VALUES (99999999, 'Nobody', 1, 0)",
		"a further room":   "INSERT INTO rooms (id, slug, last_seq, last_at) VALUES (999999, 'nowhere', 0, 0)",
	} {
		t.Run(name, func(t *testing.T) {
			from, to := duplicate(t, first), duplicate(t, half)
			execSQLite(t, to, statement)
			for range 2 { // and it stays so
				if _, err := sqlstore.Copy(t.Context(), from, to, sqlstore.CopyOptions{Log: quiet}); !errors.Is(err, sqlstore.ErrUnequal) {
					t.Fatalf("Copy: %v", err)
				}
			}
			if _, err := sqlstore.Open(t.Context(), to, quiet); !errors.Is(err, sqlstore.ErrUnfinished) {
				t.Fatalf("Open: %v", err)
			}
		})
	}
}

func TestServersOfPostgresKeepACopyFromBeginning(t *testing.T) {
	t.Parallel()
	server := parts.Postgres(t)
	server.Must("postgres", "CREATE DATABASE tea")
	server.Must("postgres", "CREATE DATABASE other")
	running := openPostgres(t, server.URL("tea"))
	mustAppend(t, running, said("lobby", "one", 1))
	path := filepath.Join(t.TempDir(), "teahouse.db")
	if _, err := sqlstore.Copy(t.Context(), server.URL("tea"), path, sqlstore.CopyOptions{Log: quiet}); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("from what is served: %v", err)
	}
	waiting := openPostgres(t, server.URL("other"))
	closeStore(t, running)
	if _, err := sqlstore.Copy(t.Context(), server.URL("tea"), server.URL("other"), sqlstore.CopyOptions{Log: quiet}); !errors.Is(err, sqlstore.ErrInUse) {
		t.Errorf("to what is served: %v", err)
	}
	closeStore(t, waiting)
	// A server that comes while a copy runs opens neither of the two.
	beginning := true
	_, err := sqlstore.Copy(t.Context(), server.URL("tea"), server.URL("other"), sqlstore.CopyOptions{Log: quiet, Progress: func(p sqlstore.CopyProgress) {
		if !beginning {
			return
		}
		beginning = false
		if _, err := sqlstore.Open(t.Context(), server.URL("other"), quiet); !errors.Is(err, sqlstore.ErrUnfinished) {
			t.Errorf("a server of the target: %v", err)
		}
		if _, err := sqlstore.Open(t.Context(), server.URL("tea"), quiet); !errors.Is(err, sqlstore.ErrCopying) {
			t.Errorf("a server of the source: %v", err)
		}
	}})
	if err != nil || beginning {
		t.Errorf("although servers came: %v", err)
	}
}
