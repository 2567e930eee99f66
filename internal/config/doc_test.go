package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

//go:generate go test . -run TestTheDocumentIsCurrent -update

var update = flag.Bool("update", false, "write docs/configuration.md")

const document = "../../docs/configuration.md"

func TestTheDocumentIsCurrent(t *testing.T) {
	want := markdown()
	if *update {
		if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/configuration.md is not what the table says: run go generate ./internal/config")
	}
}

func TestTheHelpNamesEverySetting(t *testing.T) {
	help := Help()
	for _, s := range settings {
		if !strings.Contains(help, "--"+s.name+" "+s.arg) {
			t.Errorf("--%s is missing in the help:\n%s", s.name, help)
		}
	}
}

// markdown is docs/configuration.md.
func markdown() string {
	var b strings.Builder
	b.WriteString(`<!-- Written by go generate ./internal/config from its table of settings. Do not edit. -->

# Configuration

Every setting has one name and four places that can give it a value. The first that does wins:

1. the flag: ` + "`--log-level debug`" + `
2. the environment: ` + "`TEAHOUSE_LOG_LEVEL=debug`" + `
3. the file named by ` + "`--config`" + ` or ` + "`TEAHOUSE_CONFIG`" + `, in [TOML](https://toml.io): ` + "`log-level = \"debug\"`" + `
4. the default

A name that is not in this table, wherever it stands, ends the start with exit code 2 and the nearest known name; so
does a value that is not valid. The variables that Kubernetes makes for a service named teahouse
(` + "`TEAHOUSE_SERVICE_…`, `TEAHOUSE_PORT…`" + `) are left alone.

| setting | default | what it is |
|---|---|---|
`)
	for _, s := range settings {
		def := "empty"
		if s.def != "" {
			def = "`" + s.def + "`"
		}
		fmt.Fprintf(&b, "| [`--%s`](#%s) | %s | %s |\n", s.name, s.name, def, s.help)
	}
	for _, s := range settings {
		fmt.Fprintf(&b, "\n## %s\n\n    --%s %s\n    %s=%s\n", s.name, s.name, s.arg, s.env(), s.arg)
		if s.inFile() {
			fmt.Fprintf(&b, "    %s = %s\n", s.name, fileForm(s))
		}
		fmt.Fprintf(&b, "\n%s.", strings.ToUpper(s.help[:1])+s.help[1:])
		if s.def != "" {
			fmt.Fprintf(&b, " Default: `%s`.", s.def)
		}
		if s.more != "" {
			b.WriteString(" " + s.more)
		}
		b.WriteByte('\n')
	}
	b.WriteString(`
## A file

    listen = ":8080"
    data = "/var/lib/teahouse"
    base-url = "https://chat.example.org"
    origin = ["https://www.example.org"]
    log-format = "json"
`)
	return b.String()
}

func fileForm(s setting) string {
	if s.list {
		return `["` + s.arg + `", …]`
	}
	return `"` + s.arg + `"`
}
