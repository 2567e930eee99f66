package js_test

import (
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/client/js"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheModuleIsEmbedded(t *testing.T) {
	if len(js.Module) == 0 {
		t.Error("teahouse.js is empty")
	}
}

func TestTheModulePassesItsOwnTests(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("TEAHOUSE_REQUIRE") != "" {
			t.Fatal("node is needed: apt-get install nodejs")
		}
		t.Skip("node is not installed")
	}
	out, err := exec.CommandContext(t.Context(), node, "--test", "teahouse.test.mjs", "connection.test.mjs").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
