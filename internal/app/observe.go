package app

import (
	"time"

	"github.com/teahouse-chat/teahouse/internal/metrics"
)

// observed feeds the histograms.
type observed struct {
	committed func(messages int, took time.Duration)
}

func observe(m *metrics.Metrics) observed {
	took := m.Histogram("teahouse_commit_seconds", "Time of one commit of the log, with its fsync.", metrics.Seconds())
	size := m.Histogram("teahouse_commit_messages", "Messages in one commit of the log.", metrics.Sizes())
	return observed{committed: func(n int, d time.Duration) {
		took(d.Seconds())
		size(float64(n))
	}}
}

// register makes every counter of the parts visible.
func (a *app) register() {
	type number struct {
		name, help string
		read       func() float64
	}
	for _, c := range []number{
		{"teahouse_messages_total", "Messages stored.", func() float64 { return float64(a.service.Stats().Posts) }},
		{"teahouse_duplicates_total", "Posts whose nonce was stored before.", func() float64 { return float64(a.service.Stats().Duplicates) }},
		{"teahouse_refused_total", "Posts refused by a rule, a rate or a full queue.", func() float64 { return float64(a.service.Stats().Refused) }},
		{"teahouse_commit_failures_total", "Commits that failed.", func() float64 { return float64(a.service.Stats().Failures) }},
		{"teahouse_bad_frames_total", "Frames of clients that were refused.", func() float64 { return float64(a.live.Stats().BadFrames) }},
	} {
		a.metrics.Counter(c.name, c.help, c.read)
	}
	for _, g := range []number{
		{"teahouse_queue_messages", "Messages waiting to be stored.", func() float64 { return float64(a.service.Stats().Queued) }},
		{"teahouse_rooms_active", "Rooms with somebody in them.", func() float64 { return float64(a.live.Stats().Rooms) }},
	} {
		a.metrics.Gauge(g.name, g.help, g.read)
	}
	a.metrics.Gauge("teahouse_sockets", "Open sockets.", func() float64 { return float64(a.live.Stats().Rich) }, "protocol", "rich")
	a.metrics.Gauge("teahouse_sockets", "Open sockets.", func() float64 { return float64(a.live.Stats().Plain) }, "protocol", "plain")
}
