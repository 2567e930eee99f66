package metrics_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

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
	posts := 1.0
	m.Counter("teahouse_posts_total", "Messages stored.", func() float64 { return posts })
	m.Gauge("teahouse_sockets", "Open sockets.", func() float64 { return -posts }, "protocol", "plain")
	m.Gauge("teahouse_sockets", "Open sockets.", func() float64 { return 0 }, "protocol", "rich")
	m.Counters("teahouse_lost_total", "Events lost.", "cause", func() map[string]float64 {
		return map[string]float64{"full": posts, "of \"all\"": 2}
	})
	m.Gauges("teahouse_connected", "Servers.", "host", func() map[string]float64 { return map[string]float64{"a": -posts} })
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
		metrics.New().Counter("teahouse_posts_total", "Messages stored.", func() float64 { return 0 })
	}
}

func TestAMistakeInANamePanicsAtStart(t *testing.T) {
	zero := func() float64 { return 0 }
	half := []string{"cause"}
	for name, register := range map[string]func(*metrics.Metrics){
		"the same name twice": func(m *metrics.Metrics) { m.Gauge("a", "h", zero); m.Gauge("a", "h", zero) },
		"half a label":        func(m *metrics.Metrics) { m.Counter("a_total", "h", zero, half...) },
		"another help":        func(m *metrics.Metrics) { m.Gauge("a", "h", zero, "x", "1"); m.Gauge("a", "i", zero, "x", "2") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was accepted")
				}
			}()
			register(metrics.New())
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

func ExampleMetrics_Counter() {
	m := metrics.New()
	var cut struct{ slow, silent float64 }
	m.Counter("teahouse_cut_total", "Sockets cut by the server.", func() float64 { return cut.slow }, "cause", "slow")
	m.Counter("teahouse_cut_total", "Sockets cut by the server.", func() float64 { return cut.silent }, "cause", "silent")
	cut.slow = 3

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
