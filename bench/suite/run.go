package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/bench/peer"
	"github.com/teahouse-chat/teahouse/internal/load"
)

// Options is what to run and how.
type Options struct {
	Scenarios []Scenario
	Rounds    int
	For       time.Duration // measured time of every sample; 0 is the scenario's
	Small     bool          // a tenth of the connections
	Budget    time.Duration // no round is begun that would probably end after it; 0 is none
	Server    int           // processor of the servers; -1 is any
	Load      int           // processor of the generator; -1 is any, and more than one
	Workshop  *peer.Workshop
	Progress  func(line string)
}

// Sample is what one entry did in one round.
type Sample struct {
	Ran    bool // false when it was not tried
	Result load.Result
	Failed string // why there are no figures; empty is none
	Busy   bool   // the generator had no time left, so the server could have delivered more per second

	PerWrite float64 // deliveries for each write system call of the server; 0 is not known
}

// Good says whether the sample has figures.
func (s Sample) Good() bool { return s.Ran && s.Failed == "" }

// Outcome is a whole run.
type Outcome struct {
	Options Options
	Began   time.Time
	Took    time.Duration
	Rounds  int               // that were begun
	Missing map[string]string // why a peer could not be built
	Rates   map[string]int    // posts per second of the scenarios at a rate
	Where   map[string][]Part // of Teahouse's time, in the scenarios that are profiled
	samples map[string][]Sample
}

// Samples are those of an entry, by round.
func (o *Outcome) Samples(s Scenario, e Entry) []Sample { return o.samples[s.Name+"/"+e.key()] }

// longest bounds one sample, with connecting and waiting for the last delivery.
const longest = 90 * time.Second

