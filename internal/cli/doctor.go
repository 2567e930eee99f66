package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/doctor"
)

// doctorFlags are those that serve does not have. They take no value.
type doctorFlags struct {
	json, deep bool
}

// parse takes the flags out of args, wherever they stand.
func (f *doctorFlags) parse(args []string) (rest []string) {
	for _, a := range args {
		switch a {
		case "--json", "-json":
			f.json = true
		case "--deep", "-deep":
			f.deep = true
		default:
			rest = append(rest, a)
		}
	}
	return rest
}

// runDoctor looks at the place where a server with these settings runs, or would
// run. Failing findings are the answer, not an error: they go to the standard
// output.
func (p *program) runDoctor(args []string) int {
	var flags doctorFlags
	c, err := config.Load(flags.parse(args), p.env)
	switch {
	case errors.Is(err, config.ErrHelp):
		fmt.Fprint(p.stdout, doctorText())
		return exitOK
	case err != nil:
		return p.fail(exitUsage, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	findings := doctor.Examine(ctx, doctor.Options{Config: c, Deep: flags.deep})
	write := doctor.Write
	if flags.json {
		write = doctor.WriteJSON
	}
	if err := write(p.stdout, findings); err != nil {
		return p.fail(exitFailed, fmt.Errorf("write the findings: %w", err))
	}
	if doctor.Worst(findings) == doctor.Fail {
		return exitFailed
	}
	return exitOK
}

func doctorText() string {
	return `Look at the place where a server with these settings runs, or would run: the
limits of the machine, the disk, the clock, the store, the layer, the addresses.
Each line says ok, warn or fail, and what was found; below it, what to do.

It changes nothing, and may be run beside a server. Most of it takes a second; a
check of something that hangs ends after five.

Usage:
  teahouse doctor [--json] [--deep] [flags of serve]

Flags:
  --json
      one JSON object with the worst level and the findings
  --deep
      read all of a SQLite database, to see whether it is damaged; takes as long
      as that takes
` + config.Help() + places + `
Exit codes: 0 when nothing fails, also with warnings, 1 when something does, 2
when a setting is wrong.
`
}
