package browser_test

import (
	"log"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/browser/chrome"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

// chromium is the one browser of all tests; nil where none is installed.
var chromium *chrome.Browser

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}, goleak.Cleanup(server.Exit)) }

// suite runs the tests with a browser that is gone before leaks are looked for.
type suite struct{ tests *testing.M }

func (s suite) Run() int {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return s.tests.Run() // each test says that it lacks a browser
	}
	if chromium, err = chrome.Launch(path); err != nil {
		log.Print(err)
		return 1
	}
	code := s.tests.Run()
	if err := chromium.Close(); err != nil {
		log.Printf("closing the browser: %v", err)
	}
	return code
}

// visit is a new person's tab.
func visit(t *testing.T, look chrome.Look) *chrome.Tab {
	t.Helper()
	server.Need(t, "chromium")
	return chromium.Visit(t, look)
}