// Run builds the peers and carries out all rounds. Peers that cannot be built or
// fail are part of the outcome; an error is a run that could not go on.
func Run(ctx context.Context, o Options) (*Outcome, error) {
	out := &Outcome{
		Options: o, Began: time.Now(), Missing: make(map[string]string), Rates: make(map[string]int),
		Where:   make(map[string][]Part),
		samples: make(map[string][]Sample),
	}
	if o.Load >= 0 {
		if err := load.Pin([]int{o.Load}); err != nil {
			return nil, err
		}
	}
	if err := out.build(ctx); err != nil {
		return nil, err
	}
	for round := range o.Rounds {
		spent := time.Since(out.Began)
		if o.Budget > 0 && round > 0 && spent+spent/time.Duration(round) > o.Budget {
			o.Progress(fmt.Sprintf("no time for another round: %v of %v are spent", spent.Round(time.Second), o.Budget))
			break
		}
		out.Rounds++
		for _, s := range o.Scenarios {
			for _, e := range s.Entries {
				if err := out.measure(ctx, round, s, e); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, s := range o.Scenarios {
		if !s.Profile || out.Missing[peer.Teahouse] != "" || !slices.Contains(s.Entries, Entry{Peer: peer.Teahouse}) {
			continue
		}
		parts, err := out.profile(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("profile Teahouse: %w", err)
		}
		out.Where[s.Name] = parts
	}
	out.Took = time.Since(out.Began)
	return out, nil
}

// build builds every peer that is needed.
func (o *Outcome) build(ctx context.Context) error {
	done := make(map[string]bool)
	for _, s := range o.Options.Scenarios {
		for _, e := range s.Entries {
			if done[e.Peer] {
				continue
			}
			done[e.Peer] = true
			p, err := peer.Find(e.Peer)
			if err != nil {
				return err
			}
			if err := p.Build(ctx, o.Options.Workshop); err != nil {
				if ctx.Err() != nil {
					return err
				}
				o.Missing[e.Peer] = oneLine(err.Error())
				o.Options.Progress(oneLine(err.Error()))
			}
		}
	}
	return nil
}

// measure makes one sample.
func (o *Outcome) measure(ctx context.Context, round int, s Scenario, e Entry) error {
	key := s.Name + "/" + e.key()
	sample := Sample{}
	switch before := o.samples[key]; {
	case o.Missing[e.Peer] != "":
		sample.Failed = o.Missing[e.Peer]
	case hopeless(before):
		sample.Failed = "not tried again after two failures"
	default:
		sample = o.sample(ctx, round, s, e)
	}
	if ctx.Err() != nil {
		return errors.New("stopped before there was a result")
	}
	o.samples[key] = append(o.samples[key], sample)
	o.noteRate(s, e, sample)
	o.Options.Progress(fmt.Sprintf("%4.0f s  round %d  %-12s %s", time.Since(o.Began).Seconds(), round+1, s.Name, describe(e, s, sample)))
	return nil
}

// hopeless says that the first two samples failed.
func hopeless(before []Sample) bool {
	return len(before) >= 2 && !before[0].Good() && !before[1].Good()
}

// describe is a sample in one line.
func describe(e Entry, s Scenario, sample Sample) string {
	text := fmt.Sprintf("%-28s", e.key())
	if !sample.Good() {
		return text + sample.Failed
	}
	for _, f := range s.Figures {
		text += fmt.Sprintf(" %s %.*f;", f.Name, f.Digits, f.Of(sample))
	}
	text += fmt.Sprintf(" generator %.2f", sample.Result.OwnCores)
	for _, n := range sample.Result.Notes {
		text += "; " + n
	}
	return text
}

// sample runs an entry once, on a server of its own.
func (o *Outcome) sample(ctx context.Context, round int, s Scenario, e Entry) Sample {
	fail := func(err error) Sample { return Sample{Ran: true, Failed: oneLine(err.Error())} }
	p, err := peer.Find(e.Peer)
	if err != nil {
		return fail(err)
	}
	if e.Matched {
		p = peer.Limit(o.run(round, s))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("it did not finish within %v", longest))
	defer cancel()
	server, err := p.Start(ctx, o.Options.Workshop, o.Options.Server)
	if err != nil {
		return fail(err)
	}
	plan := o.plan(s, e, p, server)
	count := writeCount{server: server}
	plan.Progress = count.begin
	result, err := load.Run(ctx, plan)
	perWrite := count.end(result)
	switch {
	case server.Gone():
		err = errors.Join(err, fmt.Errorf("the server ended: %s", server.Words()))
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if err = errors.Join(err, server.Stop()); err != nil {
		return fail(err)
	}
	sample := judge(result)
	sample.PerWrite = perWrite
	return sample
}

// run is how many bytes Teahouse wrote at once in this round of a scenario.
func (o *Outcome) run(round int, s Scenario) int {
	samples := o.Samples(s, Entry{Peer: peer.Teahouse})
	if round >= len(samples) || samples[round].PerWrite == 0 {
		return peer.RunBytes
	}
	return int(samples[round].PerWrite*float64(peer.FrameBytes(s.Plan.Size))) + 1
}

// plan fits the scenario's plan to an entry.
func (o *Outcome) plan(s Scenario, e Entry, p peer.Peer, server *peer.Server) load.Plan {
	if o.Options.Small {
		s = s.shrink()
		e.Stuck = min(e.Stuck, 1)
	}
	plan := s.Plan
	plan.Protocol, plan.Address, plan.PID, plan.Stuck = p.Protocol, server.Address, server.PID, e.Stuck
	if o.Options.For > 0 {
		plan.For = o.Options.For
	}
	if p.Slow > 0 {
		plan.Window = min(plan.Window, max(p.Slow*1000/max(plan.Members, 1000), 1))
	}
	if rate := o.Rates[s.Name]; rate > 0 {
		plan.Rate = rate
	}
	plan.Shared = o.Options.Server < 0 || o.Options.Load < 0 || o.Options.Server == o.Options.Load
	if o.Options.Load >= 0 {
		plan.Cores = 1
	}
	return plan
}

// share is the part of saturation that scenarios at a rate run at.
const share = 0.1

// noteRate derives the rate of scenarios from the first sample of the plain loop.
func (o *Outcome) noteRate(s Scenario, e Entry, sample Sample) {
	for _, other := range o.Options.Scenarios {
		switch {
		case other.Plan.Scenario != load.Rate || o.Rates[other.Name] > 0:
		case other.RateOf == s.Name && e.Peer == peer.Loop && sample.Good():
			posts := sample.Result.PerSecond / float64(sample.Result.Members)
			o.Rates[other.Name] = max(int(posts*share), 1)
		case other.Name == s.Name:
			o.Rates[other.Name] = other.Plan.Rate // nothing was measured that it could come from
		}
	}
}

// judge makes a sample of a result. That the generator was busy spoils how many
// were delivered per second, not what each cost, so it is only noted.
func judge(r load.Result) Sample {
	s := Sample{Ran: true, Result: r}
	var faults []string
	for _, problem := range r.Problems {
		if strings.HasPrefix(problem, "the generator itself was the bottleneck") {
			s.Busy = true
			continue
		}
		faults = append(faults, problem)
	}
	s.Failed = oneLine(strings.Join(faults, "; "))
	return s
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
