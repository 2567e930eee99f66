package server

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built is the binary of this test process; made once, see Binary.
var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(binaryVariable); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "teahouse-e2e-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the binary: %w", err)
	}
	var args []string
	if os.Getenv("TEAHOUSE_RACE") == "1" {
		args = append(args, "-race")
	}
	path := filepath.Join(dir, "teahouse")
	if err := Build(path, args...); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return path, nil
})

// binaryVariable names a binary to test instead of one that is built.
const binaryVariable = "TEAHOUSE_BINARY"

// Binary is the path of the server's binary, built as a user builds it. With
// TEAHOUSE_RACE=1 it has the race detector. TEAHOUSE_BINARY names another one.
func Binary(tb testing.TB) string {
	tb.Helper()
	path, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	return path
}

// Build runs go build with the given flags on the repository's cmd/teahouse.
func Build(path string, flags ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	args := append([]string{"build", "-C", root, "-o", path}, flags...)
	out, err := exec.Command("go", append(args, "./cmd/teahouse")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build the server: %w\n%s", err, out)
	}
	return nil
}

// Root is the folder of the repository.
func Root() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/teahouse-chat/teahouse").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// Exit removes the binary and ends the test process; for goleak.Cleanup.
func Exit(code int) {
	if path, err := built(); err == nil && os.Getenv(binaryVariable) == "" {
		_ = os.RemoveAll(filepath.Dir(path)) // a folder that is left behind is no reason to fail
	}
	os.Exit(code)
}

// Need is the path of a program that a test cannot do without. Without it the
// test is skipped, or fails when TEAHOUSE_REQUIRE=1.
func Need(tb testing.TB, program string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		Lacking(tb, "the program "+program+" is not installed")
	}
	return path
}

// Lacking skips a test that cannot run here and says why, or fails it when
// TEAHOUSE_REQUIRE=1.
func Lacking(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("TEAHOUSE_REQUIRE") == "1" {
		tb.Fatalf("needed, because TEAHOUSE_REQUIRE=1: %s", why)
	}
	tb.Skip(why)
}
