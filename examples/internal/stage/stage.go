// Package stage runs the examples as their readers do, for tests: each is built,
// started at a free address, and ended with its test.
package stage

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

// Build builds an example by its folder's name, and returns the program's path.
func Build(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("go", "build", "-o", path, "github.com/teahouse-chat/teahouse/examples/"+name).CombinedOutput()
	if err != nil {
		t.Fatalf("build the example %s: %v\n%s", name, err, out)
	}
	return path
}

// Serve starts a program with a -listen flag and more arguments, and waits until
// it answers at the address returned.
func Serve(t testing.TB, program string, args ...string) (address string, p *parts.Process) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	p = Start(t, program, append([]string{"-listen", address}, args...)...)
	parts.Eventually(t, program+" answers", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return address, p
}

// Start starts a program.
func Start(t testing.TB, program string, args ...string) *parts.Process {
	t.Helper()
	p := parts.NewProcess(t, append([]string{program}, args...), nil)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Post posts a form, as "n=1", and returns the status and the answer.
func Post(t testing.TB, url, form string) (status int, answer string) {
	t.Helper()
	res, err := client.Post(url, "application/x-www-form-urlencoded", strings.NewReader(form))
	return read(t, res, err)
}

// Get is a GET request; it follows redirects.
func Get(t testing.TB, url string) (status int, answer string) {
	t.Helper()
	res, err := client.Get(url)
	return read(t, res, err)
}

// client keeps no connections: nothing is left of it at the end of a test.
var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: parts.Patience}

func read(t testing.TB, res *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
