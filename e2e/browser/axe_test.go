package browser_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// axe is the source of axe-core, installed by npm from the lock file when it is
// not there.
func axe(t *testing.T) string {
	t.Helper()
	const source = "../node_modules/axe-core/axe.min.js"
	if _, err := os.Stat(source); err != nil {
		install := exec.CommandContext(t.Context(), server.Need(t, "npm"), "ci", "--no-audit", "--no-fund")
		install.Dir = ".."
		if out, err := install.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	text, err := os.ReadFile(filepath.FromSlash(source))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// finding is a rule that axe-core says is broken.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// accessible fails the test for every serious or critical finding of axe-core.
func accessible(t *testing.T, tab *chrome.Tab, source, where string) {
	t.Helper()
	tab.Do(`(() => { ` + source + `; window.axe = axe ?? window.axe; })()`)
	// What is fading in has not its colours yet.
	tab.Do(`Promise.all(document.getAnimations().map((a) => a.effect.getTiming().iterations === Infinity ? 0 : a.finished.catch(() => 0)))`)
	for _, f := range chrome.Eval[[]finding](tab, `window.axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)`) {
		line := fmt.Sprintf("%s: %s (%s): %s", where, f.ID, f.Impact, f.Help)
		if f.Impact != "serious" && f.Impact != "critical" {
			t.Log(line)
			continue
		}
		t.Error(line)
		for _, n := range f.Nodes {
			t.Logf("    %s\n    %s", n.HTML, n.FailureSummary)
		}
	}
}

func TestI89AxeFindsNothingSerious(t *testing.T) {
	t.Parallel()
	source := axe(t)
	s := server.Start(t, "--limits", "off")
	g := stranger(t, s)
	g.says("axe", "good morning, see https://example.com/tea")
	g.says("axe", "🍵")
	screens := []struct {
		name, path, prepare string
	}{
		{"front door", "/", ``},
		{"front door with a problem", "/chat/?room=a%2Fb", ``},
		{"not found", "/nothing", ``},
		{"empty room", "/chat/axe-empty/", ``},
		{"room", "/chat/axe/", ``},
		{"room with settings", "/chat/axe/", `document.querySelector('#settings').open = true`},
		{"room with the name open", "/chat/axe/", `document.querySelector('#me').open = true`},
		{"room with people", "/chat/axe/", `document.querySelector('#people').hidden && document.querySelector('#people-button').click()`},
		{"invitation", "/chat/axe/", `document.querySelector('#invite-button').click()`},
		{"shortcuts", "/chat/axe/", `document.querySelector('#shortcuts-button').click()`},
	}
	for _, dark := range []bool{false, true} {
		for _, lang := range []string{"en-GB,en", "zh-CN,zh"} {
			a := visit(t, chrome.Look{Dark: dark, Lang: lang})
			for _, screen := range screens {
				a.Open(s.URL + screen.path)
				if chrome.Eval[bool](a, `Boolean(document.querySelector('#chat-log'))`) {
					connected(a)
				}
				if screen.prepare != "" {
					a.Do(screen.prepare)
				}
				accessible(t, a, source, fmt.Sprintf("%s, dark %v, %s", screen.name, dark, lang))
			}
		}
	}
}
