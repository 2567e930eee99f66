package load

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a run measured. Where a figure was not measured it is 0. With
// a PID of 0 everything about the server is.
type Result struct {
	Scenario    string `json:"scenario"`
	Protocol    string `json:"protocol"`
	Rooms       int    `json:"rooms"`
	Members     int    `json:"members"`
	Connections int    `json:"connections"`
	Size        int    `json:"size"`

	// Valid is whether the figures may be believed; Problems says why not, in
	// sentences. Notes are what one should know all the same.
	Valid    bool     `json:"valid"`
	Problems []string `json:"problems,omitempty"`
	Notes    []string `json:"notes,omitempty"`

	Seconds    float64 `json:"seconds"`          // measured time
	Posts      int64   `json:"posts,omitempty"`  // in the whole run
	Deliveries int64   `json:"deliveries"`       // in the measured time
	PerSecond  float64 `json:"deliveries_per_s"` // in the measured time

	ServerCores       float64 `json:"server_cores"`                    // processor time per time
	ServerPerDelivery float64 `json:"server_us_per_delivery"`          // µs of processor time
	ServerPerConnect  float64 `json:"server_us_per_connect"`           // µs of processor time
	ServerRSS         int64   `json:"server_rss_bytes"`                // at the end of the measured time
	RSSPerConnection  int64   `json:"server_rss_per_connection"`       // growth by the members, each
	RSSSteps          []Step  `json:"server_rss_steps,omitempty"`      // the same while members came (Idle)
	OwnCores          float64 `json:"own_cores"`                       // the generator's processor time per time
	OwnBusiest        float64 `json:"own_busiest_core"`                // the same of the thread that used most: a room is with one thread
	OtherCores        float64 `json:"other_cores"`                     // of all other programs on this machine; with a PID of 0 the server is one
	MayUse            int     `json:"own_cores_allowed"`               //
	ConnectsPerSecond float64 `json:"connects_per_s,omitempty"`        // handshake, hello and join
	CatchUpSeconds    float64 `json:"catch_up_seconds,omitempty"`      // until the last member had all (Reconnect)
	CatchUpHalf       float64 `json:"catch_up_half_seconds,omitempty"` // until half of them had
	Latency           *Spread `json:"latency_ms,omitempty"`            // of a delivery
	Late              *Spread `json:"late_ms,omitempty"`               // of posts against the time they were due (Rate)

	// Of Rate with Stuck: Latency is that of the turns in which everybody read.
	LatencyStuck *Spread `json:"latency_stuck_ms,omitempty"` // of the others while the stuck members did not read
	StuckP99     float64 `json:"stuck_p99_ratio,omitempty"`  // p99 with stuck members to that without, median of the pairs of turns
	Stalls       int     `json:"stalls,omitempty"`           // how many times a member stopped reading
	Cut          int     `json:"cut,omitempty"`              // how many times the server cut one for that

	Estimate *Estimate `json:"estimate,omitempty"` // of Capacity
	Parts    []Result  `json:"parts,omitempty"`    // of Capacity
}

// Step is the server's memory at one number of connections.
type Step struct {
	Connections   int   `json:"connections"`
	PerConnection int64 `json:"rss_per_connection"`
}

// Spread is a distribution in milliseconds.
type Spread struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// newHistogram holds nanoseconds from 1 µs to 2 minutes with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(2*time.Minute), 3)
}

func spreadOf(h *hdrhistogram.Histogram) *Spread {
	if h.TotalCount() == 0 {
		return nil
	}
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / float64(time.Millisecond) }
	return &Spread{P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / float64(time.Millisecond)}
}

// What the generator may use and how late it may be before a result is no
// result: it would be measuring itself.
const (
	busyShare  = 0.90 // of the processors it may use
	lateShare  = 0.20 // of the latency, at the 99th percentile
	otherNoted = 0.3  // processors that others use
	lateFloor  = 1.0  // ms, below which it does not matter
)

// judge decides whether the result is valid.
func (r *Result) judge(shared bool) {
	if used := r.OwnCores / float64(r.MayUse); used > busyShare {
		r.problem("the generator itself was the bottleneck: it used %.0f %% of its %d processors", used*100, r.MayUse)
	} else if r.OwnBusiest > busyShare {
		// Whoever has few rooms, or unlike numbers of them, has threads with nothing to do.
		r.problem("the generator itself was the bottleneck: one of its threads used %.0f %% of a processor", r.OwnBusiest*100)
	}
	if r.Late != nil && r.Latency != nil && r.Late.P99 > max(lateFloor, lateShare*r.Latency.P99) {
		r.problem("the generator sent posts late: by %.1f ms at the 99th percentile, while a delivery took %.1f ms", r.Late.P99, r.Latency.P99)
	}
	if r.OtherCores > otherNoted && r.ServerRSS > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("other programs used %.1f processors meanwhile: measure again when the machine is quiet", r.OtherCores))
	}
	if own := r.OwnCores * r.Seconds * 1e6; r.Scenario == Rate && own > r.ServerPerDelivery*float64(r.Deliveries) && r.ServerPerDelivery > 0 {
		// It is idle most of the time, and yet behind while a post goes to a large room.
		r.Notes = append(r.Notes, "the generator took longer to read a delivery than the server to make it: a part of the latency is its own, the more the larger the rooms")
	}
	if shared && r.Scenario == Fanout {
		r.Notes = append(r.Notes, "server and generator shared the processors, so the server alone delivers more per second; its cost per delivery holds")
	}
	r.Valid = len(r.Problems) == 0
}

func (r *Result) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}
