package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/load"
)

// benchFlags is the command line of bench.
type benchFlags struct {
	plan     load.Plan
	url      string
	protocol string
	pin      string
	own      bool // the server is the caller's, wherever it is
	json     bool

	connections     int
	server, loadCPU int // processors of pin; -1 is not pinned
}

// define puts the flags, with defaults of the scenario in f.plan, into a set.
func (f *benchFlags) define() *flag.FlagSet {
	p := &f.plan
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&p.Scenario, "scenario", p.Scenario, "what to measure")
	set.StringVar(&f.protocol, "protocol", "rich", "rich or plain")
	set.IntVar(&p.Rooms, "rooms", p.Rooms, "rooms at the same time")
	set.IntVar(&p.Members, "members", p.Members, "connections in each room")
	set.IntVar(&f.connections, "connections", 0, "connections in all: sets the rooms, by their members")
	set.IntVar(&p.Posters, "posters", p.Posters, "members of each room that post")
	set.IntVar(&p.Size, "size", p.Size, "bytes of a text")
	set.IntVar(&p.Window, "window", p.Window, "posts in flight per poster (fanout)")
	set.IntVar(&p.Rate, "rate", p.Rate, "posts per second, all rooms together (rate, capacity)")
	set.IntVar(&p.Missed, "missed", p.Missed, "messages everybody misses (reconnect)")
	set.IntVar(&p.Stuck, "stuck", p.Stuck, "members of each room that stop reading (rate, fanout)")
	set.DurationVar(&p.For, "duration", p.For, "measured time")
	set.StringVar(&f.pin, "pin", "", "processors of server and generator")
	set.IntVar(&p.PID, "pid", 0, "process of the server at URL")
	set.BoolVar(&f.own, "i-own-this-server", false, "allow a URL that is not of this machine")
	set.BoolVar(&f.json, "json", false, "print one JSON object")
	return set
}

// parseBench reads the command line of bench. The scenario is looked up first,
// because the other defaults depend on it.
func parseBench(args []string) (benchFlags, error) {
	first := benchFlags{plan: load.Default(load.Capacity)}
	if _, err := parseFlags(first.define(), args); err != nil {
		return first, err
	}
	if err := checkScenario(first.plan.Scenario); err != nil {
		return first, err
	}
	f := benchFlags{plan: load.Default(first.plan.Scenario), server: -1, loadCPU: -1}
	rest, err := parseFlags(f.define(), args)
	switch {
	case err != nil:
		return f, err
	case len(rest) > 1:
		return f, fmt.Errorf("bench takes one URL, but got %d", len(rest))
	case len(rest) == 1:
		f.url = rest[0]
	}
	return f, f.complete()
}

// checkScenario looks for one by its name.
func checkScenario(name string) error {
	var names []string
	for _, s := range load.Scenarios() {
		names = append(names, s[0])
	}
	if slices.Contains(names, name) {
		return nil
	}
	if i := config.Nearest(name, names); i >= 0 {
		return fmt.Errorf("--scenario is %s: did you mean %s?", config.Quote(name), names[i])
	}
	return fmt.Errorf("--scenario is %s: say one of %s", config.Quote(name), strings.Join(names, ", "))
}

// parseFlags reads flags that may stand before and behind other arguments,
// which it returns.
func parseFlags(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, flagError(set, err)
		}
		if set.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, set.Arg(0))
		args = set.Args()[1:]
	}
}

// flagError is what package flag says, as a sentence for the operator.
func flagError(set *flag.FlagSet, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return valueError(set, err)
	}
	var names []string
	set.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if i := config.Nearest(name, names); i >= 0 {
		return fmt.Errorf("unknown flag --%s: did you mean --%s?", config.Name(name), names[i])
	}
	return fmt.Errorf("unknown flag --%s: teahouse help %s lists the known ones", config.Name(name), set.Name())
}

// invalidValue is what package flag says of a value that a flag cannot have.
var invalidValue = regexp.MustCompile(`(?s)^invalid (?:boolean )?value (".*") for (?:flag )?-([a-z-]+): `)

