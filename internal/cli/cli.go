// Package cli is the command line of teahouse: it chooses a command, reads the
// configuration, and turns what became of it into an exit code and at most one
// sentence on the standard error.
//
// Exit codes: 0 is success, also after an orderly stop by a signal; 1 is a
// failure at run time; 2 is a mistake in the command line, the environment or
// the configuration file, found before anybody was served: to try again is in vain.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/teahouse-chat/teahouse/internal/config"
)

// Exit codes of Main.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is the command line with all that it touches.
type program struct {
	env    []string // as os.Environ gives it
	stdout io.Writer
	stderr io.Writer
	// serve runs the server until its context ends; nil is an orderly stop.
	serve func(ctx context.Context, c config.Config, out, errw io.Writer) error
}

// command is one word that may follow "teahouse".
type command struct {
	name string
	help string // one line for the list of commands
	run  func(p *program, args []string) int
	// text is the help of the command; it ends with a newline.
	text func() string
}

// commands in the order of the help. It is a function because help lists them,
// which a variable would make a cycle of.
func commands() []command {
	return []command{
		{"serve", "run the chat server (also when no command is given)", (*program).runServe, serveText},
		{"doctor", "look for what is wrong on this machine, and what to do about it", (*program).runDoctor, doctorText},
		{"backup", "save the SQLite database to a file, while the server runs", (*program).runBackup, backupText},
		{"restore", "put a backup in the place of the SQLite database", (*program).runRestore, restoreText},
		{"migrate-store", "copy everything from SQLite to PostgreSQL, or back", (*program).runMigrate, migrateText},
		{"bench", "measure what a server can do on this machine", (*program).runBench, benchText},
		{"version", "print version, Go version and commit", (*program).runVersion, versionText},
		{"help", "print this, or the help of one command", (*program).runHelp, helpText},
	}
}

// runCommand runs what args ask for and returns the exit code.
func (p *program) runCommand(args []string) int {
	if len(args) == 0 || (strings.HasPrefix(args[0], "-") && !isHelp(args[0]) && args[0] != "--version") {
		return p.runServe(args)
	}
	name, rest := args[0], args[1:]
	switch {
	case isHelp(name):
		name = "help"
	case name == "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(p, rest)
		}
	}
	return p.unknownCommand(name)
}

func isHelp(arg string) bool { return arg == "-h" || arg == "-help" || arg == "--help" }

// runServe reads the configuration and runs the server until it fails or a
// signal asks it to stop. A second signal ends the process at once.
func (p *program) runServe(args []string) int {
	c, err := config.Load(args, p.env)
	switch {
	case errors.Is(err, config.ErrHelp):
		fmt.Fprint(p.stdout, serveText())
		return exitOK
	case err != nil:
		return p.fail(exitUsage, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Giving up the signals as soon as the first has come leaves the second
	// to its default: the end of the process.
	context.AfterFunc(ctx, stop)
	err = p.serve(ctx, c, p.stdout, p.stderr)
	var wrong *config.Wrong
	switch {
	case errors.As(err, &wrong):
		return p.fail(exitUsage, err)
	case err != nil:
		return p.fail(exitFailed, err)
	}
	return exitOK
}

func (p *program) runHelp(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(p.stdout, helpText())
		return exitOK
	}
	for _, c := range commands() {
		if c.name == args[0] {
			fmt.Fprint(p.stdout, c.text())
			return exitOK
		}
	}
	return p.unknownCommand(args[0])
}

func (p *program) unknownCommand(name string) int {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	if i := config.Nearest(name, names); i >= 0 {
		return p.fail(exitUsage, fmt.Errorf("unknown command %s: did you mean %s?", config.Quote(name), names[i]))
	}
	return p.fail(exitUsage, fmt.Errorf("unknown command %s: say one of %s", config.Quote(name), strings.Join(names, ", ")))
}

// fail tells the operator why, in one line even when several things went wrong.
func (p *program) fail(code int, err error) int {
	fmt.Fprintf(p.stderr, "teahouse: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	return code
}
