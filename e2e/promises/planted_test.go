package promises_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/server"
)

// plant is a defect: in a file of the server, each old text becomes the new one.
type plant struct {
	name  string
	file  string
	edits []string // old, new, old, new, ...
	test  string   // that must fail
}

var plants = []plant{
	{"acknowledges before it stores", "internal/live/rich.go", []string{
		"	err = r.server.service.Submit(",
		"	_ = c.Send(frame(wire.Ack{Ref: ref, Room: room, Nonce: f.Nonce, Seq: 1 << 40}))\n	err = r.server.service.Submit(",
	}, "TestKilledUnderLoad"},
	{"drops a message on its way out", "internal/live/event.go", []string{
		"	if err := s.layer.GroupSend(", "	if e.Seq%40 == 0 {\n		return\n	}\n	if err := s.layer.GroupSend(",
	}, "TestEverybodyHearsTheSame"},
	{"sends a message twice", "internal/live/event.go", []string{
		"	if err := s.layer.GroupSend(",
		"	_ = s.layer.GroupSend(context.Background(), group, e)\n	if err := s.layer.GroupSend(",
	}, "TestEverybodyHearsTheSame"},
	{"goes on one too late after a replay", "internal/live/join.go", []string{
		"hold.Release(replay.Last)", "hold.Release(replay.Last + 1)",
	}, "TestAStorm"},
	{"follows a room only after it was read", "internal/live/join.go", []string{
		"	}()\n	hold, err := c.GroupJoin(", "	}()\n	early, earlyErr := r.server.service.Resume(ctx, room, at)\n	hold, err := c.GroupJoin(",
		"replay, err := r.server.service.Resume(read, room, at)", "replay, err := early, earlyErr",
	}, "TestAStorm"},
	{"resumes one too late", "internal/chat/read.go", []string{
		"p, err := s.page(ctx, r.Room, Range{Before: -1, After: after,", "p, err := s.page(ctx, r.Room, Range{Before: -1, After: after + 1,",
	}, "TestAStorm"},
	{"takes another text for a repeated nonce", "internal/sqlstore/append_messages.go", []string{
		"if m.Text != d.Text {", "if false {",
	}, "TestANonceStandsForOneTextForEver"},
}

// TestPlantedDefectsAreFound: tests that cannot fail prove nothing. Each plant
// is built into a server of its own, and the test named must fail on it.
func TestPlantedDefectsAreFound(t *testing.T) {
	if os.Getenv("TEAHOUSE_PLANTED") == "" && os.Getenv("TEAHOUSE_REQUIRE") == "" {
		t.Skip("builds seven servers: TEAHOUSE_PLANTED=1 runs it")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plants {
		t.Run(p.name, func(t *testing.T) {
			run := exec.Command(self, "-test.run=^"+p.test+"$", "-test.timeout=3m")
			run.Env = append(os.Environ(), "TEAHOUSE_BINARY="+p.build(t), "TEAHOUSE_KILLS=5")
			out, err := run.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: "+p.test) {
				t.Errorf("%s did not notice: %v\n%s", p.test, err, out)
			}
		})
	}
}

// build is a server with the defect.
func (p plant) build(t *testing.T) string {
	t.Helper()
	root, err := server.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir, path := t.TempDir(), filepath.Join(root, filepath.FromSlash(p.file))
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for i := 0; i < len(p.edits); i += 2 {
		if strings.Count(text, p.edits[i]) != 1 {
			t.Fatalf("%s does not have %q once: find the new place for this defect", p.file, p.edits[i])
		}
		text = strings.Replace(text, p.edits[i], p.edits[i+1], 1)
	}
	changed, overlay, binary := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "teahouse")
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Build(binary, "-overlay="+overlay); err != nil {
		t.Fatal(err)
	}
	return binary
}