// valueError says what a value should be. Of the value it shows only what cannot
// be a password.
func valueError(set *flag.FlagSet, err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("--%s has no value: write --%s VALUE", name, name)
	}
	found := invalidValue.FindStringSubmatch(err.Error())
	if found == nil {
		return fmt.Errorf("a flag has no name: teahouse help %s lists the known ones", set.Name())
	}
	value, _ := strconv.Unquote(found[1]) // which package flag has quoted
	f := set.Lookup(found[2])
	if f == nil {
		return fmt.Errorf("--%s cannot be %s", found[2], config.Quote(value))
	}
	say := "a whole number"
	switch of, _ := f.Value.(flag.Getter); of.Get().(type) {
	case bool:
		say = "nothing, or =true or =false"
	case time.Duration:
		say = "a time with its unit, such as 10s"
		if _, err := strconv.ParseUint(value, 10, 63); err == nil {
			say = "a time with its unit: " + value + "s"
		}
	}
	return fmt.Errorf("--%s is %s: say %s", f.Name, config.Quote(value), say)
}

// complete fills in what follows from the flags.
func (f *benchFlags) complete() error {
	switch f.protocol {
	case "rich":
		f.plan.Protocol = load.Rich{}
	case "plain":
		f.plan.Protocol = load.Plain{}
	default:
		return fmt.Errorf("--protocol is %s: say rich or plain", config.Quote(f.protocol))
	}
	if f.plan.Protocol.Name() == "plain" && f.plan.Scenario == load.Reconnect {
		return errors.New("the plain protocol has no positions to come back with: say --protocol rich")
	}
	if f.connections > 0 {
		f.plan.Members = min(f.plan.Members, f.connections)
		f.plan.Rooms = max(f.connections/f.plan.Members, 1)
	}
	if f.plan.PID != 0 && f.url == "" {
		return errors.New("--pid belongs to a URL: without one, bench starts its own server")
	}
	f.plan.Shared = true
	if f.pin != "" {
		if err := f.parsePin(); err != nil {
			return err
		}
	}
	files, err := load.Files()
	if err != nil {
		return err
	}
	return f.plan.Check(files)
}

// parsePin reads "SERVER,GENERATOR", two numbers of processors.
func (f *benchFlags) parsePin() error {
	server, generator, found := strings.Cut(f.pin, ",")
	var errs [2]error
	f.server, errs[0] = strconv.Atoi(server)
	f.loadCPU, errs[1] = strconv.Atoi(generator)
	last := runtime.NumCPU() - 1
	if !found || errors.Join(errs[:]...) != nil || min(f.server, f.loadCPU) < 0 || max(f.server, f.loadCPU) > last {
		return fmt.Errorf("--pin is %s: say two processors from 0 to %d, of the server and of the generator, such as 0,1", config.Quote(f.pin), last)
	}
	f.plan.Cores, f.plan.Shared = 1, f.server == f.loadCPU
	return nil
}

