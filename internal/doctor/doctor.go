// Package doctor looks at the place where a server runs, or would run: the
// limits of the machine, the disk, the clock, the store, the layer, the
// addresses. It says what is wrong and what to do about it.
//
// Its noun is the Finding: one fact with a judgement, and an advice unless all
// is well. A check is a function that gives findings about one part.
//
// What it promises: it changes nothing that anybody else sees. It makes no
// database and upgrades none; a file that it writes to measure the disk has no
// name; an event that it sends crosses the layer in a group of its own. So it
// may be run beside a server, and before the first start. It shows no password.
// Every check ends within seconds, whatever hangs, except when it was asked to
// read a whole database. It sees limits as a server would that is started in
// the same way: a service may have others.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
)

// Level is a judgement. The greater, the worse.
type Level int

// Levels: all is well; it works, though not as well or as safely as it could; a
// server would not start here, or would break what it promises.
const (
	OK Level = iota
	Warn
	Fail
)

// String is the word for people and machines: ok, warn or fail.
func (l Level) String() string { return [...]string{"ok", "warn", "fail"}[l] }

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is one fact. Its texts are single lines without a full stop.
type Finding struct {
	Level Level  `json:"level"`
	Name  string `json:"name"` // of what was looked at, the same whatever was found
	Found string `json:"found"`
	Do    string `json:"do,omitempty"` // "" when Level is OK
}

// found is a finding that all is well.
func found(name, format string, args ...any) Finding {
	return Finding{Name: name, Found: line(fmt.Sprintf(format, args...))}
}

// warn and fail make it worse, unless it is already.
func (f Finding) warn(do string, args ...any) Finding { return f.worse(Warn, do, args) }
func (f Finding) fail(do string, args ...any) Finding { return f.worse(Fail, do, args) }

func (f Finding) worse(level Level, do string, args []any) Finding {
	if level > f.Level {
		f.Level, f.Do = level, line(fmt.Sprintf(do, args...))
	}
	return f
}

// line makes a text one line without a full stop: messages of other programs
// may be several, and sentences.
func line(text string) string {
	return strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
}

// Worst is the level of the worst finding.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		worst = max(worst, f.Level)
	}
	return worst
}

// Options are what to look at. All but Config may be empty.
type Options struct {
	Config config.Config
	Deep   bool // read all of a SQLite database, however long that takes
}

const (
	within     = 5 * time.Second // a check ends
	withinDeep = time.Hour
	grace      = time.Second // for a check to notice; its findings are lost if it does not
)

// check looks at one part. It ends soon after its context.
type check struct {
	name   string
	within time.Duration
	look   func(ctx context.Context) []Finding
}

// Examine looks at everything, at once, and gives the findings in a fixed order.
func Examine(ctx context.Context, o Options) []Finding {
	began := time.Now()
	findings := run(ctx, checks(o))
	return append(findings, lookAtClock(o.Config, began)...)
}

// checks are all but the clock, which is compared with itself at the end.
func checks(o Options) []check {
	c := o.Config
	deep := within
	if o.Deep {
		deep = withinDeep
	}
	all := []check{
		{"machine", within, func(context.Context) []Finding { return lookAtMachine(c) }},
		{"store", deep, func(ctx context.Context) []Finding { return lookAtStore(ctx, c, o.Deep) }},
		{"layer", within, func(ctx context.Context) []Finding { return lookAtLayer(ctx, c) }},
		{"address", within, func(ctx context.Context) []Finding { return lookAtAddresses(ctx, c) }},
		{"settings", within, func(context.Context) []Finding { return lookAtSettings(c) }},
	}
	if !c.PostgreSQL() {
		disk := check{"disk", within, func(ctx context.Context) []Finding { return lookAtDisk(ctx, c.StoreAt()) }}
		all = append(all[:1], append([]check{disk}, all[1:]...)...)
	}
	return all
}

// run makes all checks at once. One that does not end in time, as on a disk that
// hangs, is left behind and a finding itself; its goroutine ends with what it
// waits for, or with the process.
func run(ctx context.Context, checks []check) []Finding {
	results := make([][]Finding, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { results[i] = c.run(ctx) })
	}
	all.Wait()
	var findings []Finding
	for _, r := range results {
		findings = append(findings, r...)
	}
	return findings
}

func (c check) run(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, c.within-grace)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- c.look(ctx) }()
	late := time.NewTimer(c.within)
	defer late.Stop()
	select {
	case findings := <-done:
		return findings
	case <-late.C:
		return []Finding{found(c.name, "no answer within %v", c.within).fail("find out what hangs: a disk, a network, a name server")}
	}
}
