package app

import (
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/internal/config"
	"github.com/teahouse-chat/teahouse/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:generate go test . -run TestTheTableOfMetricsIsCurrent -update

var update = flag.Bool("update", false, "write the table of docs/metrics.md")

const metricsDocument = "../../docs/metrics.md"

// whole is a server with all parts that have metrics. Its Redis cannot be reached.
func whole(t *testing.T) *app {
	t.Helper()
	c := config.Default()
	c.Data, c.Layer, c.Django.Rooms = t.TempDir(), "redis://127.0.0.1:1", []string{"lobby"}
	a, err := open(t.Context(), c, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	return a
}

// table is what docs/metrics.md says of families.
func table(families []metrics.Family) string {
	var b strings.Builder
	b.WriteString("| name | kind | labels | what it is |\n|---|---|---|---|\n")
	for _, f := range families {
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(f.Labels)) {
			label := "`" + name + "`"
			if values := f.Labels[name]; len(values) > 0 {
				label += ": " + strings.Join(values, ", ")
			}
			labels = append(labels, label)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, f.Kind, strings.Join(labels, "; "), f.Help)
	}
	return b.String()
}

func TestTheTableOfMetricsIsCurrent(t *testing.T) {
	a := whole(t)
	text, err := os.ReadFile(metricsDocument)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- table -->\n", "<!-- end of the table -->\n"
	before, rest, ok1 := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("docs/metrics.md has no place for its table")
	}
	want := before + begin + table(a.metrics.Families()) + end + after
	if *update {
		if err := os.WriteFile(metricsDocument, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("docs/metrics.md is not what is registered: run go generate ./internal/app")
	}
	for _, name := range metricName.FindAllString(before+after, -1) {
		if !strings.HasSuffix(name, "_") && !known(a.metrics.Families(), name) {
			t.Errorf("docs/metrics.md speaks of %s, which there is not", name)
		}
	}
}

func TestAScrapeHasWhatIsRegisteredAndNothingElse(t *testing.T) {
	a := whole(t)
	w := httptest.NewRecorder()
	a.adminHandler(true).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:8080/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("a scrape is answered with %d: %s", w.Code, w.Body)
	}
	scraped := make(map[string]string)
	for _, line := range regexp.MustCompile(`(?m)^# TYPE (teahouse_\S+) (\S+)$`).FindAllStringSubmatch(w.Body.String(), -1) {
		scraped[line[1]] = line[2]
	}
	for _, f := range a.metrics.Families() {
		if kind := scraped[f.Name]; kind != f.Kind {
			t.Errorf("%s is scraped as %q, want %s", f.Name, kind, f.Kind)
		}
		delete(scraped, f.Name)
	}
	if len(scraped) > 0 {
		t.Errorf("there is more in a scrape: %v", scraped)
	}
	for _, line := range []string{
		"teahouse_ready 0", "teahouse_stopping 0", "teahouse_store_failing 0", `teahouse_sockets{protocol="rich"} 0`,
		`teahouse_layer_connected{host="redis://127.0.0.1:1"} 0`, `teahouse_layer_received_lost_total{cause="full"} 0`, `teahouse_limited_total{limit="messages_per_address"} 0`,
	} {
		if !strings.Contains(w.Body.String(), "\n"+line+"\n") {
			t.Errorf("a scrape of a server that starts lacks %s", line)
		}
	}
}

var metricName = regexp.MustCompile(`\b(teahouse|process|go)_[a-z0-9_]+`)

// known tells whether a query may name a metric.
func known(families []metrics.Family, name string) bool {
	if !strings.HasPrefix(name, "teahouse_") {
		return slices.Contains([]string{
			"process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total",
			"go_goroutines", "go_memstats_heap_inuse_bytes",
		}, name)
	}
	return slices.ContainsFunc(families, func(f metrics.Family) bool {
		if f.Kind != "histogram" {
			return f.Name == name
		}
		rest, ok := strings.CutPrefix(name, f.Name)
		return ok && slices.Contains([]string{"", "_bucket", "_sum", "_count"}, rest)
	})
}
