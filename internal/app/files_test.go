package app

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestFewFilesAreWarnedOf(t *testing.T) {
	for most, want := range map[uint64]bool{0: false, 64: true, 4095: true, 4096: false, 1 << 20: false} {
		var log bytes.Buffer
		warnOfFiles(slog.New(slog.NewTextHandler(&log, nil)), most)
		if got := strings.Contains(log.String(), "few files"); got != want {
			t.Errorf("%d files: %q, want a warning %v", most, log.String(), want)
		}
	}
	err := listenError(":1", "--listen", &net.OpError{Err: os.NewSyscallError("socket", syscall.EMFILE)})
	if !strings.Contains(err.Error(), "no more files may be open at once: raise the limit") {
		t.Errorf("the error is %q", err)
	}
}

// fullListener has nothing to accept with.
type fullListener struct {
	net.Listener
	err error
}

func (l fullListener) Accept() (net.Conn, error) { return nil, l.err }

func TestThatNobodyCanBeLetInIsSaidOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := &app{log: slog.New(slog.NewTextHandler(&log, nil))}
		said := func() int { return strings.Count(log.String(), "new visitors have to wait") }
		full := &listener{Listener: fullListener{err: &net.OpError{Err: os.NewSyscallError("accept4", syscall.EMFILE)}}, full: a.tellFull}
		for range 180 { // for three minutes
			if _, err := full.Accept(); !errors.Is(err, syscall.EMFILE) {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if said() != 3 {
			t.Errorf("it was said %d times, want 3:\n%s", said(), log.String())
		}
		closed := &listener{Listener: fullListener{err: net.ErrClosed}, full: a.tellFull}
		if _, err := closed.Accept(); !errors.Is(err, net.ErrClosed) || said() != 3 {
			t.Errorf("a closed listener: %v, said %d times", err, said())
		}
	})
}
