package app

import (
	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/bridge"
	"github.com/teahouse-chat/teahouse/internal/live"
	"github.com/teahouse-chat/teahouse/internal/metrics"
)

// registerLayer makes visible what fan-out does, and every loss by its cause.
func registerLayer(s *metrics.Set[channels.Stats]) {
	s.Counter("teahouse_delivered_total", "Events given to a member's socket.", func(c channels.Stats) float64 { return float64(c.Delivered) })
	s.Counter("teahouse_writes_total", "Writes to members' sockets, each of one run of frames.", func(c channels.Stats) float64 { return float64(c.Writes) })
	s.Counter("teahouse_rounds_total", "Rounds of fan-out.", func(c channels.Stats) float64 { return float64(c.Rounds) })
	s.Counter("teahouse_shed_total", "Sockets cut because too much waited for slow clients together.", func(c channels.Stats) float64 { return float64(c.Shed) })
	s.Gauge("teahouse_backlog_bytes", "Bytes waiting for slow clients.", func(c channels.Stats) float64 { return float64(c.Backlog) })
	s.Counters("teahouse_lost_total", "Events that did not reach a receiver; clients get them by resuming.", "cause", func(c channels.Stats) map[string]float64 {
		return map[string]float64{
			"full": float64(c.Full), "expired": float64(c.Expired), "unhandled": float64(c.Unhandled),
			"unrendered": float64(c.Unrendered), "slow": float64(c.Slow), "illegal": float64(c.Illegal),
		}
	})
}

// registerGaps is what the layer has lost between processes.
func registerGaps(s *metrics.Set[channels.Stats]) {
	s.Counter("teahouse_layer_gaps_total", "Times that an unknown number of events of other processes was lost on the way here.", func(c channels.Stats) float64 { return float64(c.Gaps) })
	s.Counters("teahouse_layer_received_lost_total", "Events of other processes that were dropped by the broker.", "cause", func(c channels.Stats) map[string]float64 {
		lost := map[string]float64{"full": 0, "expired": 0, "malformed": 0} // there before the first loss
		for cause, n := range c.Dropped {
			lost[cause] = float64(n)
		}
		return lost
	})
}

// registerRelay is what goes to other processes, and comes from them.
func registerRelay(s *metrics.Set[live.RelayStats]) {
	s.Counter("teahouse_layer_sent_total", "Events given to the broker.", func(c live.RelayStats) float64 { return float64(c.Sent) })
	s.Counter("teahouse_layer_received_total", "Events that came from other processes.", func(c live.RelayStats) float64 { return float64(c.Received) })
	s.Gauge("teahouse_layer_waiting", "Events that wait for the broker to take them.", func(c live.RelayStats) float64 { return float64(c.Waiting) })
	s.Counters("teahouse_layer_unsent_total", "Events that did not reach the broker; people on this server got them.", "cause", func(c live.RelayStats) map[string]float64 {
		return map[string]float64{"full": float64(c.Dropped), "failed": float64(c.Failed)}
	})
}

func registerBroker(s *metrics.Set[[]brokerState]) {
	s.Gauges("teahouse_layer_connected", "1 while events arrive from a server of the layer.", "host", func(all []brokerState) map[string]float64 {
		connected := make(map[string]float64)
		for _, b := range all {
			connected[b.Host] = number(b.Connected)
		}
		return connected
	})
}

