package suite

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/bench/peer"
	"github.com/teahouse-chat/teahouse/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScenariosAreWholeAndFitTheGenerator(t *testing.T) {
	names := make(map[string]bool)
	for _, s := range Scenarios() {
		if names[s.Name] {
			t.Errorf("%s is there twice", s.Name)
		}
		names[s.Name] = true
		if s.Title == "" || len(s.Figures) == 0 || len(s.Entries) == 0 {
			t.Errorf("%s is not whole", s.Name)
		}
		keys := make(map[string]bool)
		for _, e := range s.Entries {
			if keys[e.key()] {
				t.Errorf("%s: %s is there twice", s.Name, e.key())
			}
			keys[e.key()] = true
			p, err := peer.Find(e.Peer)
			if err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
			for _, plan := range []load.Plan{s.Plan, s.shrink().Plan} {
				plan.Protocol, plan.Stuck = p.Protocol, min(e.Stuck, plan.Members-1)
				if err := plan.Check(20_000); err != nil {
					t.Errorf("%s, %s: %v", s.Name, e.key(), err)
				}
			}
		}
	}
	for _, s := range Scenarios() {
		if s.RateOf != "" && !names[s.RateOf] {
			t.Errorf("%s takes its rate from %q, which is not there", s.Name, s.RateOf)
		}
	}
}

func TestChoosingKeepsWhatIsNamedAndRefusesWhatIsNot(t *testing.T) {
	got, err := Choose([]string{"1x1000", "connect"}, []string{peer.Teahouse, peer.Hub})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, s := range got {
		for _, e := range s.Entries {
			rows = append(rows, s.Name+"/"+e.key())
		}
	}
	want := []string{"1x1000/teahouse", "1x1000/hub", "connect/teahouse", "connect/hub"}
	if d := cmp.Diff(want, rows); d != "" {
		t.Error(d)
	}
	if _, err := Choose([]string{"2x2"}, nil); err == nil || !strings.Contains(err.Error(), `no scenario "2x2"`) {
		t.Errorf("got %v", err)
	}
	if _, err := Choose(nil, []string{"nobody"}); err == nil || !strings.Contains(err.Error(), `no peer "nobody"`) {
		t.Errorf("got %v", err)
	}
}

func TestSpreadsAreMediansWithTheirEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		values []float64
		want   string
	}{
		"nothing":            {nil, "–"},
		"one":                {[]float64{1234.56}, "1,234.6"},
		"an odd number":      {[]float64{3, 1, 2}, "2.0 (1.0–3.0)"},
		"an even number":     {[]float64{4, 1, 2, 3}, "2.5 (1.0–4.0)"},
		"thousands of these": {[]float64{1e6, 2e6, 3e6}, "2,000,000.0 (1,000,000.0–3,000,000.0)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := spreadOf(tt.values).text(1); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func cost(v float64) Sample { return Sample{Ran: true, Result: load.Result{ServerPerDelivery: v}} }

func TestRatiosCompareOnlySamplesOfTheSameRound(t *testing.T) {
	bad := Sample{Ran: true, Failed: "it fell over", Result: load.Result{ServerPerDelivery: 1000}}
	base := []Sample{cost(1), cost(2), bad, cost(4)}
	other := []Sample{cost(3), cost(4), cost(500), bad}
	got := cpuPerDelivery.ratios(other, base)
	if got.n != 2 || math.Abs(got.median-2.5) > 1e-9 || got.least != 2 || got.most != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestWhatWasNotMeasuredIsLeftOut(t *testing.T) {
	if got := perWrite.over([]Sample{{Ran: true}, {Ran: true, PerWrite: 3}}); got.n != 1 || got.median != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestABusyGeneratorIsANoteAndALossIsAFailure(t *testing.T) {
	const busy = "the generator itself was the bottleneck: it used 97 % of its 1 processors"
	s := judge(load.Result{Problems: []string{busy}})
	if !s.Good() || !s.Busy {
		t.Errorf("busy alone: %+v", s)
	}
	s = judge(load.Result{Problems: []string{busy, "3 deliveries never came"}})
	if s.Good() || s.Failed != "3 deliveries never came" {
		t.Errorf("with a loss: %+v", s)
	}
}

func TestTheRateIsATenthOfWhatThePlainLoopPosts(t *testing.T) {
	scenarios, err := Choose([]string{bigRoom, "rate-1x1000"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	loop := Sample{Ran: true, Result: load.Result{PerSecond: 150_000, Members: 1000}}
	o := &Outcome{Options: Options{Scenarios: scenarios}, Rates: make(map[string]int)}
	o.noteRate(scenarios[0], Entry{Peer: peer.Teahouse}, loop)
	o.noteRate(scenarios[0], Entry{Peer: peer.Loop}, loop)
	o.noteRate(scenarios[0], Entry{Peer: peer.Loop}, Sample{Ran: true, Result: load.Result{PerSecond: 1, Members: 1}})
	if got := o.Rates["rate-1x1000"]; got != 15 {
		t.Errorf("got %d posts a second", got)
	}
}

func TestAnEntryThatFailedTwiceIsNotTriedAgain(t *testing.T) {
	bad := Sample{Ran: true, Failed: "x"}
	if !hopeless([]Sample{bad, bad}) || hopeless([]Sample{bad, cost(1)}) || hopeless([]Sample{bad}) {
		t.Error("it is not the first two that decide")
	}
}

// TestASmallRunEndsInAReport runs the smallest whole suite: two Go programs, no
// pinning, both kinds of scenario.
func TestASmallRunEndsInAReport(t *testing.T) {
	scenarios, err := Choose([]string{smallRooms, "rate-100x10"}, []string{peer.Loop, peer.Hub})
	if err != nil {
		t.Fatal(err)
	}
	w, err := peer.NewWorkshop("..")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	outcome, err := Run(t.Context(), Options{
		Scenarios: scenarios, Rounds: 2, For: 200 * time.Millisecond, Small: true, Server: -1, Load: -1,
		Workshop: w, Progress: func(line string) { t.Log(line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if outcome.Rates["rate-100x10"] == 0 {
		t.Error("the rate was not derived")
	}
	var b strings.Builder
	if err := outcome.Report(t.Context(), &b, "go test"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Benchmarks", "A quick look", "2 rounds of 2", "## 100 rooms of 10, saturated", "| Go, plain loop |", "| Go, hub and channels |",
		"posts a second in all.", "**Go, plain loop** (`loop`)", "Version: v", "## How to read it",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, b.String())
		}
	}
}

func TestAPeerThatCannotBeBuiltIsPartOfTheReport(t *testing.T) {
	scenarios, err := Choose([]string{smallRooms}, []string{peer.Loop})
	if err != nil {
		t.Fatal(err)
	}
	o := &Outcome{
		Options: Options{Scenarios: scenarios, Workshop: &peer.Workshop{Module: "..", Dir: t.TempDir()}, Progress: func(string) {}},
		Rounds:  1, Rates: make(map[string]int), samples: make(map[string][]Sample),
		Missing: map[string]string{peer.Loop: "loop needs the Debian package golang: not installed"},
	}
	if err := o.measure(t.Context(), 0, scenarios[0], scenarios[0].Entries[0]); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := o.Report(t.Context(), &b, "go test"); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "| Go, plain loop | – | – | – | – | – | 0 of 1 |") {
		t.Errorf("no empty row:\n%s", b.String())
	}
	if !strings.Contains(b.String(), "Not measured: loop needs the Debian package golang: not installed.") {
		t.Errorf("the reason is missing:\n%s", b.String())
	}
}
