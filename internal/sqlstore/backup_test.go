package sqlstore_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func mustBackup(t *testing.T, at, file string, o sqlstore.BackupOptions) sqlstore.Archive {
	t.Helper()
	a, err := sqlstore.Backup(t.Context(), at, file, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustRestore(t *testing.T, file, at string, replace bool) sqlstore.Restored {
	t.Helper()
	r, err := sqlstore.Restore(t.Context(), file, at, replace)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names are what a folder holds.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// running is a child that posts until it is killed.
type running struct {
	cmd *exec.Cmd

	mu     sync.Mutex
	output bytes.Buffer
	done   sync.WaitGroup
}

func runLoad(t *testing.T, path string) *running {
	t.Helper()
	r := &running{cmd: child(t, path, load{"load", 16, 1 << 30})}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.done.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			r.mu.Lock()
			fmt.Fprintln(&r.output, lines.Text())
			r.mu.Unlock()
		}
	})
	t.Cleanup(r.kill)
	return r
}

func (r *running) kill() {
	_ = r.cmd.Process.Kill()
	r.done.Wait()
	_ = r.cmd.Wait()
}

// acks are all so far, once there are at least so many.
func (r *running) acks(t *testing.T, least int) []ack {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		text := bytes.Clone(r.output.Bytes())
		r.mu.Unlock()
		if acks, _ := parseAcks(t, append(text, '\n')[:len(text)]); len(acks) >= least {
			return acks
		}
		if time.Now().After(end) {
			t.Fatalf("fewer than %d acknowledged", least)
		}
	}
}

// A backup is made while a server takes posts, one after another: each holds all
// that was acknowledged before it began, and the server goes on meanwhile.
func TestABackupHoldsAllThatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "teahouse", "teahouse.db")
	s := openAt(t, path)
	var batch []chat.Draft
	for i := range 4000 { // some MiB, so that there are rests
		d := said("before", fmt.Sprint("before ", i), 1)
		d.Text = strings.Repeat("Some text that was said before. ", 100)
		batch = append(batch, d)
	}
	mustAppend(t, s, batch...)
	closeStore(t, s)
	server := runLoad(t, path)
	during := 0
	for i := range 2 {
		before := server.acks(t, 500*(i+1))
		file := filepath.Join(dir, "backups", fmt.Sprint(i, ".db"))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		steps := 0
		a := mustBackup(t, path, file, sqlstore.BackupOptions{Progress: func(pages, all int64) {
			if steps++; pages > all || pages == 0 {
				t.Errorf("%d of %d pages are done", pages, all)
			}
		}})
		during += len(server.acks(t, 0)) - len(before)
		if steps < 10 || a.Messages < int64(4000+len(before)) || a.Rooms != 4 || a.People < 16 || a.Bytes < 12<<20 {
			t.Errorf("backup %d in %d steps: %+v", i, steps, a)
		}
		checkIntegrity(t, file)
		back := filepath.Join(dir, fmt.Sprint("restored", i), "teahouse.db")
		r := mustRestore(t, file, back, false)
		if r.Messages != a.Messages || r.Aside != "" {
			t.Errorf("restored: %+v of %+v", r, a)
		}
		verify(t, back, before, 64)
	}
	if during == 0 {
		t.Error("nothing was acknowledged during two backups")
	}
	t.Logf("%d acknowledged during two backups", during)
	if got := names(t, filepath.Join(dir, "backups")); cmp.Diff([]string{"0.db", "1.db"}, got) != "" {
		t.Errorf("beside the backups: %v", got)
	}
}

