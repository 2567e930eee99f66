package suite

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/bench/peer"
)

// Report writes the outcome as a Markdown page. command is how it was made.
func (o *Outcome) Report(ctx context.Context, w io.Writer, command string) error {
	var b strings.Builder
	o.head(&b, command)
	for _, s := range o.Options.Scenarios {
		o.scenario(&b, s)
	}
	o.peers(ctx, &b)
	b.WriteString(reading)
	_, err := io.WriteString(w, b.String())
	return err
}

func (o *Outcome) head(b *strings.Builder, command string) {
	b.WriteString("# Benchmarks: Teahouse and its peers side by side\n\n")
	b.WriteString("This page is written by `make bench-peers`; do not edit it. Every figure is of one run on one machine: read\n")
	b.WriteString("ratios, not absolutes.\n\n")
	fmt.Fprintf(b, "* Made on %s in %v: %s of %d, rounds outermost, each sample on a server started for it.\n",
		o.Began.UTC().Format("2006-01-02"), o.Took.Round(time.Second), plural(o.Rounds, "round"), o.Options.Rounds)
	fmt.Fprintf(b, "* Command: `%s`\n", command)
	if o.Options.Server >= 0 && o.Options.Load >= 0 {
		fmt.Fprintf(b, "* Servers run on processor %d alone, the generator on processor %d, connected by loopback.\n", o.Options.Server, o.Options.Load)
	} else {
		b.WriteString("* Servers and generator share the processors, so this is not a run to compare by.\n")
	}
	if o.Options.Small {
		b.WriteString("* **A quick look, not a measurement**: a tenth of the connections the headings say.\n")
	}
	for _, fact := range machine(o.Options.Workshop.Dir) {
		fmt.Fprintf(b, "* %s.\n", fact)
	}
	b.WriteString("\nFigures are medians, with the least and the greatest in brackets. A ratio (“×”) is the median of the ratios within\n")
	b.WriteString("each round, to the first row. CPU is the server's user and system time from /proc.\n")
}

