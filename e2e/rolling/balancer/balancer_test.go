package balancer

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConnectionsGoToServersThatAreReady(t *testing.T) {
	var ready [2]atomic.Bool
	var servers []string
	for i := range ready {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/readyz" && !ready[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = io.WriteString(w, "{\"type\":\"error\",\"of\":"+string(rune('0'+i))+"}")
		}))
		t.Cleanup(s.Close)
		servers = append(servers, s.Listener.Addr().String())
	}
	b, err := New(servers...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	// told is which servers answer four requests, "x" for none.
	told := func() string {
		var by strings.Builder
		for range 4 {
			res, err := client.Get(b.URL())
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				by.WriteString("x")
				continue
			}
			by.WriteByte(text[len(text)-2])
		}
		return by.String()
	}
	until := func(n int) {
		for end := time.Now().Add(20 * time.Second); b.Ready() != n; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d servers are ready, want %d", b.Ready(), n)
			}
		}
	}
	if got := told(); got != "xxxx" || b.Refused() != 4 {
		t.Errorf("without servers: %s, %d refused", got, b.Refused())
	}
	ready[1].Store(true)
	until(1)
	if got := told(); got != "1111" {
		t.Errorf("with one: %s", got)
	}
	ready[0].Store(true)
	until(2)
	if got := told(); got != "0101" && got != "1010" {
		t.Errorf("with two: %s", got)
	}
	if n := b.ErrorFrames(); n != 8 {
		t.Errorf("%d error frames were seen, want 8", n)
	}
}

func TestAnErrorFrameIsSeenHoweverItIsCut(t *testing.T) {
	whole := `x{"type":"error","code":"a"}{"type":"errors"}{"type":"message"}{"type":"error"`
	for cut := range whole {
		server, other := net.Pipe()
		go func() { // ends when all is read
			_, _ = io.WriteString(other, whole[:cut])
			_, _ = io.WriteString(other, whole[cut:])
			_ = other.Close()
		}()
		var b Balancer
		if got, err := io.ReadAll(&inspector{server: server, balancer: &b}); err != nil || string(got) != whole {
			t.Fatalf("cut at %d: %q, %v", cut, got, err)
		}
		if n := b.ErrorFrames(); n != 2 {
			t.Errorf("cut at %d: %d error frames, want 2", cut, n)
		}
	}
}
