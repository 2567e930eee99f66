package parts

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// Patience bounds waits for what happens at once unless there is a bug.
const Patience = 20 * time.Second

// Lacking skips a test that cannot run here and says why, or fails it when
// TEAHOUSE_REQUIRE=1.
func Lacking(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("TEAHOUSE_REQUIRE") == "1" {
		tb.Fatalf("needed, because TEAHOUSE_REQUIRE=1: %s", why)
	}
	tb.Skip(why)
}

// Program is the path of a program that a test cannot do without.
func Program(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lacking(tb, "the program "+name+" is not installed")
	}
	return path
}

// Eventually waits until ok says true, and fails the test when that does not
// come; what names it.
func Eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("%s: not so within %v", what, Patience)
		}
	}
}
