// Command teahouse is a chat server: run it, send a link, and whoever opens it
// is in the room. See teahouse help, or https://github.com/teahouse-chat/teahouse.
package main

import (
	"os"

	"github.com/teahouse-chat/teahouse/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
