package sqlstore

import (
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestOneAtATimeHasALockThatIsRemovedAgainAndAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "teahouse.db.lock")
	var holders, taken atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for taken.Load() < 2000 {
				lock, err := lockFile(path)
				if errors.Is(err, errHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d have the lock", n)
				}
				runtime.Gosched()
				holders.Add(-1)
				taken.Add(1)
				if err := unlock(lock); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if exists(path) {
		t.Error("the lock is left behind")
	}
}
