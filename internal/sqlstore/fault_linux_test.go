package sqlstore_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// When the disk cannot keep what was written, nobody is told that it was kept,
// and the same post sent again is stored once. strace counts calls per thread,
// so how many fail differs from run to run.
func TestAFailingFsyncAcknowledgesNothingAndPasses(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		unavailable(t, "strace is not installed: the fault cannot be made")
	}
	path := filepath.Join(t.TempDir(), "teahouse.db")
	if probe, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		unavailable(t, fmt.Sprintf("strace may not trace here: %v %s", err, probe))
	}
	const posts = 100
	cmd := child(t, path, load{"eio", 1, posts}, strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace=fsync,fdatasync",
		"-e", "inject=fsync,fdatasync:error=EIO:when=20..23")
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("the server ended: %v", err)
	}
	acks, failed := parseAcks(t, output)
	if len(failed) == 0 {
		t.Fatal("no post failed: the fault was not made, the test is void")
	}
	if len(acks) != posts {
		t.Fatalf("%d of %d posts were acknowledged in the end, %d failures", len(acks), posts, len(failed))
	}
	verify(t, path, acks, len(acks))
	checkIntegrity(t, path)
}

// smallDisk mounts a file system of two megabytes.
func smallDisk(t *testing.T) (dir string) {
	t.Helper()
	return diskOf(t, "2m")
}

// diskOf mounts a file system of a size.
func diskOf(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		unavailable(t, fmt.Sprintf("no small file system can be mounted here: %v", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// fillDisk writes a file until the disk is full.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskRefusesPostsStillReadsAndHeals(t *testing.T) {
	dir := smallDisk(t)
	store, err := sqlstore.Open(t.Context(), filepath.Join(dir, "teahouse.db"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	service, err := chat.New(t.Context(), chat.Options{Store: store, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer service.Shutdown(t.Context())
	post := func(n int) error {
		p := crashPost("room0", chat.User{ID: 1}, fmt.Sprint(n))
		p.Text = strings.Repeat("x", 8000)
		_, _, err := service.Post(t.Context(), p)
		return err
	}
	if err := post(0); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	fillDisk(t, ballast)
	stored := 1
	for ; err == nil; stored++ {
		err = post(stored)
	}
	stored-- // the one that failed
	if !errors.Is(err, chat.ErrUnavailable) || chat.RetryAfter(err) == 0 {
		t.Fatalf("on a full disk: %v", err)
	}
	if p, err := service.Page(t.Context(), "room0", chat.Newest(1)); err != nil || p.LastSeq != int64(stored) {
		t.Fatalf("reading on a full disk: %+v %v, want %d messages", p, err, stored)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := post(stored + n); err != nil {
			t.Fatalf("with space again: %v", err)
		}
	}
	if r, err := store.Find(t.Context(), "room0"); err != nil || r[0].LastSeq != int64(stored+20) {
		t.Fatalf("in the end: %+v %v", r, err)
	}
}

func TestNoSpaceForANewDatabaseSaysSo(t *testing.T) {
	dir := smallDisk(t)
	fillDisk(t, filepath.Join(dir, "ballast"))
	if _, err := sqlstore.Open(t.Context(), filepath.Join(dir, "teahouse.db"), quiet); !errors.Is(err, sqlstore.ErrUnwritable) {
		t.Fatalf("Open: %v", err)
	}
}

// An upgrade needs space for the old log and the new one. Without it nothing is
// changed, and with it the upgrade is made.
func TestNoSpaceForAnUpgradeChangesNothing(t *testing.T) {
	dump, err := os.ReadFile(filepath.Join("testdata", "v2.sql"))
	if err != nil {
		t.Fatal(err)
	}
	dir := diskOf(t, "4m") // 2.5 of them are the database
	path := filepath.Join(dir, "teahouse.db")
	execSQLite(t, path, string(dump))
	before := sumOfLog(t, path)
	store, err := sqlstore.Open(t.Context(), path, quiet)
	if err == nil {
		err = store.Close()
	}
	if !errors.Is(err, sqlstore.ErrUnwritable) || !strings.Contains(err.Error(), "migration 3") {
		t.Fatalf("without space: %v", err)
	}
	if now := sumOfLog(t, path); now != before {
		t.Fatalf("the log was %q and is %q", before, now)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=32m"); err != nil {
		t.Fatal(err)
	}
	if store, err = sqlstore.Open(t.Context(), path, quiet); err != nil {
		t.Fatalf("with space: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if now := sumOfLog(t, path); now != before[:strings.IndexByte(before, '/')]+"/4" {
		t.Fatalf("the log was %q and is %q", before, now)
	}
	checkIntegrity(t, path)
}

// sumOfLog tells whether two logs are the same, and the version of the schema
// after a slash.
func sumOfLog(t *testing.T, path string) (sum string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const query = `SELECT hex(group_concat(room_id || ' ' || seq || ' ' || author_id || ' ' || nonce || length(body) || ' ' || created_at ORDER BY room_id, seq))
		|| '/' || (SELECT max(version) FROM migrations) FROM messages`
	if err := db.QueryRow(query).Scan(&sum); err != nil {
		t.Fatal(err)
	}
	return sum
}