func TestARestoredDatabaseHasANewEpochAndTheOldKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "teahouse.db"), filepath.Join(t.TempDir(), "backup of the tea house?.db")
	furnish(t, path, 2000, everyRune()...)
	want, epoch := readAt(t, path)
	mustBackup(t, path, file, sqlstore.BackupOptions{})
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup holds the key: %v %v", info.Mode(), err)
	}
	s := openAt(t, path)
	mustAppend(t, s, said("after the backup", "one", 1))
	closeStore(t, s)
	r := mustRestore(t, file, path, true)
	got, fresh := readAt(t, path)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("differs (-want +got):\n%s", diff[:min(len(diff), 2000)])
	}
	if fresh == epoch || fresh != r.Epoch {
		t.Errorf("the epoch was %s, was to be %s, and is %s", epoch, r.Epoch, fresh)
	}
	if _, again := readAt(t, path); again != fresh {
		t.Errorf("the epoch does not stay: %s, then %s", fresh, again)
	}
	aside := openAt(t, r.Aside)
	defer closeStore(t, aside)
	if rooms, err := aside.Find(t.Context(), "after the backup"); err != nil || len(rooms) != 1 || !strings.HasPrefix(r.Aside, path+".before-") {
		t.Errorf("what was there is at %s: %v", r.Aside, err)
	}
	if r := mustRestore(t, file, filepath.Join(dir, "again", "teahouse.db"), false); r.Epoch == fresh {
		t.Error("two restores have one epoch")
	}
}

func TestABackupOfAnOlderVersionIsUpgradedWhenItIsServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "old", "teahouse.db")
	dump, err := os.ReadFile(filepath.Join("testdata", "v1.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	execSQLite(t, path, string(dump))
	file, back, copied := filepath.Join(dir, "backup.db"), filepath.Join(dir, "new", "teahouse.db"), filepath.Join(dir, "copy", "teahouse.db")
	if a := mustBackup(t, path, file, sqlstore.BackupOptions{}); a.Messages != 4 || a.Rooms != 3 {
		t.Errorf("backed up: %+v", a)
	}
	mustRestore(t, file, back, false)
	mustCopy(t, path, copied)
	for _, at := range []string{back, copied} {
		if c, _ := readAt(t, at); len(c.Rooms) != 3 || len(c.Logs["lobby"]) != 3 || c.Key[31] != 0x1f {
			t.Errorf("%s: %+v", at, c)
		}
	}
}

func TestWhatWasKilledIsPutAsideWithItsLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file, other := filepath.Join(dir, "teahouse.db"), filepath.Join(dir, "backup"), filepath.Join(dir, "other", "teahouse.db")
	s := openAt(t, other)
	mustAppend(t, s, said("room0", "only", 1))
	closeStore(t, s)
	mustBackup(t, other, file, sqlstore.BackupOptions{})
	for name, spoil := range map[string]func(){
		"sound":   func() {},
		"damaged": func() { overwrite(t, path, 0, 16) },
		"gone": func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		server := runLoad(t, path)
		acks := server.acks(t, 200)
		server.kill()
		if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
			t.Fatalf("%s: it left no log, the test is void: %v", name, err)
		}
		header, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		spoil()
		r := mustRestore(t, file, path, true)
		if c, _ := readAt(t, path); len(c.Rooms) != 1 || len(c.Logs["room0"]) != 1 {
			t.Errorf("%s: restored are %+v", name, c.Rooms)
		}
		switch name {
		case "gone": // the log alone: SQLite would apply it to whatever has the name
			if info, err := os.Stat(r.Aside + "-wal"); err != nil || info.Size() == 0 {
				t.Errorf("the log is not put aside: %v", err)
			}
		case "damaged": // as somebody could mend it
			repair(t, r.Aside, header[:16])
			fallthrough
		default:
			verify(t, r.Aside, acks, 16)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// overwrite puts noise into a file.
func overwrite(t *testing.T, path string, from, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, n), int64(from)); err != nil {
		t.Fatal(err)
	}
}

func repair(t *testing.T, path string, header []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(header, 0); err != nil {
		t.Fatal(err)
	}
}

const childRestore = "TEAHOUSE_CHILD_RESTORE" // file of a backup: this process restores it

