package app

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheSupervisorIsToldWhereItListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	supervisor, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Close()
	var log bytes.Buffer
	for _, state := range []string{notifyReady, notifyStopping} {
		t.Setenv("NOTIFY_SOCKET", path)
		notify(slog.New(slog.NewTextHandler(&log, nil)), state)
		got := make([]byte, 64)
		n, err := supervisor.Read(got)
		if err != nil || string(got[:n]) != state {
			t.Errorf("got %q, %v; want %q", got[:n], err, state)
		}
	}
	t.Setenv("NOTIFY_SOCKET", "")
	notify(slog.New(slog.NewTextHandler(&log, nil)), notifyReady) // nobody asked
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
	t.Setenv("NOTIFY_SOCKET", path+".gone")
	notify(slog.New(slog.NewTextHandler(&log, nil)), notifyReady)
	if !strings.Contains(log.String(), "the supervisor was not told") {
		t.Errorf("nothing was logged of a socket that is not there: %s", log.String())
	}
}
