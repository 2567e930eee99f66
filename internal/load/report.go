package load

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Report writes the result for people: a table, and what to think of it.
func (r Result) Report(w io.Writer) error {
	var b strings.Builder
	parts := r.Parts
	if len(parts) == 0 {
		parts = []Result{r}
	}
	for _, p := range parts {
		p.table(&b)
		b.WriteByte('\n')
	}
	for _, n := range unique(r.Notes) {
		fmt.Fprintf(&b, "Note: %s.\n", n)
	}
	if r.Estimate != nil && r.Valid {
		r.answer(&b)
	}
	if r.Valid {
		b.WriteString("Every delivery was checked: none lost, none double, none out of order.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Why is one sentence that says why the result is not valid, or "".
func (r Result) Why() string {
	if r.Valid {
		return ""
	}
	return "this is not a valid result: " + strings.Join(unique(r.Problems), "; ")
}

func unique(texts []string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, t := range texts {
		if !seen[t] {
			seen[t] = true
			out = append(out, t)
		}
	}
	return out
}

// table writes the figures that were measured.
func (r Result) table(b *strings.Builder) {
	fmt.Fprintf(b, "%s: %s x %s, protocol %s, texts of %d bytes\n",
		r.Scenario, count(r.Rooms, "room"), count(r.Members, "member"), r.Protocol, r.Size)
	// Writing to a Builder does not fail.
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(name string, show bool, format string, args ...any) {
		if show {
			fmt.Fprintf(t, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
		}
	}
	row("deliveries", r.Deliveries > 0, "%s in %.1f s, %s/s", number(float64(r.Deliveries)), r.Seconds, number(r.PerSecond))
	row("latency", r.Latency != nil, "%s", r.Latency)
	row("while some did not read", r.LatencyStuck != nil, "%s", r.LatencyStuck)
	row("p99 with them to without", r.StuckP99 > 0, "%.2f", r.StuckP99)
	row("members that stopped reading", r.Stalls > 0, "%d times, cut %d times", r.Stalls, r.Cut)
	row("posts were late by", r.Late != nil, "%s", r.Late)
	row("server CPU per delivery", r.ServerPerDelivery > 0, "%.2f µs", r.ServerPerDelivery)
	row("connections per second", r.ConnectsPerSecond > 0, "%s", number(r.ConnectsPerSecond))
	row("server CPU per connection", r.ServerPerConnect > 0, "%.0f µs", r.ServerPerConnect)
	row("all had caught up after", r.CatchUpSeconds > 0, "%.2f s, half of them after %.2f s", r.CatchUpSeconds, r.CatchUpHalf)
	row("server memory", r.ServerRSS > 0, "%.1f MB", float64(r.ServerRSS)/(1<<20))
	row("memory per connection", r.RSSPerConnection > 0, "%.1f KB", float64(r.RSSPerConnection)/(1<<10))
	for _, s := range r.RSSSteps {
		row(fmt.Sprintf("  with %d", s.Connections), true, "%.1f KB", float64(s.PerConnection)/(1<<10))
	}
	row("processors in use", true, "server %.2f, generator %.2f of %d", r.ServerCores, r.OwnCores, r.MayUse)
	_ = t.Flush()
}

// String is the spread in one line.
func (s *Spread) String() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, max %s ms", short(s.P50), short(s.P90), short(s.P99), short(s.P999), short(s.Max))
}

func short(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.2f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

// answer says in plain words how many people the machine holds.
func (r Result) answer(b *strings.Builder) {
	e := r.Estimate
	fmt.Fprintf(b, "This machine will hold about %s people at the same time, in rooms of %d where each says something every minute.\n",
		number(float64(round(e.People))), e.RoomSize)
	limit := "the processors"
	switch e.People {
	case e.ByFiles:
		limit = "the number of files the server may open (ulimit -n)"
	case e.ByMemory:
		limit = "memory"
	}
	fmt.Fprintf(b, "What ends it is %s: %s by %s at 70 %%, %s by half of the free memory, %s by open files.\n",
		limit, number(float64(round(e.ByCPU))), count(e.Cores, "processor"), number(float64(round(e.ByMemory))), number(float64(e.ByFiles)))
	if r.Latency != nil {
		fmt.Fprintf(b, "With %s people here, half of all messages arrived within %s ms and 99 of 100 within %s ms of being due.\n",
			number(float64(r.Connections)), short(r.Latency.P50), short(r.Latency.P99))
	}
}

// round keeps two digits: an estimate has no more.
func round(n int) int {
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return n / unit * unit
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// number writes an integer with commas.
func number(f float64) string {
	digits := fmt.Sprintf("%.0f", f)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
