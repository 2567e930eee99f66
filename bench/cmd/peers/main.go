// Command peers measures Teahouse and its peers side by side and writes the
// report. Run it from the folder of its module: go run ./cmd/peers -h.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/teahouse-chat/teahouse/bench/peer"
	"github.com/teahouse-chat/teahouse/bench/suite"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) (err error) {
	set := flag.NewFlagSet("peers", flag.ContinueOnError)
	set.SetOutput(stderr)
	var o suite.Options
	scenarios := set.String("scenarios", "", "scenarios, separated by commas; empty is all")
	peers := set.String("peers", "", "peers, separated by commas; empty is all")
	out := set.String("out", "", "file for the report; empty is standard output")
	list := set.Bool("list", false, "print scenarios and peers, and end")
	set.IntVar(&o.Rounds, "rounds", 5, "interleaved rounds")
	set.DurationVar(&o.For, "for", 0, "measured time of each sample; 0 is the scenario's own, 2 to 8 s")
	set.BoolVar(&o.Small, "small", false, "a tenth of the connections, for a quick look")
	set.DurationVar(&o.Budget, "budget", 30*time.Minute, "begin no round that would probably end later")
	set.IntVar(&o.Server, "server-cpu", 0, "processor of the servers; -1 is any")
	set.IntVar(&o.Load, "load-cpu", 1, "processor of the generator; -1 is any")
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", set.Arg(0))
	}
	if o.Scenarios, err = suite.Choose(split(*scenarios), split(*peers)); err != nil {
		return err
	}
	if *list {
		return printList(stdout, o.Scenarios)
	}
	if o.Rounds < 1 || o.For < 0 {
		return errors.New("-rounds is at least 1, and -for not below 0")
	}
	if o.Load >= runtime.NumCPU() || o.Server >= runtime.NumCPU() {
		return fmt.Errorf("this machine has processors 0 to %d: say -server-cpu and -load-cpu", runtime.NumCPU()-1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends at once
	if o.Workshop, err = peer.NewWorkshop("."); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Workshop.Close()) }()
	o.Progress = func(line string) { fmt.Fprintln(stderr, line) }
	outcome, err := suite.Run(ctx, o)
	if err != nil {
		return err
	}
	return write(ctx, outcome, *out, stdout, strings.Join(append([]string{"go run ./cmd/peers"}, args...), " "))
}

// write writes the report, to a file only when it is whole.
func write(ctx context.Context, outcome *suite.Outcome, file string, stdout io.Writer, command string) error {
	if file == "" {
		return outcome.Report(ctx, stdout, command)
	}
	var b strings.Builder
	if err := outcome.Report(ctx, &b, command); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func printList(w io.Writer, scenarios []suite.Scenario) error {
	var b strings.Builder
	for _, s := range scenarios {
		fmt.Fprintf(&b, "%-12s %s\n", s.Name, s.Title)
		for _, e := range s.Entries {
			fmt.Fprintf(&b, "%14s%s%s\n", "", e.Peer, e.Also)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
