package doctor

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestTheSmallestLimitOfTheControlGroupsCounts(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("system.slice/memory.max", "1073741824\n")
	write("system.slice/cpu.max", "150000 100000\n")
	write("system.slice/teahouse.service/memory.max", "max\n")
	write("system.slice/teahouse.service/cpu.max", "max 100000\n")
	for groups, want := range map[string]machine{
		"0::/system.slice/teahouse.service\n":                 {memoryMay: 1 << 30, processors: 1.5},
		"12:memory:/old\n0::/system.slice/teahouse.service\n": {memoryMay: 1 << 30, processors: 1.5},
		"0::/\n":           {},
		"0::/../elsewhere": {},
		"4:memory:/old\n":  {},
		"":                 {},
	} {
		if memory, processors := readGroups(root, groups); memory != want.memoryMay || processors != want.processors {
			t.Errorf("%q: %d bytes, %v processors", groups, memory, processors)
		}
	}
	if m := readMachine(); m.files == 0 || m.memory == 0 {
		t.Errorf("this machine has %+v", m)
	}
}

func TestAFullDiskFails(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=1m"); err != nil {
		parts.Lacking(t, "no small file system can be mounted here: "+err.Error())
	}
	defer func() {
		if err := syscall.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	}()
	look := func() []Finding { return lookAtDisk(t.Context(), filepath.Join(folder, "teahouse.db")) }
	findings := look()
	expect(t, named(t, findings, "file system"), Warn, "tmpfs", "gone after a restart")
	expect(t, named(t, findings, "disk space"), Fail, "1 MiB", "make space")
	expect(t, named(t, findings, "disk latency"), OK)
	if err := os.WriteFile(filepath.Join(folder, "full"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	findings = look()
	expect(t, named(t, findings, "data folder"), Fail, "no space left", "make space")
	expect(t, named(t, findings, "disk space"), Fail, "0 bytes")
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("it left %v, %v", files, err)
	}
}
