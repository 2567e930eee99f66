package doctor

import (
	"os"
	"runtime/debug"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
)

const (
	step    = 500 * time.Millisecond // that a clock may be set by while it is looked at
	toolate = time.Minute            // that a file may be of the future
)

// clock is what is known of a wall clock.
type clock struct {
	now     time.Time
	stepped time.Duration // how much it was set by while others looked
	kept    bool          // a time service keeps it right, or nobody knows
	built   time.Time     // when this program was made; zero when that is not known
	stored  time.Time     // when the database was written last; zero without one
}

// lookAtClock compares the wall clock with what it cannot be before, and with
// the one that only counts.
func lookAtClock(c config.Config, began time.Time) []Finding {
	now := time.Now()
	seen := clock{now: now, kept: clockKept(), built: buildTime()}
	seen.stepped = now.Round(0).Sub(began.Round(0)) - now.Sub(began)
	if !c.PostgreSQL() {
		if info, err := os.Stat(c.StoreAt()); err == nil {
			seen.stored = info.ModTime()
		}
	}
	return []Finding{judgeClock(seen)}
}

func judgeClock(c clock) Finding {
	f := found("clock", "%s; nothing is put in order by it, people see it beside messages", c.now.UTC().Format("2006-01-02 15:04:05 MST"))
	switch {
	case c.now.Before(c.built):
		f = found("clock", "%s is before this program was made, %s", c.now.UTC().Format(time.DateTime), c.built.UTC().Format(time.DateTime))
		return f.fail("set the clock: logins and certificates are not valid by it")
	case c.stored.After(c.now.Add(toolate)):
		f = found("clock", "the database was written at %s, which is still to come", c.stored.UTC().Format(time.DateTime))
		return f.warn("see that a time service keeps the clock right; until then new messages look older than they are")
	case c.stepped.Abs() > step:
		f = found("clock", "it was set by %v just now", c.stepped.Round(time.Millisecond))
		return f.warn("see what sets the clock: a time service should do that slowly, and alone")
	case !c.kept:
		return f.warn("no time service keeps it right: run systemd-timesyncd or chrony here, or on the host of a container")
	}
	return f
}

// buildTime is when what this program was made of was committed.
func buildTime() time.Time {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range build.Settings {
		if s.Key == "vcs.time" {
			t, _ := time.Parse(time.RFC3339, s.Value) // zero when it is none
			return t
		}
	}
	return time.Time{}
}