// Kill -9 at a random moment of a restore: what is there then is one of the two
// databases, whole.
func TestAKilledRestoreLeavesOneOfTheTwo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "teahouse.db"), filepath.Join(dir, "backup")
	s := openAt(t, path)
	var batch []chat.Draft
	for i := range 500 {
		batch = append(batch, said(fmt.Sprint("room ", i%5), fmt.Sprint("n ", i), i%7))
	}
	mustAppend(t, s, batch...)
	closeStore(t, s)
	backup, _ := readAt(t, path)
	mustBackup(t, path, file, sqlstore.BackupOptions{})
	restore := func(life time.Duration) (took time.Duration, err error) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childRestore+"="+file, childDatabase+"="+path)
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		err = cmd.Wait()
		return time.Since(start), err
	}
	whole, err := restore(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	interrupted, replaced := 0, 0
	kills := envCount(t, "TEAHOUSE_KILLS", 10)
	for n := range kills {
		s := openAt(t, path)
		mustAppend(t, s, said("after the backup", fmt.Sprint(rand.Int64()), 1))
		before := contentOf(t, s)
		closeStore(t, s)
		if _, err := restore(whole*time.Duration(n)/time.Duration(kills) + time.Duration(rand.Int64N(int64(whole)/5))); err != nil {
			interrupted++
		}
		after, _ := readAt(t, path)
		isBackup, isBefore := cmp.Equal(after, backup), cmp.Equal(after, before)
		if isBackup {
			replaced++
		}
		if !isBackup && !isBefore {
			t.Fatal("it is neither what was there nor the backup")
		}
		checkIntegrity(t, path)
	}
	if interrupted == 0 {
		t.Error("no restore was interrupted: the test is void")
	}
	t.Logf("%d interrupted, %d of all replaced the database", interrupted, replaced)
	mustRestore(t, file, path, true)
	for _, name := range names(t, dir) {
		if strings.Contains(name, ".restoring") {
			t.Errorf("%s is left behind", name)
		}
	}
}

func TestWhatCannotBeBackedUpSaysWhyAndWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "teahouse", "teahouse.db")
	furnish(t, path, 500, everyRune()[:9]...)
	file := filepath.Join(dir, "backup")
	mustBackup(t, path, file, sqlstore.BackupOptions{})
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, "damaged", "teahouse.db")
	mustRestore(t, file, damaged, false)
	info, err := os.Stat(damaged)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, damaged, int(info.Size()/2), 40_000)
	holed := filepath.Join(dir, "holed", "teahouse.db")
	mustRestore(t, file, holed, false)
	execSQLite(t, holed, `UPDATE chunks SET messages = json_remove(messages, '$[2]') WHERE id = 2 << 36 | 1`)
	foreign, empty := filepath.Join(dir, "recipes"), filepath.Join(dir, "empty")
	execSQLite(t, foreign, `CREATE TABLE recipes (name TEXT)`)
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("Dear diary. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name, at, file string
		ctx            context.Context
		want           error
		says           string
	}{
		{"no database", filepath.Join(dir, "nowhere"), file + "1", nil, sqlstore.ErrEmpty, "nowhere"},
		{"an empty one", empty, file + "1", nil, sqlstore.ErrEmpty, "empty"},
		{"somebody else's", foreign, file + "1", nil, sqlstore.ErrForeign, "recipes"},
		{"none at all", text, file + "1", nil, sqlstore.ErrForeign, "text is another kind of file"},
		{"damaged pages", damaged, file + "1", nil, sqlstore.ErrDamaged, ""},
		{"a log with a hole", holed, file + "1", nil, sqlstore.ErrDamaged, "messages are missing"},
		{"an unfinished copy", unfinished(t, filepath.Join(dir, "unfinished.db")), file + "1", nil, sqlstore.ErrUnfinished, "migrate-store"},
		{"a file that is there", path, file, nil, sqlstore.ErrExists, "--force"},
		{"a folder in its place", path, dir, nil, sqlstore.ErrExists, "is no file"},
		{"the database itself", path, path, nil, sqlstore.ErrExists, "itself"},
		{"a folder that is not there", path, filepath.Join(dir, "no", "backup"), nil, sqlstore.ErrNotSaved, "there is no folder " + filepath.Join(dir, "no")},
		{"a file for a folder", path, filepath.Join(text, "backup"), nil, sqlstore.ErrNotSaved, "not a directory"},
		{"a folder for the database", dir, file + "1", nil, sqlstore.ErrForeign, "is no file"},
		{"a signal", path, file + "1", cancelled, context.Canceled, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			_, err := sqlstore.Backup(ctx, c.at, c.file, sqlstore.BackupOptions{})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v saying %q", err, c.want, c.says)
			}
		})
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the backup that was there has changed: %v", err)
	}
	for _, name := range names(t, dir) {
		if strings.Contains(name, "partial") || strings.HasPrefix(name, "backup1") {
			t.Errorf("%s is left behind", name)
		}
	}
}

