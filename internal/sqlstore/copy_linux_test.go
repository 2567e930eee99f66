package sqlstore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func TestACopyOntoAFullDiskSaysSoAndGoesOnWithSpace(t *testing.T) {
	disk := smallDisk(t)
	from, to := filepath.Join(t.TempDir(), "teahouse.db"), filepath.Join(disk, "teahouse.db")
	furnish(t, from, 1000, everyRune()...)
	want, epoch := readAt(t, from)
	for range 2 {
		if _, err := sqlstore.Copy(t.Context(), from, to, sqlstore.CopyOptions{Log: quiet}); !errors.Is(err, sqlstore.ErrUnwritable) {
			t.Fatalf("onto a full disk: %v", err)
		}
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	mustCopy(t, from, to)
	got, same := readAt(t, to)
	if diff := cmp.Diff(want, got); diff != "" || same != epoch {
		t.Fatalf("epoch %s, then %s; differs (-want +got):\n%s", epoch, same, diff[:min(len(diff), 2000)])
	}
}

func TestABackupOntoAFullDiskLeavesWhatWasThere(t *testing.T) {
	disk := smallDisk(t)
	path, file := filepath.Join(t.TempDir(), "teahouse.db"), filepath.Join(disk, "backup")
	s := openAt(t, path)
	mustAppend(t, s, said("lobby", "one", 1))
	closeStore(t, s)
	mustBackup(t, path, file, sqlstore.BackupOptions{})
	furnish(t, path, 1000, everyRune()...)
	_, err := sqlstore.Backup(t.Context(), path, file, sqlstore.BackupOptions{Replace: true})
	if !errors.Is(err, sqlstore.ErrNotSaved) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "partial") {
		t.Fatalf("onto a full disk: %v", err)
	}
	if got := names(t, disk); len(got) != 1 {
		t.Errorf("the disk holds %v", got)
	}
	mustRestore(t, file, filepath.Join(t.TempDir(), "teahouse.db"), false)

	// And a restore onto one.
	big, at := filepath.Join(t.TempDir(), "backup"), filepath.Join(disk, "teahouse.db")
	mustBackup(t, path, big, sqlstore.BackupOptions{})
	mustRestore(t, file, at, false)
	if _, err := sqlstore.Restore(t.Context(), big, at, true); !errors.Is(err, sqlstore.ErrUnwritable) {
		t.Fatalf("a restore onto a full disk: %v", err)
	}
	if c, _ := readAt(t, at); len(c.Rooms) != 1 {
		t.Errorf("what was there is now %+v", c.Rooms)
	}
}

// What root makes for a server that is another user's can be used by that user.
func TestWhatRootMakesBelongsToTheOwnerOfTheFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		unavailable(t, "only root can give files away")
	}
	const somebody = 54321
	dir := t.TempDir()
	from, file := filepath.Join(t.TempDir(), "teahouse.db"), filepath.Join(t.TempDir(), "backup")
	s := openAt(t, from)
	mustAppend(t, s, said("lobby", "one", 1))
	closeStore(t, s)
	mustBackup(t, from, file, sqlstore.BackupOptions{})
	for _, folder := range []string{"opened", "restored", "copied"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, folder), somebody, somebody); err != nil {
			t.Fatal(err)
		}
	}
	opened := openAt(t, filepath.Join(dir, "opened", "teahouse.db"))
	defer closeStore(t, opened)
	mustAppend(t, opened, said("lobby", "one", 1))
	mustRestore(t, file, filepath.Join(dir, "restored", "teahouse.db"), false)
	mustCopy(t, from, filepath.Join(dir, "copied", "teahouse.db"))
	for _, folder := range []string{"opened", "restored", "copied"} {
		for _, name := range names(t, filepath.Join(dir, folder)) {
			info, err := os.Stat(filepath.Join(dir, folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t); owner.Uid != somebody || owner.Gid != somebody {
				t.Errorf("%s/%s belongs to %d and group %d", folder, name, owner.Uid, owner.Gid)
			}
		}
	}
}

func TestTooFewFilesAreSaidToBeSo(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "teahouse.db"), filepath.Join(dir, "backup")
	furnish(t, path, 10)
	mustBackup(t, path, file, sqlstore.BackupOptions{})
	said := make(map[string]bool)
	for files := 4; files < 20; files++ {
		cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("ulimit -n %d && exec %s", files, os.Args[0]))
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childRestore+"="+file, childDatabase+"="+path)
		out, err := cmd.CombinedOutput()
		switch text := string(out); {
		case err == nil:
			said["restored"] = true
		case strings.Contains(text, sqlstore.ErrFiles.Error()) && strings.Contains(text, "ulimit -n"):
			said["too few"] = true
		case strings.Contains(text, "writable") || strings.Contains(text, "damaged"):
			t.Errorf("%d files: %s", files, text)
		}
	}
	if !said["restored"] || !said["too few"] {
		t.Errorf("the test is void: %v", said)
	}
}
