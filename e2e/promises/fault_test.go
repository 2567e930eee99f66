package promises_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

// small mounts a file system of 4 MiB for data.
func small(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4M"); err != nil {
		server.Lacking(t, "a small file system cannot be mounted: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// refused posts and fails unless the answer is an error that passes.
func refused(t *testing.T, g *guest.Guest, p wire.Post) {
	t.Helper()
	_, _, err := g.Post(p)
	var mistake *guest.Mistake
	if !errors.As(err, &mistake) {
		t.Fatalf("posting: %v, want a refusal", err)
	}
	if mistake.Code != wire.CodeUnavailable && mistake.Code != wire.CodeBusy || mistake.RetryMS <= 0 || mistake.Nonce != p.Nonce {
		t.Fatalf("refused with %+v", mistake.ErrorFrame)
	}
}

// repeated posts until it is stored, waiting as it is told.
func repeated(t *testing.T, g *guest.Guest, p wire.Post) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		_, _, err := g.Post(p)
		var mistake *guest.Mistake
		switch {
		case err == nil:
			return
		case !errors.As(err, &mistake) || mistake.RetryMS <= 0:
			t.Fatal(err)
		}
		time.Sleep(time.Duration(mistake.RetryMS) * time.Millisecond) // what it was told
	}
	t.Fatal("refused for a minute")
}

// TestAFullDisk is F6: posts are refused for now, reading goes on, and when there
// is space again everything goes on without a restart.
func TestAFullDisk(t *testing.T) {
	dir := small(t)
	s := server.StartWith(t, server.Options{Data: filepath.Join(dir, "data"), Flags: []string{"--limits", "off"}})
	c := gather(t, s, 3, guest.Load{Rooms: []string{"one"}, Window: 2, Size: 100, Seed: 9})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	c.speak(ctx, t, 3, 20)
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	g := enter(t, s, "one", "")
	post := wire.Post{Room: "one", Nonce: "in need", Text: strings.Repeat("茶", 8000)}
	refused(t, g, post)
	if _, err := guest.History(ctx, s.Address, "one", 0); err != nil {
		t.Errorf("reading on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	repeated(t, g, post)
	for _, m := range c.members[:3] {
		if err := m.Speak(ctx, 5); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range c.members {
		if err := m.Settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	c.read(t)
	c.sound(t)
	for _, m := range c.members {
		c.acknowledged(t, m.Acked())
	}
	s.Stop()
	c.examine(t)
}

// fill writes until there is no space left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte{1}, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	_ = f.Close() // full is what it should be
}

// inject attaches strace to a server, so that its system calls do something
// else, and returns what ends that.
func inject(t *testing.T, s *server.Server, what string) (heal func()) {
	t.Helper()
	strace := exec.Command(server.Need(t, "strace"), "-f", "-p", strconv.Itoa(s.PID()), "-o", os.DevNull,
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:"+what)
	said, err := strace.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	heal = sync.OnceFunc(func() {
		_ = strace.Process.Signal(syscall.SIGINT) // it lets go of the server
		_ = strace.Wait()                         // by the signal
	})
	t.Cleanup(heal)
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || !strings.Contains(line, "attached") {
		heal()
		server.Lacking(t, "strace cannot trace here: "+line)
	}
	return heal
}

// TestADiskThatFails is F5: while fsync fails nothing is acknowledged, and what
// was refused may be repeated. The log stays whole.
func TestADiskThatFails(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	g := enter(t, s, "one", "")
	post := func(i int) wire.Post {
		return wire.Post{Room: "one", Nonce: fmt.Sprint(i), Text: fmt.Sprint("text ", i)}
	}
	for i := range 3 {
		if _, _, err := g.Post(post(i)); err != nil {
			t.Fatal(err)
		}
	}
	listener := enter(t, s, "one", "")
	heal := inject(t, s, "error=EIO")
	for i := 3; i < 6; i++ {
		refused(t, g, post(i))
		refused(t, g, post(i))
	}
	if status := get(t, s.URL+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readyz is %d while nothing can be stored", status)
	}
	if log, err := guest.History(t.Context(), s.Address, "one", 0); err != nil || len(log) != 3 {
		t.Errorf("%d messages can be read, %v; want the 3 that were acknowledged", len(log), err)
	}
	heal()
	for i := 3; i < 6; i++ {
		repeated(t, g, post(i))
	}
	if status := get(t, s.URL+"/readyz"); status != http.StatusOK {
		t.Errorf("readyz is %d on a healthy disk", status)
	}
	for seq := int64(4); seq <= 6; seq++ {
		if m, err := guest.Await[wire.MessageFrame](listener); err != nil || m.Seq != seq {
			t.Fatalf("a listener heard %+v, %v; want number %d", m, err, seq)
		}
	}
	// One line each time the store begins or ends to fail, not one for each post.
	if n := strings.Count(s.Log(), "level=ERROR"); n == 0 || n > 2 {
		t.Errorf("%d errors in the log:\n%s", n, s.Log())
	}
	s.Kill()
	s.Restart()
	c := &crowd{server: s, rooms: []string{"one"}, log: make(map[string][]wire.Message)}
	c.read(t)
	c.sound(t)
	if len(c.log["one"]) != 6 {
		t.Errorf("%d messages after all, want 6", len(c.log["one"]))
	}
	s.Stop()
	c.examine(t)
}

// get is the status of an answer.
func get(t *testing.T, url string) int {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	return res.StatusCode
}

// TestASlowDisk is F8: with an fsync of 200 ms posts wait together for one, and
// nothing is lost or refused.
func TestASlowDisk(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	inject(t, s, "delay_enter=200000")
	c := gather(t, s, 10, guest.Load{Rooms: []string{"one"}, Window: 5, Size: 100, Seed: 5})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c.speak(ctx, t, 10, 20)
	stories, _ := c.finish(t)
	for _, story := range stories {
		if len(story.Errors) > 0 {
			t.Errorf("refused: %v", story.Errors)
		}
	}
}

// TestALockedDatabase is F7: another process holds the database. Nothing is
// acknowledged meanwhile, and afterwards everything goes on.
func TestALockedDatabase(t *testing.T) {
	s := server.Start(t, "--limits", "off")
	g := enter(t, s, "one", "")
	if _, _, err := g.Post(wire.Post{Room: "one", Nonce: "before", Text: "before"}); err != nil {
		t.Fatal(err)
	}
	db, err := open(t, s).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	during := wire.Post{Room: "one", Nonce: "during", Text: "during"}
	refused(t, g, during)
	if _, err := guest.History(t.Context(), s.Address, "one", 0); err != nil {
		t.Errorf("reading: %v", err)
	}
	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	repeated(t, g, during)
	log, err := guest.History(t.Context(), s.Address, "one", 0)
	if err != nil || len(log) != 2 {
		t.Errorf("%d messages, %v; want 2", len(log), err)
	}
}
