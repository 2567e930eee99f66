package rolling_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

// readiness is the status and text of /readyz.
func readiness(t *testing.T, s *server.Server) (int, string) {
	t.Helper()
	client := http.Client{Timeout: server.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(s.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func TestAServerThatStopsSaysSoFirstAndGoesOn(t *testing.T) {
	s := server.Start(t, "--drain", "1m", "--limits", "off")
	before, err := guest.Enter(s.Address, wire.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	s.Terminate()
	await(t, "readiness is red", func() bool {
		status, text := readiness(t, s)
		return status == http.StatusServiceUnavailable && strings.HasPrefix(text, "stopping")
	})
	after, err := guest.Enter(s.Address, wire.Hello{})
	if err != nil {
		t.Fatalf("nobody can come any more: %v", err)
	}
	defer after.Close()
	for i, g := range []*guest.Guest{before, after} {
		if _, _, err := g.Join(wire.Join{Room: "lobby"}); err != nil {
			t.Fatal(err)
		}
		if seq, _, err := g.Post(wire.Post{Room: "lobby", Nonce: "n", Text: "hi"}); err != nil || seq != int64(i+1) {
			t.Errorf("post %d: seq %d, %v", i, seq, err)
		}
	}
	s.Terminate()
	if code, err := s.Wait(10 * time.Second); err != nil || code != -1 {
		t.Errorf("after a second signal: exit code %d, %v; want the signal to end it", code, err)
	}
}
