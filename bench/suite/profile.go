package suite

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/teahouse-chat/teahouse/bench/peer"
	"github.com/teahouse-chat/teahouse/internal/load"
)

// Part is a part of a server's work and its share of the processor time.
type Part struct {
	Name  string
	Share float64 // of 1
}

// parts are what the work is made of, with the functions that begin each: a
// sample belongs to the innermost function that begins a part. What the runtime
// does for a part, such as memory, is a part of its own.
var parts = []struct {
	name   string
	begins []string // beginnings of function names
}{
	{"writing to sockets: the system calls", []string{"github.com/teahouse-chat/teahouse/internal/websocket.trySend", "github.com/teahouse-chat/teahouse/internal/websocket.(*ring).submit"}},
	{"reading from sockets: the system call", []string{"github.com/teahouse-chat/teahouse/internal/websocket.tryRead"}},
	{"storing: writes and syncs of the log's file", []string{"modernc.org/sqlite/lib._sqlite3OsWrite", "modernc.org/sqlite/lib._sqlite3OsSync"}},
	{"storing: SQLite without these", []string{"github.com/teahouse-chat/teahouse/internal/sqlstore."}},
	{"encoding and decoding the protocol", []string{"github.com/teahouse-chat/teahouse/wire."}},
	{"frames of the WebSocket protocol", []string{"github.com/teahouse-chat/teahouse/internal/websocket."}},
	{"fan-out: groups, rounds, runs", []string{"github.com/teahouse-chat/teahouse/channels."}},
	{"the chat: rules, queue, answers", []string{"github.com/teahouse-chat/teahouse/internal/"}},
	{"memory: allocating and collecting", []string{"runtime.mallocgc", "runtime.gc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.growslice"}},
	{"waking and parking goroutines", []string{"runtime.mcall", "runtime.schedule", "runtime.findRunnable", "runtime.mstart", "runtime.ready", "runtime.goready", "runtime.notewakeup"}},
}

// elsewhere is the part of what no other is.
const elsewhere = "else"

// partOf names the part of a call stack, innermost function first.
func partOf(stack []string) string {
	for _, function := range stack {
		for _, p := range parts {
			if slices.ContainsFunc(p.begins, func(b string) bool { return strings.HasPrefix(function, b) }) {
				return p.name
			}
		}
	}
	return elsewhere
}

// shares sums a CPU profile up, the largest part first.
func shares(p *profile.Profile) []Part {
	sums := make(map[string]float64)
	all := 0.0
	for _, s := range p.Sample {
		var stack []string
		for _, l := range s.Location {
			for _, line := range l.Line {
				stack = append(stack, line.Function.Name)
			}
		}
		spent := float64(s.Value[len(s.Value)-1])
		sums[partOf(stack)] += spent
		all += spent
	}
	var out []Part
	for name, sum := range sums {
		out = append(out, Part{name, over(sum, all)})
	}
	slices.SortFunc(out, func(a, b Part) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(out, func(a, b Part) int {
		switch {
		case a.Share > b.Share:
			return -1
		case a.Share < b.Share:
			return 1
		}
		return 0
	})
	return out
}

const (
	profiled    = 6 * time.Second // the measured time of a run that is profiled
	profileTime = 4 * time.Second // of it
)

// profile runs Teahouse once more with a profiler, which costs some percent
// itself, so it is no round.
func (o *Outcome) profile(ctx context.Context, s Scenario) ([]Part, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	p, err := peer.Find(peer.Teahouse)
	if err != nil {
		return nil, err
	}
	server, err := p.Start(ctx, o.Options.Workshop, o.Options.Server)
	if err != nil {
		return nil, err
	}
	plan := o.plan(s, Entry{Peer: peer.Teahouse}, p, server)
	plan.For = profiled
	type answer struct {
		parts []Part
		err   error
	}
	got := make(chan answer, 1)
	begun := false
	plan.Progress = func(now load.Progress) {
		if begun || now.Doing != "measuring" {
			return
		}
		begun = true
		go func() {
			parts, err := fetchProfile(ctx, server.Admin)
			got <- answer{parts, err}
		}()
	}
	_, err = load.Run(ctx, plan)
	a := answer{err: err}
	if begun {
		a = <-got
	} else if err == nil {
		a.err = fmt.Errorf("nothing was measured")
	}
	if err := server.Stop(); err != nil {
		return nil, err
	}
	return a.parts, a.err
}

func fetchProfile(ctx context.Context, admin string) ([]Part, error) {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, int(profileTime.Seconds()))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	a, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the profiler answers %s", a.Status)
	}
	p, err := profile.Parse(a.Body)
	if err != nil {
		return nil, err
	}
	return shares(p), nil
}

// where is the table of where Teahouse's time goes in a scenario.
func where(b *strings.Builder, parts []Part, perDelivery float64) {
	if len(parts) == 0 {
		return
	}
	fmt.Fprintf(b, "\nWhere Teahouse's processor time goes, by its own profiler (/debug/pprof) in a run of %v:\n\n", profiled)
	b.WriteString("| work | share | µs per delivery |\n|---|--:|--:|\n")
	for _, p := range parts {
		fmt.Fprintf(b, "| %s | %.0f %% | %.3f |\n", p.Name, 100*p.Share, p.Share*perDelivery)
	}
}
