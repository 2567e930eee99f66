package load

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAResultIsValidOnlyWhenNothingSpeaksAgainstIt(t *testing.T) {
	for name, c := range map[string]struct {
		result Result
		want   string // "" is valid
	}{
		"nothing wrong":        {Result{OwnCores: 1.7, MayUse: 2}, ""},
		"a busy generator":     {Result{OwnCores: 0.95, MayUse: 1}, "the generator itself was the bottleneck: it used 95 % of its 1 processors"},
		"one busy thread":      {Result{OwnCores: 1, OwnBusiest: 0.96, MayUse: 8}, "the generator itself was the bottleneck: one of its threads used 96 % of a processor"},
		"late posts":           {Result{MayUse: 1, Latency: &Spread{P99: 5}, Late: &Spread{P99: 2}}, "sent posts late: by 2.0 ms"},
		"a little late":        {Result{MayUse: 1, Latency: &Spread{P99: 1}, Late: &Spread{P99: 0.9}}, ""},
		"late, but not for it": {Result{MayUse: 1, Latency: &Spread{P99: 50}, Late: &Spread{P99: 5}}, ""},
		"something lost":       {Result{MayUse: 1, Problems: []string{"3 deliveries never came"}}, "3 deliveries never came"},
	} {
		t.Run(name, func(t *testing.T) {
			c.result.judge(false)
			if c.result.Valid != (c.want == "") || !strings.Contains(c.result.Why(), c.want) {
				t.Errorf("valid %v: %s", c.result.Valid, c.result.Why())
			}
		})
	}
}

func TestAGeneratorThatIsSlowerThanTheServerSaysSo(t *testing.T) {
	for _, c := range []struct {
		scenario string
		server   float64 // µs for each of 1,000 deliveries in a second
		notes    int
	}{{Rate, 5, 1}, {Rate, 8, 0}, {Rate, 0, 0}, {Fanout, 5, 0}} {
		r := Result{Scenario: c.scenario, OwnCores: 0.007, MayUse: 1, Seconds: 1, Deliveries: 1000, ServerPerDelivery: c.server}
		if r.judge(false); len(r.Notes) != c.notes || !r.Valid {
			t.Errorf("%+v: %q, valid %v", c, r.Notes, r.Valid)
		}
	}
}

func TestAnEstimateIsTheLeastOfThree(t *testing.T) {
	r := Result{Members: 60, ServerPerDelivery: 10, RSSPerConnection: 4096}
	// One person costs a delivery per second, 10 µs: 100,000 to a processor.
	for name, c := range map[string]struct {
		machine machine
		people  int
	}{
		"processors": {machine{cores: 2, memory: 1 << 40, files: 1 << 20}, 140_000},
		"memory":     {machine{cores: 2, memory: 16384 * 1000, files: 1 << 20}, 1000},
		"files":      {machine{cores: 2, memory: 1 << 40, files: 1064}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			if e := estimate(r, c.machine); e.People != c.people {
				t.Errorf("got %+v, want %d people", e, c.people)
			}
		})
	}
}

func TestAReportIsPlainWords(t *testing.T) {
	part := Result{
		Scenario: Rate, Protocol: "rich", Rooms: 40, Members: 50, Connections: 2000, Size: 64, Valid: true,
		Deliveries: 80_000, Seconds: 8, PerSecond: 10_000, ServerPerDelivery: 9.5, ServerRSS: 64 << 20, RSSPerConnection: 12 << 10,
		Latency: &Spread{P50: 0.8, P90: 1, P99: 12.4, P999: 15, Max: 20}, MayUse: 2, Notes: []string{"a note", "a note"},
	}
	whole := part
	whole.Parts = []Result{part}
	whole.Estimate = estimate(part, machine{cores: 2, memory: 8 << 30, files: 20_000})
	var b strings.Builder
	if err := whole.Report(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"rate: 40 rooms x 50 members, protocol rich, texts of 64 bytes\n",
		"80,000 in 8.0 s, 10,000/s\n",
		"p50 0.80, p90 1.00, p99 12, p99.9 15, max 20 ms\n",
		"9.50 µs\n", "12.0 KB\n", "Note: a note.\n",
		"This machine will hold about 19,000 people at the same time, in rooms of 50",
		"What ends it is the number of files",
		"none lost, none double, none out of order",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, b.String())
		}
	}
	if strings.Count(b.String(), "a note") != 1 {
		t.Error("a note stands there twice")
	}
	if _, err := json.Marshal(whole); err != nil {
		t.Error(err)
	}
}

func TestAPlanIsCheckedBeforeAnythingStarts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Plan)
		want   string // "" is good
	}{
		"the default":          {func(*Plan) {}, ""},
		"no rooms":             {func(p *Plan) { p.Rooms = 0 }, "rooms is 0: say a number from 1 to"},
		"a text too short":     {func(p *Plan) { p.Size = MinSize - 1 }, "size is 25"},
		"a text too long":      {func(p *Plan) { p.Size = MaxSize + 1 }, "size is 8001"},
		"posters from outside": {func(p *Plan) { p.Posters = p.Members + 1 }, "posters is 1001"},
		"nobody who reads":     {func(p *Plan) { p.Stuck = p.Members }, "stuck is 1000"},
		"an endless run":       {func(p *Plan) { p.For = 2 * time.Hour }, "duration"},
		"too many files":       {func(p *Plan) { p.Rooms = 20 }, "more than the 10000 files"},
		"far too many":         {func(p *Plan) { p.Rooms = 1000 }, "more than 200000"},
		"another scenario":     {func(p *Plan) { p.Scenario = "x" }, `no scenario "x"`},
		"no protocol":          {func(p *Plan) { p.Protocol = nil }, "no protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Default(Fanout)
			c.change(&p)
			err := p.Check(10_000)
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	for _, s := range Scenarios() {
		if err := Default(s[0]).Check(20_000); err != nil {
			t.Errorf("the default of %s: %v", s[0], err)
		}
	}
}
