package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scrape is what Prometheus gets.
func scrape(t testing.TB, m *metrics.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("a scrape is answered with %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestAScrapeReadsTheNumbersAtThatMoment(t *testing.T) {
	m := metrics.New()
	posts, reads := 1.0, 0
	metrics.Add(m, func() float64 { reads++; return posts }, func(s *metrics.Set[float64]) {
		s.Counter("teahouse_posts_total", "Messages stored.", func(posts float64) float64 { return posts })
		s.Gauge("teahouse_sockets", "Open sockets.", func(posts float64) float64 { return -posts }, "protocol", "plain")
		s.Gauge("teahouse_sockets", "Open sockets.", func(float64) float64 { return 0 }, "protocol", "rich")
		s.Counters("teahouse_lost_total", "Events lost.", "cause", func(posts float64) map[string]float64 {
			return map[string]float64{"full": posts, "of \"all\"": 2}
		})
		s.Gauges("teahouse_connected", "Servers.", "host", func(posts float64) map[string]float64 { return map[string]float64{"a": -posts} })
	})
	observe := m.Histogram("teahouse_commit_seconds", "Time of one commit.", metrics.Seconds())
	observe(0.0003)

	for range 2 {
		got := scrape(t, m)
		for _, want := range []string{
			"# HELP teahouse_posts_total Messages stored.\n# TYPE teahouse_posts_total counter\n",
			fmt.Sprintf("\nteahouse_posts_total %v\n", posts),
			fmt.Sprintf("\nteahouse_sockets{protocol=\"plain\"} %v\n", -posts),
			"\nteahouse_sockets{protocol=\"rich\"} 0\n",
			"# TYPE teahouse_lost_total counter\n",
			fmt.Sprintf("\nteahouse_lost_total{cause=\"full\"} %v\n", posts),
			"\nteahouse_lost_total{cause=\"of \\\"all\\\"\"} 2\n",
			fmt.Sprintf("# TYPE teahouse_connected gauge\nteahouse_connected{host=\"a\"} %v\n", -posts),
			"\nteahouse_commit_seconds_bucket{le=\"0.00025\"} 0\n",
			"\nteahouse_commit_seconds_bucket{le=\"0.0005\"} 1\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("the scrape lacks %q:\n%s", want, got)
			}
		}
		posts++
	}
	if reads != 2 {
		t.Errorf("two scrapes read %d times", reads)
	}
}

func TestWhatIsRegisteredIsKnownWithoutReadingIt(t *testing.T) {
	m := metrics.New()
	m.Histogram("teahouse_commit_seconds", "Time of one commit.", metrics.Seconds())
	metrics.Add(m, func() int { panic("read") }, func(s *metrics.Set[int]) {
		zero := func(int) float64 { return 0 }
		s.Gauge("teahouse_sockets", "Open sockets.", zero, "protocol", "rich")
		s.Gauge("teahouse_sockets", "Open sockets.", zero, "protocol", "plain")
		s.Counters("teahouse_lost_total", "Events lost.", "cause", func(int) map[string]float64 { return nil })
		s.Counter("teahouse_a_total", "A.", zero)
	})
	want := []metrics.Family{
		{Name: "teahouse_a_total", Help: "A.", Kind: "counter"},
		{Name: "teahouse_commit_seconds", Help: "Time of one commit.", Kind: "histogram"},
		{Name: "teahouse_lost_total", Help: "Events lost.", Kind: "counter", Labels: map[string][]string{"cause": nil}},
		{Name: "teahouse_sockets", Help: "Open sockets.", Kind: "gauge", Labels: map[string][]string{"protocol": {"plain", "rich"}}},
	}
	if diff := cmp.Diff(want, m.Families()); diff != "" {
		t.Error(diff)
	}
}

func TestTheProcessTellsAboutItself(t *testing.T) {
	got := scrape(t, metrics.New())
	for _, name := range []string{"go_goroutines ", "process_open_fds ", "process_resident_memory_bytes ", "go_build_info{"} {
		if !strings.Contains(got, "\n"+name) {
			t.Errorf("the scrape lacks %s", name)
		}
	}
}

func TestSetsAreIndependent(t *testing.T) {
	for range 2 {
		metrics.Add(metrics.New(), func() int { return 0 }, func(s *metrics.Set[int]) {
			s.Counter("teahouse_posts_total", "Messages stored.", func(int) float64 { return 0 })
		})
	}
}

func TestAMistakeInANamePanicsAtStart(t *testing.T) {
	zero := func(int) float64 { return 0 }
	half := []string{"cause"}
	for name, fill := range map[string]func(*metrics.Set[int]){
		"the same name twice": func(s *metrics.Set[int]) { s.Gauge("a", "h", zero); s.Gauge("a", "h", zero) },
		"half a label":        func(s *metrics.Set[int]) { s.Counter("a_total", "h", zero, half...) },
		"another help":        func(s *metrics.Set[int]) { s.Gauge("a", "h", zero, "x", "1"); s.Gauge("a", "i", zero, "x", "2") },
		"no name":             func(s *metrics.Set[int]) { s.Gauge("a name", "h", zero, "b ad", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was accepted")
				}
			}()
			metrics.Add(metrics.New(), func() int { return 0 }, fill)
		})
	}
}

func TestObservingAndScrapingAtOnceIsSafe(t *testing.T) {
	m := metrics.New()
	observe := m.Histogram("teahouse_batch_messages", "Messages of one commit.", metrics.Sizes())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 1000 {
				observe(float64(i))
			}
		})
	}
	for range 10 {
		scrape(t, m)
	}
	wg.Wait()
	if got := scrape(t, m); !strings.Contains(got, "\nteahouse_batch_messages_count 4000\n") {
		t.Errorf("values were lost:\n%s", got)
	}
}

func ExampleAdd() {
	type stats struct{ slow, silent float64 }
	cut := func() stats { return stats{slow: 3} }
	m := metrics.New()
	metrics.Add(m, cut, func(s *metrics.Set[stats]) {
		s.Counter("teahouse_cut_total", "Sockets cut by the server.", func(c stats) float64 { return c.slow }, "cause", "slow")
		s.Counter("teahouse_cut_total", "Sockets cut by the server.", func(c stats) float64 { return c.silent }, "cause", "silent")
	})

	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "teahouse_") {
			fmt.Print(line)
		}
	}
	// Output:
	// teahouse_cut_total{cause="silent"} 0
	// teahouse_cut_total{cause="slow"} 3
}
