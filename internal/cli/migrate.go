package cli

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// Variables of migrate-store, for addresses that hold passwords.
const (
	envFrom = "TEAHOUSE_FROM"
	envTo   = "TEAHOUSE_TO"
)

// migrateStores is where migrate-store copies from and to, as sqlstore.Open takes it.
type migrateStores struct{ from, to string }

// parseMigrate reads the command line and the environment of migrate-store.
func (p *program) parseMigrate(args []string) (m migrateStores, err error) {
	f := newStoreFlags("migrate-store")
	from := f.set.String("from", "", "what to copy")
	to := f.set.String("to", "", "where to")
	rest, err := parseFlags(f.set, args)
	if err != nil {
		return m, err
	}
	if len(rest) > 0 {
		return m, errors.New("migrate-store takes no arguments: say --from STORE --to STORE") // they may hold passwords
	}
	c, err := f.load(p.env, envFrom, envTo)
	if err != nil {
		return m, err
	}
	if m.from, err = p.storeAt("--from", *from, envFrom); err != nil {
		return m, err
	}
	if m.from == "" {
		m.from = c.StoreAt()
	}
	if m.to, err = p.storeAt("--to", *to, envTo); err != nil {
		return m, err
	}
	if m.to == "" {
		return m, errors.New("where to copy is not said: say --to postgres://USER@HOST/NAME or --to sqlite:PATH")
	}
	return m, nil
}

// storeAt is the address of a store that a flag, or else a variable, names; "" is
// none.
func (p *program) storeAt(name, value, variable string) (string, error) {
	if value == "" {
		name = variable
		for _, entry := range slices.Backward(p.env) {
			if v, ok := strings.CutPrefix(entry, variable+"="); ok {
				value = v
				break
			}
		}
	}
	if value == "" {
		return "", nil
	}
	c, err := config.Load([]string{"--store=" + value}, nil)
	if err != nil {
		return "", fmt.Errorf("%s %s", name, strings.TrimPrefix(err.Error(), "--store "))
	}
	if err := sqlstore.CheckAddress(c.StoreAt()); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return c.StoreAt(), nil
}

// runMigrate copies one store to another and compares them.
func (p *program) runMigrate(args []string) int {
	m, err := p.parseMigrate(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, migrateText())
		return exitOK
	case err != nil:
		return p.fail(exitUsage, err)
	}
	ctx, stop := untilSignal()
	defer stop()
	line := newProgressLine(p.stderr)
	pace := &copyPace{start: time.Now()}
	done, err := sqlstore.Copy(ctx, m.from, m.to, sqlstore.CopyOptions{
		Log:      slog.New(slog.NewTextHandler(p.stderr, nil)),
		Progress: func(c sqlstore.CopyProgress) { line.say(pace.tell(c, time.Now())) },
	})
	line.end()
	switch {
	case errors.Is(err, sqlstore.ErrAddress): // of the server's store
		return p.fail(exitUsage, err)
	case ctx.Err() != nil && err != nil:
		return p.fail(exitFailed, errors.New("stopped: run the same again to go on"))
	case err != nil:
		return p.fail(exitFailed, err)
	}
	fmt.Fprintf(p.stdout, "copied %s in %.1f s, and found both equal\n", amount(done.Messages, done.Rooms, done.People), time.Since(pace.start).Seconds())
	fmt.Fprintln(p.stdout, "now start the servers with the new --store; the old store begins a new epoch if it is ever served again")
	return exitOK
}

// copyPace says how fast a copy is, and how long it will take.
type copyPace struct {
	start time.Time // of the command

	stage sqlstore.CopyStage
	since time.Time // start of the stage
}

// tellEvery is how often a line is written where lines are not written over.
const tellEvery = 10 * time.Second

// tell is a line about a copy, and the same word as before while no new line is
// needed.
func (c *copyPace) tell(p sqlstore.CopyProgress, now time.Time) (doing, text string) {
	if p.Stage != c.stage {
		c.stage, c.since = p.Stage, now
	}
	took := now.Sub(c.since)
	doing = fmt.Sprint(p.Stage, int(took/tellEvery))
	if p.Stage == sqlstore.CopyingPeople {
		return doing, fmt.Sprintf("%s: %d", p.Stage, p.People)
	}
	text = fmt.Sprintf("%s: %d of %d, %d of %d rooms", p.Stage, p.Messages, p.AllMessages, p.Rooms, p.AllRooms)
	if n := p.Messages - p.Before; n > 0 && took > 0 {
		rate := float64(n) / took.Seconds()
		left := time.Duration(float64(p.AllMessages-p.Messages) / rate * float64(time.Second))
		text += fmt.Sprintf(", %.0f/s, %v left", rate, left.Round(time.Second))
	}
	return doing, text
}

func migrateText() string {
	return `Copy all of one store to another: people, their logins, rooms, messages, the
epoch and the key. Then read both and compare them. Positions, links and guests
stay what they are.

Stop all servers first: nobody can write to the source meanwhile. The target must
be empty. When it was interrupted, in any way, run the same again and it goes on;
until it is done and compared, no server opens the target.

Usage:
  teahouse migrate-store [--from STORE] --to STORE

Flags:
  --from STORE
      what to copy: sqlite:PATH or postgres://USER@HOST/NAME [the server's store]
  --to STORE
      where to, in the same form
` + storeFlagsText + `
An address that holds a password is better put into TEAHOUSE_FROM or TEAHOUSE_TO,
for others on the machine can read flags.

Exit codes: 0 when both are equal, 1 when that failed, 2 when a flag or a setting
is wrong.
`
}
