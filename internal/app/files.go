package app

import (
	"errors"
	"log/slog"
	"sync"
	"syscall"
	"time"
)

const (
	fewFiles   = 4096 // each socket is one, and behind a proxy on the same machine two
	fullEvery  = time.Minute
	raiseFiles = "raise the limit of the service by LimitNOFILE=65536, or of a shell by ulimit -Hn 65536"
)

// noFiles says that something failed since too many files are open.
func noFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// warnOfFiles says at the start what otherwise the first crowd would find out.
// most is how many files may be open at once; 0 is not known.
func warnOfFiles(log *slog.Logger, most uint64) {
	if most > 0 && most < fewFiles {
		log.Warn("few files may be open at once, and each socket is one: "+raiseFiles, "limit", most)
	}
}

// tellFull logs that visitors have to wait until somebody leaves, now and then:
// net/http tries again many times a second.
func (a *app) tellFull() {
	if a.full.due(time.Now(), fullEvery) {
		a.log.Error("new visitors have to wait, for no more files may be open at once: " + raiseFiles)
	}
}

// seldom lets something happen once in a while.
type seldom struct {
	mu   sync.Mutex
	last time.Time // guarded by mu
}

// due says that it has not happened for so long, and that it does now.
func (s *seldom) due(now time.Time, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() && now.Sub(s.last) < every {
		return false
	}
	s.last = now
	return true
}
