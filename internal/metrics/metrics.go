// Package metrics turns what the other packages count into the text that
// Prometheus reads. It is the only importer of the Prometheus client: the
// others keep their own numbers and give them away by functions (Stats), which
// are called when somebody scrapes and at no other time.
//
// A Metrics is one registry; nothing is global, so a test or a process may have
// several. Names are given in full, as an operator will search for them:
// teahouse_, what is counted, the unit, and _total for what only grows. A name
// or a label that is not valid, or that was registered before, is a mistake of
// the program and panics at start.
package metrics

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics is a set of numbers with names. Its methods may be called by many
// goroutines.
type Metrics struct {
	registry *prometheus.Registry // fixed
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
	return &Metrics{registry: registry}
}

// Counter registers a number that only grows while the process lives; read is
// called at every scrape, maybe by several goroutines. Labels are pairs of name
// and value that tell the series of one name apart, such as "cause", "slow".
func (m *Metrics) Counter(name, help string, read func() float64, labels ...string) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: name, Help: help, ConstLabels: pairs(name, labels),
	}, read))
}

// Gauge registers a number that goes up and down; read and labels are as in
// Counter.
func (m *Metrics) Gauge(name, help string, read func() float64, labels ...string) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: name, Help: help, ConstLabels: pairs(name, labels),
	}, read))
}

// Counters registers numbers that only grow and share a name: one for each value
// of a label, which need not be known before. Read is called at every scrape.
func (m *Metrics) Counters(name, help, label string, read func() map[string]float64) {
	m.registry.MustRegister(&family{prometheus.NewDesc(name, help, []string{label}, nil), prometheus.CounterValue, read})
}

// Gauges is Counters for numbers that go up and down.
func (m *Metrics) Gauges(name, help, label string, read func() map[string]float64) {
	m.registry.MustRegister(&family{prometheus.NewDesc(name, help, []string{label}, nil), prometheus.GaugeValue, read})
}

// family is the numbers of one name, by the value of their label.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func() map[string]float64
}

// Describe implements prometheus.Collector.
func (f *family) Describe(to chan<- *prometheus.Desc) { to <- f.desc }

// Collect implements prometheus.Collector.
func (f *family) Collect(to chan<- prometheus.Metric) {
	for value, n := range f.read() {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, n, value)
	}
}

// Histogram registers a distribution and returns the function that adds one
// value to it, cheap enough for every commit (well under a microsecond). Buckets
// are upper bounds in ascending order; see Seconds and Sizes.
func (m *Metrics) Histogram(name, help string, buckets []float64) (observe func(float64)) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.registry.MustRegister(h)
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

func pairs(name string, labels []string) prometheus.Labels {
	if len(labels)%2 != 0 {
		panic(fmt.Sprintf("metrics: %s has a label without a value: %q", name, labels))
	}
	set := make(prometheus.Labels, len(labels)/2)
	for i := 0; i < len(labels); i += 2 {
		set[labels[i]] = labels[i+1]
	}
	return set
}
