package server_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

func TestAServerStartsStopsAndRestartsOnTheSameData(t *testing.T) {
	s := server.Start(t)
	if !s.Alive() || s.RSS(t) <= 0 || s.Files(t) <= 3 {
		t.Fatalf("alive %v, RSS %d, files %d", s.Alive(), s.RSS(t), s.Files(t))
	}
	s.Stop()
	if s.Alive() {
		t.Fatal("alive after Stop")
	}
	s.Restart()
	s.Kill()
	if code, err := s.Wait(server.Patience); err != nil || code != -1 {
		t.Errorf("exit code %d, %v after SIGKILL", code, err)
	}
	if !strings.Contains(s.Log(), "Teahouse is open at") {
		t.Errorf("no greeting in the log:\n%s", s.Log())
	}
}
