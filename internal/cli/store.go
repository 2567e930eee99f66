package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
)

// storeFlags is the command line of a command about stores: flags that name the
// one of a server with the same settings, and those of the command.
type storeFlags struct {
	set   *flag.FlagSet
	force bool
}

func newStoreFlags(command string) *storeFlags {
	f := &storeFlags{set: flag.NewFlagSet(command, flag.ContinueOnError)}
	f.set.SetOutput(io.Discard)
	for _, name := range []string{"store", "data", "config"} {
		f.set.String(name, "", "as for serve")
	}
	return f
}

// load reads the settings as serve does. own are variables of the environment
// that belong to the command.
func (f *storeFlags) load(env []string, own ...string) (config.Config, error) {
	var args []string
	f.set.Visit(func(set *flag.Flag) {
		switch set.Name {
		case "store", "data", "config":
			args = append(args, "--"+set.Name+"="+set.Value.String())
		}
	})
	return config.Load(args, slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(own, name)
	}))
}

// storeFlagsText is the end of the help of commands about stores.
const storeFlagsText = `  --store STORE, --data FOLDER, --config FILE
      the server's, as for teahouse serve; TEAHOUSE_STORE and the others too
`

// untilSignal is a context that ends with the first signal; a second one ends the
// process at once.
func untilSignal() (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// One sentence each for those who have PostgreSQL, where its own tools are better.
var (
	errBackupPostgres = errors.New("PostgreSQL has backups of its own: use pg_dump --format=custom, " +
		"or continuous archiving to be able to go back to any moment")
	errRestorePostgres = errors.New("PostgreSQL restores its own backups: stop the servers and use pg_restore, into an empty database; " +
		"a new epoch begins by itself. After putting back a copy of the whole disk, run, before the servers are started: " +
		"UPDATE settings SET value = 'restored' WHERE key = 'origin'")
)

// oneFile is the server's SQLite file and the file that the command line names.
func (p *program) oneFile(f *storeFlags, args []string, postgres error) (at, file string, err error) {
	rest, err := parseFlags(f.set, args)
	if err != nil {
		return "", "", err
	}
	c, err := f.load(p.env)
	switch {
	case err != nil:
		return "", "", err
	case c.PostgreSQL():
		return "", "", postgres
	case len(rest) == 0 || rest[0] == "":
		return "", "", fmt.Errorf("%s names no file: say teahouse %s FILE", f.set.Name(), f.set.Name())
	case len(rest) > 1: // they may hold passwords
		return "", "", fmt.Errorf("%s takes one file, but got %d: say teahouse %s FILE", f.set.Name(), len(rest), f.set.Name())
	case rest[0] == "-" || strings.HasPrefix(rest[0], "/dev/std") || strings.HasPrefix(rest[0], "/dev/fd/"):
		return "", "", fmt.Errorf("%s cannot work through a pipe, for the whole file is checked: name a file, and ./- for one that is called so", f.set.Name())
	}
	return c.StoreAt(), rest[0], nil
}

// runBackup saves the database of a server, which may run.
func (p *program) runBackup(args []string) int {
	f := newStoreFlags("backup")
	f.set.BoolVar(&f.force, "force", false, "replace FILE")
	at, file, err := p.oneFile(f, args, errBackupPostgres)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, backupText())
		return exitOK
	case err != nil:
		return p.fail(exitUsage, err)
	}
	ctx, stop := untilSignal()
	defer stop()
	line := newProgressLine(p.stderr)
	a, err := sqlstore.Backup(ctx, at, file, sqlstore.BackupOptions{Replace: f.force, Progress: func(pages, all int64) {
		line.say("copying", fmt.Sprintf("copying: %d of %d pages", pages, all))
	}})
	line.end()
	switch {
	case ctx.Err() != nil && err != nil:
		return p.fail(exitFailed, errors.New("stopped before the backup was whole: there is none"))
	case err != nil:
		return p.fail(exitFailed, err)
	}
	fmt.Fprintf(p.stdout, "saved %s in %s (%s), and checked them\n", amount(a.Messages, a.Rooms, a.People), a.Path, bytesOf(a.Bytes))
	return exitOK
}

// runRestore puts a backup in the place of a server's database.
func (p *program) runRestore(args []string) int {
	f := newStoreFlags("restore")
	f.set.BoolVar(&f.force, "force", false, "put the database that is there aside")
	at, file, err := p.oneFile(f, args, errRestorePostgres)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, restoreText())
		return exitOK
	case err != nil:
		return p.fail(exitUsage, err)
	}
	ctx, stop := untilSignal()
	defer stop()
	r, err := sqlstore.Restore(ctx, file, at, f.force)
	switch {
	case ctx.Err() != nil && err != nil:
		return p.fail(exitFailed, errors.New("stopped before the backup was restored: nothing has changed"))
	case err != nil:
		return p.fail(exitFailed, err)
	}
	fmt.Fprintf(p.stdout, "restored %s to %s (%s)\n", amount(r.Messages, r.Rooms, r.People), r.Path, bytesOf(r.Bytes))
	if r.Aside != "" {
		fmt.Fprintf(p.stdout, "what was there is now %s\n", r.Aside)
	}
	fmt.Fprintln(p.stdout, "a new epoch begins: clients load their rooms afresh")
	return exitOK
}

// amount says how much a store holds.
func amount(messages, rooms, people int64) string {
	return fmt.Sprintf("%s in %s by %s", count(messages, "message", "messages"), count(rooms, "room", "rooms"), count(people, "person", "people"))
}

func count(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// bytesOf is a size for people.
func bytesOf(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)/1024)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func backupText() string {
	return `Save the SQLite database of a server to a file, while the server runs or not. All
that was acknowledged before is in it. It is checked, and has its name only when
it is whole and on the disk. It holds the key that signs identities: keep it as
safe as the server.

FILE is a file in a folder that is there: a pipe cannot be checked.

Usage:
  teahouse backup [flags] FILE

Flags:
  --force
      replace FILE when it exists
` + storeFlagsText + `
Exit codes: 0 when it is saved, 1 when that failed, 2 when a setting is wrong or
the store is PostgreSQL, which has backups of its own.
`
}

func restoreText() string {
	return `Put a backup in the place of a server's SQLite database. The server must be
stopped. The backup is checked first and stays as it is. Clients load their rooms
afresh, for they may have seen what is not in it.

Usage:
  teahouse restore [flags] FILE

Flags:
  --force
      when there is a database, put it aside: it gets a name that ends with
      .before- and the time, in the same folder
` + storeFlagsText + `
Exit codes: 0 when it is restored, 1 when that failed and nothing has changed, 2
when a setting is wrong or the store is PostgreSQL, which restores its own.
`
}
