package app

import (
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/metrics"
)

// observeCommits feeds the histograms of the log: chat.Options.Committed.
func observeCommits(m *metrics.Metrics) func(messages int, took time.Duration) {
	took := m.Histogram("teahouse_commit_seconds", "Time of one commit of the log, with its fsync.", metrics.Seconds())
	size := m.Histogram("teahouse_commit_messages", "Messages in one commit of the log.", metrics.Sizes())
	return func(n int, d time.Duration) {
		took(d.Seconds())
		size(float64(n))
	}
}

// register makes every counter of the parts visible.
func (a *app) register() {
	m := a.metrics
	rules := func(read func(chat.Stats) float64) func() float64 {
		return func() float64 { return read(a.service.Stats()) }
	}
	m.Counter("teahouse_messages_total", "Messages stored.", rules(func(s chat.Stats) float64 { return float64(s.Posts) }))
	m.Counter("teahouse_duplicates_total", "Posts whose nonce was stored before.", rules(func(s chat.Stats) float64 { return float64(s.Duplicates) }))
	m.Counter("teahouse_refused_total", "Posts refused by a rule, a rate or a full queue.", rules(func(s chat.Stats) float64 { return float64(s.Refused) }))
	m.Counter("teahouse_commit_failures_total", "Commits that failed.", rules(func(s chat.Stats) float64 { return float64(s.Failures) }))
	m.Gauge("teahouse_queue_messages", "Messages waiting to be stored.", rules(func(s chat.Stats) float64 { return float64(s.Queued) }))

	m.Counter("teahouse_bad_frames_total", "Frames of clients that were refused.", func() float64 { return float64(a.live.Stats().BadFrames) })
	m.Gauge("teahouse_rooms_active", "Rooms with somebody in them.", func() float64 { return float64(a.live.Stats().Rooms) })
	m.Gauge("teahouse_sockets", "Open sockets.", func() float64 { return float64(a.live.Stats().Rich) }, "protocol", "rich")
	m.Gauge("teahouse_sockets", "Open sockets.", func() float64 { return float64(a.live.Stats().Plain) }, "protocol", "plain")

	a.registerLayer()
	for kind := range a.limiter.Stats().RefusedRate {
		m.Counter("teahouse_limited_total", "Refusals by a limit.",
			func() float64 { return float64(a.limiter.Stats().RefusedRate[kind]) }, "limit", kind.String())
	}
	for kind := range a.limiter.Stats().RefusedCount {
		m.Counter("teahouse_limited_total", "Refusals by a limit.",
			func() float64 { return float64(a.limiter.Stats().RefusedCount[kind]) }, "limit", kind.String())
	}
}

// registerLayer makes visible what fan-out does, and every loss by its cause.
func (a *app) registerLayer() {
	m := a.metrics
	layer := func(read func(channels.Stats) uint64) func() float64 {
		return func() float64 { return float64(read(a.layer.Stats())) }
	}
	m.Counter("teahouse_delivered_total", "Events given to a member's socket.", layer(func(s channels.Stats) uint64 { return s.Delivered }))
	m.Counter("teahouse_writes_total", "Writes to members' sockets, each of one run of frames.", layer(func(s channels.Stats) uint64 { return s.Writes }))
	m.Counter("teahouse_rounds_total", "Rounds of fan-out.", layer(func(s channels.Stats) uint64 { return s.Rounds }))
	m.Counter("teahouse_shed_total", "Sockets cut because too much waited for slow clients together.", layer(func(s channels.Stats) uint64 { return s.Shed }))
	m.Gauge("teahouse_backlog_bytes", "Bytes waiting for slow clients.", layer(func(s channels.Stats) uint64 { return uint64(s.Backlog) }))
	for cause, read := range map[string]func(channels.Stats) uint64{
		"full":       func(s channels.Stats) uint64 { return s.Full },
		"expired":    func(s channels.Stats) uint64 { return s.Expired },
		"unhandled":  func(s channels.Stats) uint64 { return s.Unhandled },
		"unrendered": func(s channels.Stats) uint64 { return s.Unrendered },
		"slow":       func(s channels.Stats) uint64 { return s.Slow },
	} {
		m.Counter("teahouse_lost_total", "Events that did not reach a receiver; clients get them by resuming.",
			layer(read), "cause", cause)
	}
}
