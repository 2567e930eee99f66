package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestADataFolderIsLookedAtAndLeftAsItIs(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path  string
		level Level
		says  string
	}{
		"there":           {filepath.Join(folder, "teahouse.db"), OK, folder + " can be written"},
		"not there yet":   {filepath.Join(folder, "a", "b", "teahouse.db"), OK, filepath.Join("a", "b") + ", which will be made"},
		"a file":          {filepath.Join(file, "teahouse.db"), Fail, file + " is a file -> choose another folder"},
		"in a file":       {filepath.Join(file, "a", "teahouse.db"), Fail, "--data"},
		"beside nobody's": {filepath.Join(folder, "\x00", "teahouse.db"), Fail, "--data"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, named(t, lookAtDisk(t.Context(), c.path), "data folder"), c.level, c.says)
		})
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 1 {
		t.Errorf("it left %v, %v", files, err)
	}
}

func TestWhyAFolderIsNoneIsSaidOnce(t *testing.T) {
	file := &fs.PathError{Op: "open", Path: "/srv/tea", Err: errFile}
	denied := &fs.PathError{Op: "stat", Path: "/root/tea", Err: syscall.EACCES}
	for _, c := range []struct {
		folder      string
		err         error
		found, does string
	}{
		{"/srv/tea", file, "/srv/tea is a file", "choose another folder with --data"},
		{"/srv/tea/data", file, "/srv/tea/data: /srv/tea is a file", "choose another folder with --data"},
		{"/root/tea", denied, "/root/tea: permission denied", "run this as the server's user"},
	} {
		f := judgeNoFolder(c.folder, c.err)
		expect(t, f, Fail, c.does)
		if f.Found != c.found {
			t.Errorf("found %q, want %q", f.Found, c.found)
		}
	}
}

func TestAVolumeIsJudged(t *testing.T) {
	good := volume{free: 20 << 30, all: 100 << 30, inodes: 1e6, nodes: 1e7}
	for name, c := range map[string]struct {
		change func(*volume)
		about  string
		level  Level
		says   string
	}{
		"all is well":        {func(*volume) {}, "disk space", OK, "20 GiB free of 100 GiB"},
		"a local disk":       {func(*volume) {}, "file system", OK, ""},
		"little space":       {func(v *volume) { v.free = 500 << 20 }, "disk space", Warn, "before it is full"},
		"no space":           {func(v *volume) { v.free = 1 << 20 }, "disk space", Fail, "1 MiB"},
		"no more files":      {func(v *volume) { v.inodes = 3 }, "disk space", Fail, "3 more files"},
		"files without end":  {func(v *volume) { v.inodes, v.nodes = 0, 0 }, "disk space", OK, ""},
		"a network":          {func(v *volume) { v.kind, v.why, v.bad = "NFS", "locks", true }, "file system", Fail, "PostgreSQL"},
		"a container's disk": {func(v *volume) { v.kind, v.why = "overlayfs", "gone" }, "file system", Warn, "volume"},
	} {
		t.Run(name, func(t *testing.T) {
			v := good
			c.change(&v)
			expect(t, named(t, judgeVolume(v), c.about), c.level, c.says)
		})
	}
}

func TestFiguresAreShort(t *testing.T) {
	for want, d := range map[string]time.Duration{"0s": 0, "999ns": 999, "1.23µs": 1234, "12.3ms": 12_345_678, "1.23s": 1_234_567_890} {
		if got := short(d).String(); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	for want, n := range map[string]uint64{"0 bytes": 0, "1.5 KiB": 1536, "1 MiB": 1 << 20, "16384 PiB": 1<<64 - 1} {
		if got := size(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestAClockIsJudged(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	good := clock{now: now, kept: true, built: now.Add(-time.Hour), stored: now.Add(-time.Second)}
	for name, c := range map[string]struct {
		change func(*clock)
		level  Level
		says   string
	}{
		"all is well":         {func(*clock) {}, OK, "2026-01-02 03:04:05 UTC"},
		"nothing is known":    {func(c *clock) { c.built, c.stored = time.Time{}, time.Time{} }, OK, ""},
		"nobody keeps it":     {func(c *clock) { c.kept = false }, Warn, "chrony"},
		"it is before itself": {func(c *clock) { c.built = now.Add(time.Hour) }, Fail, "set the clock"},
		"it was ahead":        {func(c *clock) { c.stored = now.Add(time.Hour) }, Warn, "still to come"},
		"it is set":           {func(c *clock) { c.stepped = -time.Second }, Warn, "set by -1s"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := good
			c.change(&seen)
			expect(t, judgeClock(seen), c.level, c.says)
		})
	}
}
