package guide_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guide is the text of docs/channels.md.
func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/channels.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks are the pieces of code in one language, without their indentation.
func blocks(text, language string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// flat is code without what gofmt decides: white space at both ends of its lines.
func flat(code string) string {
	var b strings.Builder
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return "\n" + b.String()
}

func TestTheGuideIsMadeOfCodeThatRuns(t *testing.T) {
	var code strings.Builder
	for _, root := range []string{"..", "../../channels"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			name := filepath.Base(path)
			if err != nil || filepath.Ext(name) != ".go" || root != ".." && !strings.HasPrefix(name, "example_") {
				return err
			}
			text, err := os.ReadFile(path)
			code.WriteString(flat(string(text)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	pieces := blocks(guide(t), "go")
	if len(pieces) < 15 {
		t.Fatalf("only %d pieces of Go were found; the check would prove nothing", len(pieces))
	}
	for _, piece := range pieces {
		if !strings.Contains(code.String(), flat(piece)) {
			t.Errorf("not in the examples, line for line:\n%s", piece)
		}
	}
}

func TestThePythonOfTheGuideIsPython(t *testing.T) {
	const check = `
import ast, json, sys
for line in sys.stdin:
    q = json.loads(line)
    try:
        compile(q["args"], "guide", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        print(json.dumps({"id": q["id"], "result": True}))
    except SyntaxError as e:
        print(json.dumps({"id": q["id"], "error": str(e)}))
`
	python := parts.Python(t, check)
	for _, piece := range blocks(guide(t), "python") {
		if err := python.Call("check", piece, nil); err != nil {
			t.Errorf("%v:\n%s", err, piece)
		}
	}
}

func TestTheLinksOfTheGuideLeadSomewhere(t *testing.T) {
	text := guide(t)
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		path, anchor, _ := strings.Cut(m[1], "#")
		switch {
		case strings.Contains(path, "://"):
		case path != "":
			if _, err := os.Stat(filepath.Join("../../docs", path)); err != nil {
				t.Error(err)
			}
		case !slices.Contains(anchors(text), anchor):
			t.Errorf("no heading is #%s", anchor)
		}
	}
}

// anchors are what headings are linked by: small letters, hyphens for spaces, and
// no punctuation.
func anchors(text string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^##+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}
