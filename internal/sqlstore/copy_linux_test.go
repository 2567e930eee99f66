package sqlstore_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

func TestACopyOntoAFullDiskSaysSoAndGoesOnWithSpace(t *testing.T) {
	disk := smallDisk(t)
	from, to := filepath.Join(t.TempDir(), "teahouse.db"), filepath.Join(disk, "teahouse.db")
	furnish(t, from, 9000)
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
