package metrics

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Set is numbers that are read together, from one S. It is made and filled by
// Add, and belongs to it.
type Set[S any] struct {
	metrics *Metrics
	read    func() S
	rows    []row[S]
}

// row is one number, or those of one name by the value of their label.
type row[S any] struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	value  func(S) float64
	values func(S) map[string]float64
}

// Add registers numbers: fill says which. At each scrape read is called once,
// maybe by several goroutines at a time, and the numbers are taken from what it
// gives.
func Add[S any](m *Metrics, read func() S, fill func(*Set[S])) {
	s := &Set[S]{metrics: m, read: read}
	fill(s)
	m.registry.MustRegister(s)
}

// Counter is a number that only grows while the process lives. Labels are pairs
// of name and value that tell the series of one name apart, such as "cause",
// "slow".
func (s *Set[S]) Counter(name, help string, value func(S) float64, labels ...string) {
	s.one(name, help, prometheus.CounterValue, value, labels)
}

// Gauge is a number that goes up and down; see Counter.
func (s *Set[S]) Gauge(name, help string, value func(S) float64, labels ...string) {
	s.one(name, help, prometheus.GaugeValue, value, labels)
}

// Counters are numbers that only grow and share a name: one for each value of a
// label, which need not be known before.
func (s *Set[S]) Counters(name, help, label string, values func(S) map[string]float64) {
	s.many(name, help, prometheus.CounterValue, label, values)
}

// Gauges is Counters for numbers that go up and down.
func (s *Set[S]) Gauges(name, help, label string, values func(S) map[string]float64) {
	s.many(name, help, prometheus.GaugeValue, label, values)
}

func (s *Set[S]) one(name, help string, kind prometheus.ValueType, value func(S) float64, labels []string) {
	if len(labels)%2 != 0 {
		panic(fmt.Sprintf("metrics: %s has a label without a value: %q", name, labels))
	}
	fixed := make(prometheus.Labels, len(labels)/2)
	for i := 0; i < len(labels); i += 2 {
		fixed[labels[i]] = labels[i+1]
	}
	s.rows = append(s.rows, row[S]{desc: prometheus.NewDesc(name, help, nil, fixed), kind: kind, value: value})
	s.metrics.note(name, help, kindName(kind), labels)
}

func (s *Set[S]) many(name, help string, kind prometheus.ValueType, label string, values func(S) map[string]float64) {
	s.rows = append(s.rows, row[S]{desc: prometheus.NewDesc(name, help, []string{label}, nil), kind: kind, values: values})
	s.metrics.note(name, help, kindName(kind), []string{label})
}

func kindName(kind prometheus.ValueType) string {
	if kind == prometheus.CounterValue {
		return "counter"
	}
	return "gauge"
}

// Describe implements prometheus.Collector.
func (s *Set[S]) Describe(to chan<- *prometheus.Desc) {
	for _, r := range s.rows {
		to <- r.desc
	}
}

// Collect implements prometheus.Collector.
func (s *Set[S]) Collect(to chan<- prometheus.Metric) {
	now := s.read()
	for _, r := range s.rows {
		if r.value != nil {
			to <- prometheus.MustNewConstMetric(r.desc, r.kind, r.value(now))
			continue
		}
		for label, n := range r.values(now) {
			to <- prometheus.MustNewConstMetric(r.desc, r.kind, n, label)
		}
	}
}
