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
	if a.broker != nil {
		a.registerBroker()
	}
	if a.bridge != nil {
		a.registerBridge()
	}
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
		"illegal":    func(s channels.Stats) uint64 { return s.Illegal },
	} {
		m.Counter("teahouse_lost_total", "Events that did not reach a receiver; clients get them by resuming.",
			layer(read), "cause", cause)
	}
}

// registerBroker makes visible how other processes are reached.
func (a *app) registerBroker() {
	m := a.metrics
	m.Gauges("teahouse_layer_connected", "1 while events arrive from a server of the layer.", "host", func() map[string]float64 {
		connected := make(map[string]float64)
		for _, s := range a.brokerStates() {
			connected[s.Host] = 0
			if s.Connected {
				connected[s.Host] = 1
			}
		}
		return connected
	})
	m.Counter("teahouse_layer_gaps_total", "Times that an unknown number of events of other processes was lost on the way here.",
		func() float64 { return float64(a.layer.Stats().Gaps) })
	m.Counters("teahouse_layer_received_lost_total", "Events of other processes that were dropped by the broker.", "cause", func() map[string]float64 {
		lost := make(map[string]float64)
		for cause, n := range a.layer.Stats().Dropped {
			lost[cause] = float64(n)
		}
		return lost
	})
	m.Counters("teahouse_layer_unsent_total", "Events that did not reach the broker; people on this server got them.", "cause", func() map[string]float64 {
		s := a.relay.Stats()
		return map[string]float64{"full": float64(s.Dropped), "failed": float64(s.Failed)}
	})
}

// registerBridge makes visible what goes between Django and the log.
func (a *app) registerBridge() {
	m := a.metrics
	m.Counters("teahouse_bridge_messages_total", "Messages sent to Django (out), and of Django stored (in).", "direction", func() map[string]float64 {
		s := a.bridge.Stats()
		return map[string]float64{"out": float64(s.Out), "in": float64(s.In)}
	})
	m.Counter("teahouse_bridge_unsent_total", "Messages that were not sent to Django.",
		func() float64 { return float64(a.bridge.Stats().OutDropped) })
	m.Counters("teahouse_bridge_refused_total", "Messages of Django that were not stored.", "cause", func() map[string]float64 {
		s := a.bridge.Stats()
		return map[string]float64{
			"rule": float64(s.Refused), "rate": float64(s.Limited), "full": float64(s.InDropped), "store": float64(s.Failed),
		}
	})
	m.Counter("teahouse_bridge_gaps_total", "Times that an unknown number of messages of Django was lost on the way here.",
		func() float64 { return float64(a.bridge.Stats().Missed) })
	m.Gauge("teahouse_bridge_rooms", "Rooms in which this server listens to Django.",
		func() float64 { return float64(a.bridge.Stats().Rooms) })
	m.Counter("teahouse_bridge_rooms_refused_total", "Times that a room was not followed because there were too many.",
		func() float64 { return float64(a.bridge.Stats().Beyond) })
	m.Gauge("teahouse_bridge_leading", "1 on the server that listens to Django.", func() float64 {
		if a.bridge.Stats().Leading {
			return 1
		}
		return 0
	})
}
