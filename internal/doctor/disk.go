package doctor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	littleSpace = 1 << 30
	leastSpace  = 64 << 20 // the database's log alone may have 32 MiB

	syncs     = 50
	syncsFor  = 2 * time.Second // so many fewer on a disk that is slow
	syncBlock = 4096            // bytes of one write, as SQLite's pages
	slowSync  = 20 * time.Millisecond
	slowest   = 200 * time.Millisecond
)

// volume is what a file system tells about itself.
type volume struct {
	kind string // its name, if it is one to be warned of
	why  string // what is wrong with it
	bad  bool   // it breaks databases

	free   uint64 // bytes for this user
	all    uint64 // 0: not known
	inodes uint64 // free
	nodes  uint64 // all; 0: as many as there is space
}

// lookAtDisk looks where the database at path is, or will be.
func lookAtDisk(ctx context.Context, path string) []Finding {
	folder, missing, err := nearest(filepath.Dir(path))
	if err != nil {
		return []Finding{judgeNoFolder(filepath.Dir(path), err)}
	}
	what := folder
	if missing {
		what = filepath.Dir(path) + ", which will be made,"
	}
	writable, sync := measureSyncs(ctx, folder, what)
	findings := []Finding{writable}
	if v, ok := readVolume(folder); ok {
		findings = append(findings, judgeVolume(v)...)
	}
	if writable.Level == OK {
		findings = append(findings, sync)
	}
	return findings
}

// judgeNoFolder says why a folder is none that can be looked into.
func judgeNoFolder(folder string, err error) Finding {
	f := found("data folder", "%s: %v", folder, plain(err))
	var at *fs.PathError
	switch {
	case errors.As(err, &at) && errors.Is(err, errFile) && at.Path != folder:
		f = found("data folder", "%s: %s %v", folder, at.Path, errFile)
	case errors.Is(err, errFile):
		f = found("data folder", "%s %v", folder, errFile)
	case errors.Is(err, fs.ErrPermission):
		return f.fail("run this as the server's user, or let this one into the folders above it, or choose another with --data")
	}
	return f.fail("choose another folder with --data, or another file with --store")
}

// errFile says that there is a file where a folder should be.
var errFile = errors.New("is a file")

// nearest is the folder, or the nearest above it that there is.
func nearest(folder string) (there string, missing bool, err error) {
	if folder, err = filepath.Abs(folder); err != nil {
		return "", false, err
	}
	for at := folder; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return "", false, &fs.PathError{Op: "open", Path: at, Err: errFile}
		case err == nil:
			return at, at != folder, nil
		case !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at):
			return "", false, err
		}
	}
}

// measureSyncs writes to a file without a name and says how long it took until
// the disk had it, as each commit does.
func measureSyncs(ctx context.Context, folder, what string) (writable, sync Finding) {
	writable = found("data folder", "%s can be written", what)
	took, err := timeSyncs(ctx, folder)
	if err != nil {
		return found("data folder", "%s cannot be written: %v", what, plain(err)).
			fail("give the server's user the right to write there, make space, or choose another with --data"), Finding{}
	}
	slices.Sort(took)
	half, most := took[len(took)/2], took[(len(took)*99)/100]
	sync = found("disk latency", "%v for half of %d commits, %v at most for 99 %%", short(half), len(took), short(most))
	switch {
	case half > slowSync:
		sync = sync.warn("each message waits for the disk: use a local SSD")
	case most > slowest:
		sync = sync.warn("some messages wait long for the disk: see what else writes to it")
	}
	return writable, sync
}

// timeSyncs gives at least one time, unless there is an error.
func timeSyncs(ctx context.Context, folder string) ([]time.Duration, error) {
	f, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // it goes away by itself, whatever comes
		defer os.Remove(f.Name()) // where open files cannot be removed
	}
	var took []time.Duration
	block := make([]byte, syncBlock)
	for end := time.Now().Add(syncsFor); len(took) < syncs && (len(took) == 0 || time.Now().Before(end) && ctx.Err() == nil); {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

func judgeVolume(v volume) []Finding {
	space := found("disk space", "%s free of %s", size(v.free), size(v.all))
	switch {
	case v.free < leastSpace:
		space = space.fail("make space: nothing can be stored on a full disk")
	case v.free < littleSpace:
		space = space.warn("make space before it is full: then nothing can be stored")
	case v.nodes > 0 && v.inodes < 100:
		space = found("disk space", "only %d more files can be made", v.inodes).fail("remove files: none can be made any more")
	}
	kind := found("file system", "no kind that is known to make trouble")
	if v.kind != "" {
		kind = found("file system", "%s: %s", v.kind, v.why)
		if v.bad {
			kind = kind.fail("keep the database on a local disk; for several machines use PostgreSQL")
		} else {
			kind = kind.warn("keep the database on a disk of this machine that stays, such as a volume")
		}
	}
	return []Finding{space, kind}
}

// short is a time with three digits at most.
func short(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

// plain is what the system said, without the path that the sentence has.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
