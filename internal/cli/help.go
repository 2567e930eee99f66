package cli

import (
	"fmt"
	"strings"

	"github.com/teahouse-chat/teahouse/internal/config"
)

// places says where a setting may stand.
const places = `
Every flag is also an environment variable (--log-level is TEAHOUSE_LOG_LEVEL)
and a key of the file named by --config. A flag wins over the environment, that
over the file, that over the default in brackets.
`

func helpText() string {
	var b strings.Builder
	b.WriteString(`Teahouse is a chat server: run it, send a link, and whoever opens it is in the
room. Messages that were acknowledged are never lost.

Usage:
  teahouse [command] [flags]

Commands:
`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-15s%s\n", c.name, c.help)
	}
	b.WriteString("\nFlags of serve:\n")
	b.WriteString(config.Help())
	b.WriteString(places)
	return b.String()
}

func serveText() string {
	return `Run the chat server until it gets SIGINT or SIGTERM; a second signal ends it at
once.

Usage:
  teahouse [serve] [flags]

Flags:
` + config.Help() + places + `
Exit codes: 0 after an orderly stop, 1 when serving failed, 2 when a setting is
wrong.
`
}

func versionText() string {
	return `Print the version, the Go version and the commit it was built from.

Usage:
  teahouse version
`
}
