package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryImportGoesDownward(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Standard,Imports,Deps,Module", "./...")
	list.Dir = "../.."
	var stderr bytes.Buffer
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("reading what go list says: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 50 {
		t.Fatalf("go list says %d packages; the check would prove nothing", len(all))
	}
	for _, w := range checkImports(all) {
		t.Error(w)
	}
}

func TestEveryFileIsWithinTheBudgets(t *testing.T) {
	wrong, files, err := checkTree("../..")
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("only %d files were found; the check would prove nothing", files)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

func TestTheImportRulesCanFail(t *testing.T) {
	type module = struct{ Path string }
	for name, tt := range map[string]struct {
		from, imports string
		want          string // "" is allowed
	}{
		"the domain and the network":      {"internal/chat", "internal/websocket", "of ours it may import only [internal/planted]"},
		"the domain and a library":        {"internal/chat", "golang.org/x/text/language", "besides the standard library"},
		"the domain and normalisation":    {"internal/chat", "golang.org/x/text/unicode/norm", ""},
		"the domain and the standard one": {"internal/chat", "context", ""},
		"one adapter and another":         {"internal/sqlstore", "internal/auth", "move what both need downward"},
		"the toolkit and the chat":        {"channels", "internal/chat", "of ours it may import only [internal/websocket]"},
		"the toolkit and its sockets":     {"channels", "internal/websocket", ""},
		"a stranger and the metrics":      {"internal/live", "github.com/prometheus/client_golang/prometheus", "only internal/metrics may"},
		"the metrics and their client":    {"internal/metrics", "github.com/prometheus/client_golang/prometheus", ""},
		"the top and the bottom":          {"cmd/teahouse", "internal/chat", "of ours it may import only [internal/cli]"},
		"the app and anything":            {"internal/app", "internal/sqlstore", ""},
		"the app and what is above it":    {"internal/app", "internal/cli", "of ours it may import only"},
		"a package without a place":       {"internal/shed", "context", "internal/shed has no place yet"},
	} {
		t.Run(name, func(t *testing.T) {
			imported := tt.imports
			if _, known := mayImport[imported]; known {
				imported = path(imported)
			}
			got := checkImports([]pkg{
				{ImportPath: path(tt.from), Imports: []string{imported}},
				{ImportPath: "context", Standard: true},
			})
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}

	t.Run("a second codec", func(t *testing.T) {
		toolkit := pkg{ImportPath: path("channels"), Deps: []string{"fmt", "a.example/x", "a.example/x/y", path("internal/websocket")}}
		others := []pkg{
			{ImportPath: "fmt", Standard: true},
			{ImportPath: "a.example/x", Module: &module{"a.example/x"}},
			{ImportPath: "a.example/x/y", Module: &module{"a.example/x"}},
			{ImportPath: "b.example/z", Module: &module{"b.example/z"}},
		}
		if got := checkImports(append(others, toolkit)); len(got) > 0 {
			t.Errorf("one codec is refused: %q", got)
		}
		toolkit.Deps = append(toolkit.Deps, "b.example/z")
		if got := checkImports(append(others, toolkit)); len(got) != 1 || !strings.Contains(got[0], "channels depends on [a.example/x b.example/z]") {
			t.Errorf("two codecs give %q", got)
		}
	})
}

func path(name string) string { return module + "/" + name }

func TestTheBudgetsCanFail(t *testing.T) {
	lines := func(n int) string { return strings.Repeat("\n", n) }
	methods := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "M%d()\n", i)
		}
		return b.String()
	}
	for name, tt := range map[string]struct {
		file, source string
		want         string // "" is within the budgets
	}{
		"a file of 500 lines":             {"p/a.go", "package p" + lines(500), ""},
		"a file of 501 lines":             {"p/a.go", "package p" + lines(501), "p/a.go has 501 lines, more than 500"},
		"a test of 501 lines":             {"p/a_test.go", "package p" + lines(501), "has 501 lines"},
		"the SDK of 1000 lines":           {"client/js/teahouse.js", lines(1000), ""},
		"the SDK of 1001 lines":           {"client/js/teahouse.js", lines(1001), "has 1001 lines, more than 1000"},
		"a style sheet of 501 lines":      {"p/a.css", lines(501), "has 501 lines"},
		"a generated file of 501 lines":   {"p/a.go", "// Code generated by x. DO NOT EDIT.\npackage p" + lines(501), ""},
		"a file in the root":              {"a.go", "package p", "which holds no Go"},
		"a function of 80 lines":          {"p/a.go", "package p\nfunc f() {" + lines(79) + "}", ""},
		"a function of 81 lines":          {"p/a.go", "package p\nfunc f() {" + lines(80) + "}", "p/a.go:2: func f has 81 lines, more than 80"},
		"a test with long subtests":       {"p/a_test.go", "package p\nfunc f() {\nr(func() {" + lines(79) + "})\nr(func() {" + lines(79) + "})}", ""},
		"a subtest of 81 lines":           {"p/a_test.go", "package p\nfunc f() {\nr(func() {" + lines(80) + "})}", "p/a_test.go:3: a function literal has 81 lines"},
		"a test with many subtests":       {"p/a_test.go", "package p\nfunc f() {" + strings.Repeat("\nr(func() {\n})", 80) + "}", "func f has 81 lines"},
		"literals in the program":         {"p/a.go", "package p\nfunc f() {\nr(func() {" + lines(79) + "})}", "func f has 81 lines"},
		"five parameters":                 {"p/a.go", "package p\nfunc f(a, b, c, d, e int) {}", ""},
		"six parameters":                  {"p/a.go", "package p\nfunc f(a, b, c int, d, e, g string) {}", "6 parameters, more than 5"},
		"six parameters without a name":   {"p/a.go", "package p\nvar f = func(int, int, int, int, int, int) {}", "6 parameters, more than 5"},
		"a method of six parameters":      {"p/a.go", "package p\ntype i interface{ f(a, b, c, d, e, g int) }", "6 parameters, more than 5"},
		"an interface of eight methods":   {"p/a.go", "package p\ntype i interface {\n" + methods(8) + "}", ""},
		"an interface of nine methods":    {"p/a.go", "package p\ntype i interface {\n" + methods(9) + "}", "interface i has 9 methods, more than 8"},
		"a vague word at the end":         {"p/a.go", "package p\ntype RoomManager int", `"Manager" in its name`},
		"a vague word in the middle":      {"p/a.go", "package p\ntype RoomInfoList int", `"Info" in its name`},
		"a vague package":                 {"p/a.go", "package utils", `package utils has "Utils" in its name`},
		"a word that only begins so":      {"p/a.go", "package p\ntype Database int", ""},
		"a vague word of somebody inside": {"p/a.go", "package p\ntype roomData int", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := checkFile(tt.file, []byte(tt.source))
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
