package proxy_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestTheServiceIsOneThatSystemdAcceptsAndKeepsApart(t *testing.T) {
	program := parts.Program(t, "systemd-analyze")
	unit := filepath.Join(t.TempDir(), "teahouse.service")
	write(t, unit, deployed(t, "teahouse.service", "/usr/local/bin/teahouse", server.Binary(t)))
	out, err := exec.Command(program, "verify", "--man=no", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), unit) || strings.Contains(string(out), "Unknown") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// 20 stands for 2.0 of 10, on a scale where an ordinary service has 9.6.
	out, err = exec.Command(program, "security", "--offline=true", "--threshold=20", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestTheServiceTellsWhenItIsReadyAndWhenItStops is what Type=notify waits for.
func TestTheServiceTellsWhenItIsReadyAndWhenItStops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	supervisor, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Close()
	if err := supervisor.SetReadDeadline(time.Now().Add(server.Patience)); err != nil {
		t.Fatal(err)
	}
	told := func(want string) {
		t.Helper()
		got := make([]byte, 64)
		if n, err := supervisor.Read(got); err != nil || string(got[:n]) != want {
			t.Errorf("told %q, %v; want %s", got[:n], err, want)
		}
	}
	s := server.StartWith(t, server.Options{Env: []string{"NOTIFY_SOCKET=" + path}})
	told("READY=1")
	s.Terminate()
	told("STOPPING=1")
	if code, err := s.Wait(server.Patience); err != nil || code != 0 {
		t.Errorf("exit code %d, %v", code, err)
	}
}

// setting is a time in seconds that stands behind a word in a file of deploy/.
func setting(t *testing.T, file, word string) int {
	t.Helper()
	found := regexp.MustCompile(`(?m)^\s*` + word + `\s*(\d+)s`).FindStringSubmatch(deployed(t, file))
	if found == nil {
		t.Fatalf("deploy/%s has no %q", file, word)
	}
	seconds, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return seconds
}

// TestNoProxyEndsWhatIsOnlyIdle knows what the server does: it pings a socket
// after 25 s of silence and gives it 10 s to answer, and tells an idle stream
// after 15 s that it is still there. Caddy ends nothing by itself.
func TestNoProxyEndsWhatIsOnlyIdle(t *testing.T) {
	const silence = 35
	for _, c := range []struct{ file, word string }{
		{"nginx.conf", "proxy_read_timeout"},
		{"nginx.conf", "proxy_send_timeout"},
		{"haproxy.cfg", "timeout client"},
		{"haproxy.cfg", "timeout server"},
		{"haproxy.cfg", "timeout tunnel"},
	} {
		if got := setting(t, c.file, c.word); got <= 2*silence {
			t.Errorf("%s in %s is %d s", c.word, c.file, got)
		}
	}
	if text := deployed(t, "Caddyfile"); strings.Contains(text, "stream_timeout") || strings.Contains(text, "read_timeout") {
		t.Error("the Caddyfile ends what takes long")
	}
}
