package cli

import (
	"io"

	"github.com/teahouse-chat/teahouse/internal/app"
)

// Main runs the command line args, without the name of the program, in the
// environment env, as os.Environ gives it, and returns the exit code.
func Main(args, env []string, stdout, stderr io.Writer) int {
	p := program{env: env, stdout: stdout, stderr: stderr, serve: app.Run}
	return p.runCommand(args)
}
