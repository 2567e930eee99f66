package app

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// written is what a server wrote.
type written struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// serve runs a server until the test ends, and returns its address.
func serve(t *testing.T, c config.Config) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Listen, c.Data = l.Addr().String(), t.TempDir()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var log written
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, c, io.Discard, &log) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		t.Logf("the server's log:\n%s", log.String())
	})
	return "http://" + c.Listen
}

// ask is the status and the text of an answer; 0 for none.
func ask(t *testing.T, method, url, body string) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	all, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(all)
}

// TestReadinessTellsThatPostgreSQLIsGoneThoughNobodyIsThere stops the database of a
// server that has nothing to do, and starts it again.
func TestReadinessTellsThatPostgreSQLIsGoneThoughNobodyIsThere(t *testing.T) {
	postgres := parts.Postgres(t)
	c := config.Default()
	c.Store, c.Drain = postgres.URL("postgres"), 0
	url := serve(t, c)
	is := func(want int) func() bool {
		return func() bool {
			status, _ := ask(t, http.MethodGet, url+"/readyz", "")
			return status == want
		}
	}
	parts.Eventually(t, "ready", is(http.StatusOK))
	postgres.Signal(syscall.SIGQUIT)
	_ = postgres.Wait() // its exit code says how it was ended
	parts.Eventually(t, "not ready without the database", is(http.StatusServiceUnavailable))
	if status, text := ask(t, http.MethodPost, url+"/api/rooms/lobby/messages", `{"nonce":"n","text":"x"}`); status < 500 || !strings.Contains(text, "unavailable") {
		t.Errorf("a post without the database was answered with %d %s", status, text)
	}
	postgres.Restart(syscall.SIGQUIT)
	parts.Eventually(t, "ready again", is(http.StatusOK))
	if status, text := ask(t, http.MethodPost, url+"/api/rooms/lobby/messages", `{"nonce":"n","text":"x"}`); status/100 != 2 {
		t.Errorf("a post was answered with %d %s", status, text)
	}
}

// TestAServerStopsThoughPostgreSQLDoesNotAnswer lets all sessions hang when the
// server has nothing more to store.
func TestAServerStopsThoughPostgreSQLDoesNotAnswer(t *testing.T) {
	postgres := parts.Postgres(t)
	var sessions []int
	var began time.Time
	t.Cleanup(func() { // when the server has stopped
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("it stopped after %v", took)
		}
		for _, pid := range sessions {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
				t.Error(err)
			}
		}
	})
	c := config.Default()
	c.Store, c.Drain = postgres.URL("postgres"), 0
	url := serve(t, c)
	var readers sync.WaitGroup
	parts.Eventually(t, "ready", func() bool {
		status, _ := ask(t, http.MethodGet, url+"/readyz", "")
		return status == http.StatusOK
	})
	for range 50 { // several reading connections
		readers.Go(func() { ask(t, http.MethodGet, url+"/api/rooms/lobby/messages", "") })
	}
	readers.Wait()
	pids := postgres.Must("postgres", "SELECT pid FROM pg_stat_activity WHERE application_name = 'teahouse'")
	for _, pid := range strings.Fields(pids) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, n)
		if err := syscall.Kill(n, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	if len(sessions) < 3 {
		t.Fatalf("%d sessions", len(sessions))
	}
	began = time.Now()
}
