// Package metrics turns what the other packages count into the text that
// Prometheus reads. It is the only importer of the Prometheus client: the
// others keep their own numbers and give them away by functions (Stats), which
// are called when somebody scrapes and at no other time.
//
// A Metrics is one registry; nothing is global, so a test or a process may have
// several. A Set is the numbers of one such function, which is called once for
// all of them. Names are given in full, as an operator will search for them:
// teahouse_, what is counted, the unit, and _total for what only grows. A name
// or a label that is not valid, or that was registered before, is a mistake of
// the program and panics at start.
package metrics

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is a set of numbers with names. Add and Histogram are for the start;
// Handler may be used by many goroutines.
type Metrics struct {
	registry *prometheus.Registry
	families []Family
	series   map[string]bool // that were registered, by name and labels
}

// New returns a set that holds what the process and the Go runtime tell about
// themselves: memory, file descriptors, goroutines, garbage collection, build.
func New() *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
		collectors.NewBuildInfoCollector(),
	)
	return &Metrics{registry: registry, series: make(map[string]bool)}
}

// Family is what is known of a number without reading it.
type Family struct {
	Name, Help string
	Kind       string              // "counter", "gauge" or "histogram"
	Labels     map[string][]string // to their values, in order, as far as these are known before; nil for none
}

// Families are all that were registered, by their names; those of the process
// and of Go are not among them.
func (m *Metrics) Families() []Family {
	all := slices.Clone(m.families)
	slices.SortFunc(all, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// letters are those of names: Prometheus takes others too, but then they have to
// be quoted in queries.
const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"

// note remembers one series of a family. Each may be registered once.
func (m *Metrics) note(name, help, kind string, labels []string) {
	series := strings.Join(append([]string{name}, labels...), " ")
	if m.series[series] || strings.Trim(name, letters) != "" {
		panic(fmt.Sprintf("metrics: %q is registered twice, or no name", series))
	}
	m.series[series] = true
	i := slices.IndexFunc(m.families, func(f Family) bool { return f.Name == name })
	if i < 0 {
		i = len(m.families)
		m.families = append(m.families, Family{Name: name, Help: help, Kind: kind})
	}
	f := &m.families[i]
	if f.Labels == nil && len(labels) > 0 {
		f.Labels = make(map[string][]string)
	}
	for j := 0; j < len(labels); j += 2 {
		values := f.Labels[labels[j]]
		if j+1 < len(labels) && !slices.Contains(values, labels[j+1]) {
			values = append(values, labels[j+1])
			slices.Sort(values)
		}
		f.Labels[labels[j]] = values
	}
}

// Histogram registers a distribution and returns the function that adds one
// value to it, cheap enough for every commit (well under a microsecond). Buckets
// are upper bounds in ascending order; see Seconds and Sizes.
func (m *Metrics) Histogram(name, help string, buckets []float64) (observe func(float64)) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
	m.note(name, help, "histogram", nil)
	return h.Observe
}

// Seconds are buckets for latencies, from a commit on a fast disk (100 µs) to
// one that the operator must hear of (10 s).
func Seconds() []float64 {
	return []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

// Sizes are buckets for how many things were done at once: 1, 2, 4, ... 512.
func Sizes() []float64 { return prometheus.ExponentialBuckets(1, 2, 10) }

// Handler answers a scrape. A number that cannot be read leaves the others
// readable.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError,
		Registry:      m.registry,
	})
}