func (o *Outcome) scenario(b *strings.Builder, s Scenario) {
	fmt.Fprintf(b, "\n## %s\n\n", s.Title)
	if s.About != "" {
		fmt.Fprintf(b, "%s\n", s.About)
	}
	if rate := o.Rates[s.Name]; rate > 0 && s.RateOf != "" {
		fmt.Fprintf(b, "Here that is %s a second in all.\n", plural(rate, "post"))
	}
	if s.Goal != "" {
		fmt.Fprintf(b, "Goal of Teahouse: %s\n", s.Goal)
	}
	b.WriteString("\n| server |")
	rule := "|---|"
	for _, f := range s.Figures {
		fmt.Fprintf(b, " %s |", f.Name)
		rule += "--:|"
		if f.Ratio {
			b.WriteString(" × |")
			rule += "--:|"
		}
	}
	fmt.Fprintf(b, " good rounds |\n%s--:|\n", rule)
	base := o.Samples(s, s.Entries[0])
	var notes []string
	all, disturbed := 0, 0
	for _, e := range s.Entries {
		samples := o.Samples(s, e)
		for _, sample := range samples {
			all++
			if slices.ContainsFunc(sample.Result.Notes, func(n string) bool { return strings.HasPrefix(n, disturbance) }) {
				disturbed++
			}
		}
		fmt.Fprintf(b, "| %s |", title(e))
		for _, f := range s.Figures {
			fmt.Fprintf(b, " %s |", f.over(samples).text(f.Digits))
			if f.Ratio {
				fmt.Fprintf(b, " %s |", f.ratios(samples, base).ratio())
			}
		}
		good, said := account(title(e), samples)
		fmt.Fprintf(b, " %d of %d |\n", good, len(samples))
		notes = append(notes, said...)
	}
	if disturbed > 0 {
		notes = append(notes, fmt.Sprintf("Other programs disturbed the machine during %d of %d samples.", disturbed, all))
	}
	if len(notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range notes {
		fmt.Fprintf(b, "* %s\n", n)
	}
	if parts := o.Where[s.Name]; parts != nil {
		where(b, parts, cpuPerDelivery.over(o.Samples(s, Entry{Peer: peer.Teahouse})).median)
	}
}

// disturbance begins the generator's note about other programs, whose share is
// another number every time.
const disturbance = "other programs"

// account counts the good samples and says what there is to know of the others.
func account(name string, samples []Sample) (good int, notes []string) {
	counts := make(map[string]int)
	var order []string
	say := func(text string) {
		if counts[text] == 0 {
			order = append(order, text)
		}
		counts[text]++
	}
	for _, s := range samples {
		if s.Good() {
			good++
		} else {
			say("no figures: " + s.Failed)
		}
		if s.Busy {
			say("the generator was busy, so the server could have delivered more per second")
		}
		for _, n := range s.Result.Notes {
			if !strings.HasPrefix(n, disturbance) {
				say(n)
			}
		}
	}
	for _, text := range order {
		notes = append(notes, fmt.Sprintf("%s, %s: %s.", name, plural(counts[text], "round"), text))
	}
	return good, notes
}

func title(e Entry) string {
	p, err := peer.Find(e.Peer)
	if err != nil {
		return e.key()
	}
	return p.Title + e.Also
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(float64(n), 0) + " " + what + "s"
}

// peers says what each peer of the run was.
func (o *Outcome) peers(ctx context.Context, b *strings.Builder) {
	b.WriteString("\n## What was measured\n\n")
	used := make(map[string]bool)
	for _, s := range o.Options.Scenarios {
		for _, e := range s.Entries {
			used[e.Peer] = true
		}
	}
	for _, p := range peer.All() {
		if !used[p.Name] {
			continue
		}
		fmt.Fprintf(b, "* **%s** (`%s`): %s", p.Title, p.Name, p.About)
		if why := o.Missing[p.Name]; why != "" {
			fmt.Fprintf(b, " Not measured: %s.\n", why)
			continue
		}
		fmt.Fprintf(b, " Version: %s.\n", p.Version(ctx, o.Options.Workshop))
	}
}

// reading is how to read the figures.
var reading = fmt.Sprintf(`
## How to read it

* The work is the same for all: a text that is posted reaches every member of the room, the sender too. What else is done
  differs. Teahouse also commits every message to disk with fsync before anyone sees it, numbers it, and can give it to
  those who were away; none of the peers here stores anything.
* Frames differ: Teahouse's carries author, number, time and nonce, about %d bytes more than a text and its quotes; the
  limit writes as many. Centrifuge's carries the channel and the client; those of the others little more than the text.
* The generator is that of `+"`teahouse bench`"+`: one thread, which reads and checks every delivery of every member. A sample
  with anything lost, double, changed or out of order has no figures. Where the generator was busy, a server could have
  delivered more per second; what each delivery cost it stays right.
* Saturation is by posts in flight, not by a rate. Who writes each message by itself (the loop, Socket.IO) costs the same
  with any number in flight; who writes many at once gains from more. Slow peers have fewer in flight, so that a run ends.
* Deliveries per write are counted by the kernel (/proc/PID/io), which does not count the calls of a server that sends in
  another way, such as daphne; Teahouse counts its own, one for each member and run. Fewer
  writes are what makes a chat server fast, so the limit is shown twice: with runs as long as Teahouse's in the same
  round (the same writes, nothing else), and with all that has come in one run.
* Teahouse hands up to 128 writes to the kernel in one call (io_uring), where that is allowed; the limit makes a call for each, so Teahouse can
  cost less. Who wants to see it without: a container's usual seccomp profile forbids io_uring.
* CPU on loopback includes the kernel's work of receiving, which a network card would do elsewhere; it is the same for all
  and makes ratios smaller, not larger.
* A few hundred kilobytes of fixed cost, the garbage collector's moment and the /proc clock of %d ms make single samples of
  short runs uncertain by some percent: look at the brackets.
`, peer.Padding(), procTick.Milliseconds())

// procTick is the unit of processor times in /proc.
const procTick = 10 * time.Millisecond