// registerTails makes visible how rooms get what other servers store, or do not.
func registerTails(s *metrics.Set[live.Stats]) {
	s.Gauge("teahouse_tail_rooms", "Rooms in use whose log other servers write too.", func(c live.Stats) float64 { return float64(c.Tails.Rooms) })
	s.Gauge("teahouse_tail_behind_rooms", "Rooms whose members lack a message that is known to exist.", func(c live.Stats) float64 { return float64(c.Tails.Behind) })
	s.Gauge("teahouse_tail_behind_seconds", "How long the worst of them has been behind.", func(c live.Stats) float64 { return c.Tails.Age.Seconds() })
	s.Gauge("teahouse_tail_held_bytes", "Bytes of messages that wait for an older one.", func(c live.Stats) float64 { return float64(c.Tails.Held) })
	s.Gauge("teahouse_tail_failing", "1 while the positions of rooms, or the log of one that is behind, could not be read the last time.", func(c live.Stats) float64 { return number(c.Tails.Failing) })
	s.Counter("teahouse_tail_holes_total", "Times that a room fell behind.", func(c live.Stats) float64 { return float64(c.Tails.Holes) })
	s.Counter("teahouse_tail_closed_total", "Times that what a room lacked came by itself, late.", func(c live.Stats) float64 { return float64(c.Tails.Closed) })
	s.Counter("teahouse_tail_reads_total", "Pages of the log read for rooms that were behind.", func(c live.Stats) float64 { return float64(c.Tails.Reads) })
	s.Counter("teahouse_tail_healed_total", "Messages that members got from the log, since the layer did not bring them.", func(c live.Stats) float64 { return float64(c.Tails.Healed) })
	s.Counter("teahouse_tail_repeated_total", "Messages that came again, and were not shown again.", func(c live.Stats) float64 { return float64(c.Tails.Repeated) })
	s.Counter("teahouse_tail_dropped_total", "Messages that came too early to be kept, and were read later.", func(c live.Stats) float64 { return float64(c.Tails.Dropped) })
	s.Counter("teahouse_tail_refused_total", "Messages of the layer that are broken, forged or not in the log.", func(c live.Stats) float64 { return float64(c.Tails.Refused) })
	s.Counter("teahouse_tail_checks_total", "Comparisons of all rooms in use with the log.", func(c live.Stats) float64 { return float64(c.Tails.Checks) })
	s.Counter("teahouse_tail_failures_total", "Reads and comparisons that failed.", func(c live.Stats) float64 { return float64(c.Tails.Failures) })
}

// registerRolls makes visible how servers tell each other who is here.
func registerRolls(s *metrics.Set[live.Stats]) {
	s.Gauge("teahouse_presence_servers", "Other servers of the same log that are heard.", func(c live.Stats) float64 { return float64(c.Rolls.Nodes) })
	s.Gauge("teahouse_presence_people", "People on other servers that are known, once for each room.", func(c live.Stats) float64 { return float64(c.Rolls.Listed) })
	s.Counter("teahouse_presence_sent_total", "Digests of who is here sent to other servers.", func(c live.Stats) float64 { return float64(c.Rolls.Sent) })
	s.Counter("teahouse_presence_heard_total", "Digests of other servers that brought something new.", func(c live.Stats) float64 { return float64(c.Rolls.Heard) })
	s.Counter("teahouse_presence_refused_total", "Digests that are broken, too large, forged or old.", func(c live.Stats) float64 { return float64(c.Rolls.Refused) })
	s.Counter("teahouse_presence_forgotten_total", "Digests dropped because their server fell silent.", func(c live.Stats) float64 { return float64(c.Rolls.Forgotten) })
}

// registerBridge makes visible what goes between Django and the log.
func registerBridge(s *metrics.Set[bridge.Stats]) {
	s.Counters("teahouse_bridge_messages_total", "Messages sent to Django (out), and of Django stored (in).", "direction", func(c bridge.Stats) map[string]float64 {
		return map[string]float64{"out": float64(c.Out), "in": float64(c.In)}
	})
	s.Counter("teahouse_bridge_unsent_total", "Messages that were not sent to Django.", func(c bridge.Stats) float64 { return float64(c.OutDropped) })
	s.Counters("teahouse_bridge_refused_total", "Messages of Django that were not stored.", "cause", func(c bridge.Stats) map[string]float64 {
		return map[string]float64{
			"rule": float64(c.Refused), "rate": float64(c.Limited), "full": float64(c.InDropped), "store": float64(c.Failed), "late": float64(c.Late),
		}
	})
	s.Counter("teahouse_bridge_gaps_total", "Times that an unknown number of messages of Django was lost on the way here.", func(c bridge.Stats) float64 { return float64(c.Missed) })
	s.Gauge("teahouse_bridge_rooms", "Rooms in which this server listens to Django.", func(c bridge.Stats) float64 { return float64(c.Rooms) })
	s.Counter("teahouse_bridge_rooms_refused_total", "Times that a room was not followed because there were too many.", func(c bridge.Stats) float64 { return float64(c.Beyond) })
	s.Gauge("teahouse_bridge_leading", "1 on the server that listens to Django.", func(c bridge.Stats) float64 { return number(c.Leading) })
}
