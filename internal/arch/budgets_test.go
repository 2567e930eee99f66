package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// The budgets. Who needs more needs another file, another function, a struct
// of options or a smaller interface.
const (
	maxFileLines  = 500
	maxFuncLines  = 80
	maxMethods    = 8
	maxParameters = 5
)

// vague are words that say nothing about the thing they name.
var vague = []string{"Manager", "Helper", "Helpers", "Util", "Utils", "Data", "Info", "Impl"}

// larger are files that may have more lines, and how many. The JavaScript SDK
// is one module, so that a page can use it by copying one file.
var larger = map[string]int{"client/js/teahouse.js": 1000}

// measured are the endings of files that people write by hand.
var measured = []string{".go", ".js", ".mjs", ".css"}

// checkTree checks every file under root that is ours, nested modules too.
func checkTree(root string) (wrong []string, files int, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && skipped(d.Name()):
			return filepath.SkipDir
		case d.IsDir() || !slices.Contains(measured, filepath.Ext(path)):
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		found, err := checkFile(filepath.ToSlash(name), source)
		wrong = append(wrong, found...)
		return err
	})
	return wrong, files, err
}

// skipped tells whether a folder holds nothing that people here wrote.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || slices.Contains([]string{"node_modules", "testdata", "vendor", "bin", "teahouse-data", "out"}, name)
}

// checkFile returns one sentence for each broken budget.
func checkFile(name string, source []byte) ([]string, error) {
	var wrong []string
	if n, most := bytes.Count(source, []byte("\n")), max(maxFileLines, larger[name]); n > most {
		wrong = append(wrong, fmt.Sprintf("%s has %d lines, more than %d: split it by what its parts are about", name, n, most))
	}
	if filepath.Ext(name) != ".go" {
		return wrong, nil
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return wrong, fmt.Errorf("parsing a file of the repository: %w", err)
	}
	if ast.IsGenerated(file) {
		return nil, nil
	}
	if !strings.Contains(name, "/") {
		wrong = append(wrong, name+" is in the root of the repository, which holds no Go: move it to a package")
	}
	c := checker{files: files}
	c.checkName(file.Name, file.Name.Name, "package")
	ast.Inspect(file, c.visit)
	return append(wrong, c.wrong...), nil
}

// checker walks one file.
type checker struct {
	files *token.FileSet
	wrong []string
}

func (c *checker) report(at ast.Node, format string, args ...any) {
	p := c.files.Position(at.Pos())
	c.wrong = append(c.wrong, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...)))
}

func (c *checker) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.FuncDecl:
		c.checkLength(n, "func "+n.Name.Name)
	case *ast.FuncLit:
		c.checkLength(n, "a function literal")
	case *ast.FuncType:
		if p := n.Params.NumFields(); p > maxParameters {
			c.report(n, "a function has %d parameters, more than %d: put them into a struct", p, maxParameters)
		}
	case *ast.TypeSpec:
		if n.Name.IsExported() {
			c.checkName(n, n.Name.Name, "type")
		}
		if i, ok := n.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > maxMethods {
			c.report(n, "interface %s has %d methods, more than %d: cut it by who uses which", n.Name.Name, i.Methods.NumFields(), maxMethods)
		}
	}
	return true
}

// checkLength counts the lines of a function. In a test the function literals
// inside do not count, since each is a subtest, with a budget of its own.
func (c *checker) checkLength(f ast.Node, name string) {
	lines := c.span(f)
	if strings.HasSuffix(c.files.Position(f.Pos()).Filename, "_test.go") {
		ast.Inspect(f, func(n ast.Node) bool {
			inner, ok := n.(*ast.FuncLit)
			if !ok || inner == f {
				return true
			}
			lines -= c.span(inner) - 1
			return false
		})
	}
	if lines > maxFuncLines {
		c.report(f, "%s has %d lines, more than %d: give its steps names of their own", name, lines, maxFuncLines)
	}
}

// span is how many lines a node stands on.
func (c *checker) span(n ast.Node) int {
	return c.files.Position(n.End()).Line - c.files.Position(n.Pos()).Line + 1
}

func (c *checker) checkName(at ast.Node, name, kind string) {
	for _, word := range words(name) {
		for _, v := range vague {
			if strings.EqualFold(word, v) {
				c.report(at, "%s %s has %q in its name: say what it is or does", kind, name, v)
			}
		}
	}
}

// words splits a name in mixed caps or with underscores.
func words(name string) []string {
	var all []string
	start := 0
	for i, r := range name {
		if i > start && (unicode.IsUpper(r) && !unicode.IsUpper(rune(name[i-1])) || r == '_') {
			all = append(all, strings.Trim(name[start:i], "_"))
			start = i
		}
	}
	return append(all, strings.Trim(name[start:], "_"))
}
