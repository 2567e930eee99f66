package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/internal/chat"
)

// closedChunked makes a database with rooms in chunks of many sizes. The first is
// copied in several batches, which end one message before a chunk does.
func closedChunked(t *testing.T) (path string, logs [][]chat.Message) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "teahouse.db")
	s := openChunked(t, path)
	for i, sizes := range [][]int{
		append([]int{copyRows%50 + 1}, slices.Repeat([]int{50}, 200)...), {1, 1, 64, 3, 1, 70, 2}, {}, {5}, slices.Repeat([]int{1}, 200), {64, 64},
	} {
		logs = append(logs, chunkedRoom(t, s, int64(i+1), sizes...))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path, logs
}

// copyHalf copies until some messages are stored.
func copyHalf(t *testing.T, from, to string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done, err := Copy(ctx, from, to, CopyOptions{Log: quiet, Progress: func(p CopyProgress) {
		if p.Stage == CopyingMessages && p.Messages > p.Before {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || done.Messages == 0 || done.Messages == done.AllMessages {
		t.Fatalf("it was to be stopped: %+v %v", done, err)
	}
}

// Whatever the chunks of the source are, those of a copy are as full as they may
// be, but for the last of a room and of what one transaction stores.
func TestACopyHasChunksOfItsOwn(t *testing.T) {
	t.Parallel()
	from, logs := closedChunked(t)
	to := filepath.Join(t.TempDir(), "teahouse.db")
	copyHalf(t, from, to)
	done, err := Copy(t.Context(), from, to, CopyOptions{Log: quiet})
	if err != nil || done.Messages != done.AllMessages {
		t.Fatalf("going on: %+v %v", done, err)
	}
	s, err := Open(t.Context(), to, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, log := range logs {
		p, err := s.Messages(t.Context(), fmt.Sprint("room ", i+1), chat.Newest(1<<20))
		if diff := cmp.Diff(log, p.Messages); err != nil || len(log) > 0 && diff != "" {
			t.Fatalf("room %d: %v (-want +got):\n%s", i+1, err, diff[:min(len(diff), 2000)])
		}
	}
	var largest, chunks int
	const count = `SELECT max(json_array_length(messages)), count(*) FROM chunks`
	if err := s.writer.conn.QueryRowContext(t.Context(), count).Scan(&largest, &chunks); err != nil {
		t.Fatal(err)
	}
	want := 2 * len(logs) // each may end in the midst of a batch
	for _, log := range logs {
		want += len(log) / chunkMessages
	}
	if largest != chunkMessages || chunks > want {
		t.Errorf("%d chunks of up to %d messages; want %d of %d", chunks, largest, want, chunkMessages)
	}
}

func TestADamagedTargetIsNotTakenForTheSource(t *testing.T) {
	t.Parallel()
	from, _ := closedChunked(t)
	to := filepath.Join(t.TempDir(), "teahouse.db")
	copyHalf(t, from, to)
	edit(t, to, `UPDATE chunks SET messages = '[[1,2]]' WHERE id = 1 << 36 | 1`)
	_, err := Copy(t.Context(), from, to, CopyOptions{Log: quiet})
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "the target: ") || strings.Contains(err.Error(), "the source") {
		t.Errorf("Copy: %v", err)
	}
}

// What a backup is checked for.
func TestABackupOfALogWithHolesIsRefused(t *testing.T) {
	t.Parallel()
	whole, logs := closedChunked(t)
	file := filepath.Join(t.TempDir(), "backup")
	if a, err := Backup(t.Context(), whole, file, BackupOptions{}); err != nil || a.Rooms != int64(len(logs)) {
		t.Fatalf("whole: %+v %v", a, err)
	}
	for _, c := range []struct{ name, damage, says string }{
		{"a chunk missing at the beginning", `DELETE FROM chunks WHERE id = 2 << 36 | 1`, "in 1 rooms"},
		{"a chunk missing amid others", `DELETE FROM chunks WHERE id IN (2 << 36 | 3, 6 << 36 | 1)`, "in 2 rooms"},
		{"a chunk missing at the end", `DELETE FROM chunks WHERE id = 6 << 36 | 65`, "in 1 rooms"},
		{"a room without its log", `DELETE FROM chunks WHERE id >> 36 = 4`, "in 1 rooms"},
		{"a log of a room that has none", `INSERT INTO chunks VALUES (3 << 36 | 1, '[[1,2,"a","b"]]')`, "in 1 rooms"},
		{"a chunk twice", `INSERT INTO chunks SELECT id + 1, messages FROM chunks WHERE id = 2 << 36 | 67`, "in 1 rooms"},
		{"as much missing as is there twice", `UPDATE chunks SET id = id + 1 WHERE id = 2 << 36 | 141`, "in 1 rooms"},
		{"a room that ends later", `UPDATE rooms SET last_seq = 6 WHERE id = 4`, "in 1 rooms"},
		{"a room that ends earlier", `UPDATE rooms SET last_seq = 4 WHERE id = 4`, "in 1 rooms"},
		{"no JSON", `UPDATE chunks SET messages = '[[1,2' WHERE id = 4 << 36 | 1`, "in 1 rooms"},
		{"JSON that is no list of messages", `UPDATE chunks SET messages = '[1,2,3,4,5]' WHERE id = 4 << 36 | 1`, "in 1 rooms"},
		{"something after JSON", `UPDATE chunks SET messages = messages || ' ' WHERE id = 4 << 36 | 1`, "in 1 rooms"},
		{"all of this", `UPDATE chunks SET messages = ''`, "in 5 rooms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			holed, again := filepath.Join(t.TempDir(), "teahouse.db"), filepath.Join(t.TempDir(), "backup")
			if _, err := Restore(t.Context(), file, holed, false); err != nil {
				t.Fatal(err)
			}
			edit(t, holed, c.damage)
			_, err := Backup(t.Context(), holed, again, BackupOptions{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.says+" messages are missing") {
				t.Errorf("Backup: %v", err)
			}
		})
	}
}

func TestABackupOfAnOlderVersionIsCheckedToo(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"v1.sql", "v2.sql"} {
		path, file := frozen(t, version), filepath.Join(t.TempDir(), "backup")
		if _, err := Backup(t.Context(), path, file, BackupOptions{}); err != nil {
			t.Errorf("%s: %v", version, err)
		}
		edit(t, path, `DELETE FROM messages WHERE seq = 1 AND room_id = 1`)
		if _, err := Backup(t.Context(), path, file+"1", BackupOptions{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "in 1 rooms") {
			t.Errorf("%s with a hole: %v", version, err)
		}
	}
}
