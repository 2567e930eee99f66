package app

import (
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/limit"
	"github.com/teahouse-chat/teahouse/internal/live"
	"github.com/teahouse-chat/teahouse/internal/metrics"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
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

// register makes every counter of the parts visible. docs/metrics.md says what
// there is; go generate writes its table.
func (a *app) register() {
	m := a.metrics
	a.registerState()
	metrics.Add(m, a.service.Stats, registerLog)
	metrics.Add(m, a.store.Stats, registerStore)
	metrics.Add(m, a.limiter.Stats, registerLimits)
	metrics.Add(m, a.live.Stats, func(s *metrics.Set[live.Stats]) {
		registerLive(s)
		registerTails(s)
		registerRolls(s)
	})
	metrics.Add(m, a.layer.Stats, func(s *metrics.Set[channels.Stats]) {
		registerLayer(s)
		if a.broker != nil {
			registerGaps(s)
		}
	})
	if a.broker != nil {
		metrics.Add(m, a.relay.Stats, registerRelay)
		metrics.Add(m, a.brokerStates, registerBroker)
	}
	if a.bridge != nil {
		metrics.Add(m, a.bridge.Stats, registerBridge)
	}
}

// registerState makes visible where the server is between its start and its end.
func (a *app) registerState() {
	metrics.Add(a.metrics, func() *app { return a }, func(s *metrics.Set[*app]) {
		s.Gauge("teahouse_ready", "1 while /readyz is answered with 200.", func(a *app) float64 { return number(a.unready() == "") })
		s.Gauge("teahouse_stopping", "1 from the first signal to stop to the end of the process.", func(a *app) float64 { return number(a.leaving.Load()) })
		s.Gauge("teahouse_backlog_limit_bytes", "Bytes that may wait for slow clients together, --backlog.", func(a *app) float64 { return float64(a.config.Backlog) })
	})
}

// number is 1 for what is so.
func number(so bool) float64 {
	if so {
		return 1
	}
	return 0
}

func registerLog(s *metrics.Set[chat.Stats]) {
	s.Counter("teahouse_messages_total", "Messages stored.", func(c chat.Stats) float64 { return float64(c.Posts) })
	s.Counter("teahouse_duplicates_total", "Posts whose nonce was stored before.", func(c chat.Stats) float64 { return float64(c.Duplicates) })
	s.Counter("teahouse_refused_total", "Posts refused by a rule, a rate or a full queue.", func(c chat.Stats) float64 { return float64(c.Refused) })
	s.Counter("teahouse_commit_failures_total", "Commits that failed.", func(c chat.Stats) float64 { return float64(c.Failures) })
	s.Counter("teahouse_panics_total", "Panics of what is called when a message is stored; each is a mistake of the program.", func(c chat.Stats) float64 { return float64(c.Panics) })
	s.Gauge("teahouse_queue_messages", "Messages waiting to be stored.", func(c chat.Stats) float64 { return float64(c.Queued) })
	s.Gauge("teahouse_store_failing", "1 while the newest commit has failed: nothing is acknowledged, and /readyz is 503.", func(c chat.Stats) float64 { return number(c.Failing) })
}

func registerStore(s *metrics.Set[sqlstore.Stats]) {
	s.Counter("teahouse_store_reconnects_total", "Writing connections made anew after a failure.", func(c sqlstore.Stats) float64 { return float64(c.Renewed) })
	s.Counter("teahouse_store_retries_total", "Transactions begun again, after a lost connection or since another server was first.", func(c sqlstore.Stats) float64 { return float64(c.Again) })
	s.Counter("teahouse_store_waits_total", "Reads that waited for a connection.", func(c sqlstore.Stats) float64 { return float64(c.Waits) })
	s.Counter("teahouse_store_waited_seconds_total", "Time that reads waited for a connection, together.", func(c sqlstore.Stats) float64 { return c.Waited.Seconds() })
	s.Gauge("teahouse_store_readers", "Open connections for reading.", func(c sqlstore.Stats) float64 { return float64(c.Reading) }, "state", "busy")
	s.Gauge("teahouse_store_readers", "Open connections for reading.", func(c sqlstore.Stats) float64 { return float64(c.Readers - c.Reading) }, "state", "idle")
}

func registerLive(s *metrics.Set[live.Stats]) {
	s.Counter("teahouse_bad_frames_total", "Frames of clients that were refused.", func(c live.Stats) float64 { return float64(c.BadFrames) })
	s.Gauge("teahouse_rooms_active", "Rooms with somebody in them.", func(c live.Stats) float64 { return float64(c.Rooms) })
	s.Gauge("teahouse_sockets", "Open sockets.", func(c live.Stats) float64 { return float64(c.Rich) }, "protocol", "rich")
	s.Gauge("teahouse_sockets", "Open sockets.", func(c live.Stats) float64 { return float64(c.Plain) }, "protocol", "plain")
}

// registerLimits has one series for each rate and each count.
func registerLimits(s *metrics.Set[limit.Stats]) {
	s.Counters("teahouse_limited_total", "Refusals by a limit.", "limit", func(c limit.Stats) map[string]float64 {
		refused := make(map[string]float64)
		for kind, n := range c.RefusedRate {
			refused[strings.ReplaceAll(kind.String(), " ", "_")] = float64(n)
		}
		for kind, n := range c.RefusedCount {
			refused[kind.String()] = float64(n)
		}
		return refused
	})
}