func TestWhatCannotBeRestoredSaysWhyAndChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, file := filepath.Join(dir, "teahouse", "teahouse.db"), filepath.Join(dir, "backup")
	furnish(t, path, 500, everyRune()[:9]...)
	want, epoch := readAt(t, path)
	mustBackup(t, path, file, sqlstore.BackupOptions{})
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	made := func(name string, content []byte) string {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	edited := func(name, statement string) string {
		at := made(name, whole)
		execSQLite(t, at, statement)
		return at
	}
	noise := bytes.Clone(whole)
	copy(noise[len(noise)/2:], bytes.Repeat([]byte{0xa5}, 40_000))
	for _, c := range []struct {
		name, file string
		replace    bool
		want       error
		says       string
	}{
		{"no backup", filepath.Join(dir, "nowhere"), true, os.ErrNotExist, "name the file that teahouse backup has written"},
		{"a folder", dir, true, sqlstore.ErrUnreadable, "is a folder): name the file"},
		{"an empty one", made("empty", nil), true, sqlstore.ErrEmpty, "empty"},
		{"half of one", made("half", whole[:len(whole)/2]), true, sqlstore.ErrDamaged, ""},
		{"noise in it", made("noise", noise), true, sqlstore.ErrDamaged, ""},
		{"a letter", made("letter", bytes.Repeat([]byte("Dear diary. "), 100)), true, sqlstore.ErrDamaged, "letter"},
		{"a message less", edited("less", "UPDATE chunks SET messages = json_remove(messages, '$[1]') WHERE id = 2 << 36 | 1"), true, sqlstore.ErrDamaged, "missing"},
		{"a newer one", edited("newer", "INSERT INTO migrations VALUES (99, 'of the future', 0)"), true, sqlstore.ErrNewer, "version 99"},
		{"somebody else's", edited("foreign", "DROP TABLE migrations"), true, sqlstore.ErrForeign, "foreign"},
		{"a key that is none", edited("keyless", "UPDATE settings SET value = 'x' WHERE key = 'key'"), true, sqlstore.ErrDamaged, "key"},
		{"the database itself", path, true, sqlstore.ErrExists, "itself"},
		{"over a database", file, false, sqlstore.ErrExists, "--force"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sqlstore.Restore(t.Context(), c.file, path, c.replace)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v saying %q", err, c.want, c.says)
			}
		})
	}
	s := openAt(t, path)
	if _, err := sqlstore.Restore(t.Context(), file, path, true); !errors.Is(err, sqlstore.ErrInUse) || !strings.Contains(err.Error(), "stop the server") {
		t.Errorf("while it is served: %v", err)
	}
	closeStore(t, s)
	if got, same := readAt(t, path); same != epoch || cmp.Diff(want, got) != "" {
		t.Error("the database has changed")
	}
	if got := names(t, filepath.Dir(path)); len(got) != 2 {
		t.Errorf("beside the database: %v", got)
	}
}