// runBench measures, tells what came of it, and fails when that is not valid.
func (p *program) runBench(args []string) int {
	f, err := parseBench(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.stdout, benchText())
		return exitOK
	case err != nil:
		return p.fail(exitUsage, err)
	}
	if f.url != "" {
		if err := f.resolve(); err != nil {
			return p.fail(exitUsage, err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	result, err := p.bench(ctx, f)
	if err != nil {
		return p.fail(exitFailed, advise(err))
	}
	if err := p.tell(f, result); err != nil {
		return p.fail(exitFailed, err)
	}
	if why := result.Why(); why != "" {
		return p.fail(exitFailed, advise(errors.New(why)))
	}
	return exitOK
}

// advise adds what to do when the server kept to its limits.
func advise(err error) error {
	if text := err.Error(); strings.Contains(text, " 429 ") || strings.Contains(text, "rate_limited") {
		return fmt.Errorf("%w; start the server with --limits off to measure it", err)
	}
	return err
}

// bench runs the plan, on a server of its own when no other was named.
func (p *program) bench(ctx context.Context, f benchFlags) (result load.Result, err error) {
	if f.url == "" {
		server, err := startServer(ctx, p.env, f.server)
		if err != nil {
			return result, err
		}
		defer func() { err = errors.Join(err, server.stop()) }()
		f.plan.PID, f.plan.Address = server.pid(), server.address
	}
	if f.loadCPU >= 0 {
		if err := load.Pin([]int{f.loadCPU}); err != nil {
			return result, err
		}
	}
	if f.url != "" && load.Limited(ctx, f.plan) {
		return result, errors.New("the server has its limits on, so that its figures would be theirs: start it with --limits off to measure it")
	}
	line := newProgressLine(p.stderr)
	f.plan.Progress = func(p load.Progress) {
		line.say(p.Doing, fmt.Sprintf("%5.1f s  %s: %d members, %d deliveries", p.Elapsed.Seconds(), p.Doing, p.Joined, p.Deliveries))
	}
	result, err = load.Run(ctx, f.plan)
	line.end()
	if ctx.Err() != nil {
		return result, errors.New("stopped before there was a result")
	}
	return result, err
}

// resolve reads the URL and refuses what is not of this machine.
func (f *benchFlags) resolve() error {
	u, err := url.Parse(f.url)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return fmt.Errorf("%s is not an address to measure: say http://host:port", config.Quote(f.url))
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("%s has no port from 0 to 65535", config.Quote(f.url))
	}
	ips, err := net.LookupIP(u.Hostname())
	if err != nil {
		return fmt.Errorf("find %s: %w", u.Hostname(), err)
	}
	var ip netip.Addr
	for _, found := range ips {
		a, _ := netip.AddrFromSlice(found)
		if a = a.Unmap(); !ip.IsValid() || a.Is4() && !ip.Is4() {
			ip = a
		}
	}
	if !ip.IsLoopback() && !f.own {
		return fmt.Errorf("%s is not this machine: only measure a server that is yours, and say so with --i-own-this-server", u.Hostname())
	}
	f.plan.Address, f.plan.Host = netip.AddrPortFrom(ip, uint16(number)), u.Host
	return nil
}

// tell prints the result.
func (p *program) tell(f benchFlags, r load.Result) error {
	if f.json {
		e := json.NewEncoder(p.stdout)
		e.SetEscapeHTML(false)
		return e.Encode(r)
	}
	return r.Report(p.stdout)
}

// serverPatience bounds the start and the end of bench's own server.
const serverPatience = 15 * time.Second

func benchText() string {
	var b strings.Builder
	b.WriteString(`Measure what a Teahouse can do here. Without a URL it starts a server of its own
with a temporary folder; with one it measures that server, whose limits must be
off (--limits off), on this machine only.

Usage:
  teahouse bench [URL] [flags]

Scenarios (--scenario):
`)
	for _, s := range load.Scenarios() {
		fmt.Fprintf(&b, "  %-10s%s\n", s[0], s[1])
	}
	b.WriteString(`
Flags:
  --protocol NAME        rich (teahouse.v1) or plain [rich]
  --rooms N, --members N rooms, and connections in each
  --connections N        connections in all, instead of --rooms
  --posters N            members of each room that post [1]
  --size BYTES           of a text [64]
  --window N             posts in flight per poster, for fanout [64]
  --rate N               posts per second in all, for rate and capacity
  --missed N             messages everybody misses, for reconnect [20]
  --stuck N              members of each room that stop reading: by turns (rate), for good (fanout) [0]
  --duration TIME        measured time, such as 30s [10s]
  --pin SERVER,GENERATOR one processor for each, so that neither disturbs the other
  --pid PID              process of the server at URL, for its CPU and memory
  --json                 one JSON object
  --i-own-this-server    allow a URL that is not of this machine

Exit codes: 0 with a valid result; 1 when something was lost, double or out of
order, when the generator was the bottleneck, or when the run failed; 2 when a
flag is wrong. docs/benchmarking.md says how to read the figures.
`)
	return b.String()
}
