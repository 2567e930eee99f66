package suite

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/bench/peer"
	"github.com/teahouse-chat/teahouse/internal/load"
)

// Scenario is a piece of work and who does it.
type Scenario struct {
	Name    string // on the command line
	Title   string
	About   string // what is done, in sentences
	Goal    string // what Teahouse is to reach, in a sentence; empty is none
	Plan    load.Plan
	Entries []Entry // ratios are to the first
	Figures []Figure
	Profile bool // also tell where Teahouse's time goes

	// RateOf is the scenario from which the rate comes: a tenth of what the plain
	// loop posts there when saturated. Until it has been measured, and when this
	// is empty, the rate is the plan's.
	RateOf string
}

// Entry is a peer in one of its variations.
type Entry struct {
	Peer  string
	Also  string // what is special, for the report
	Stuck int    // members of each room that do not read by turns

	// Matched gives the limit runs as long as Teahouse's were in this round.
	Matched bool
}

func (e Entry) key() string { return e.Peer + e.Also }

// Figure is one thing to read from a result.
type Figure struct {
	Name   string
	Digits int // after the decimal point
	Ratio  bool
	Of     func(Sample) float64
}

var (
	cpuPerDelivery = Figure{"CPU per delivery, µs", 2, true, func(s Sample) float64 { return s.Result.ServerPerDelivery }}
	perWrite       = Figure{"deliveries per write", 1, false, func(s Sample) float64 { return s.PerWrite }}
	perSecond      = Figure{"deliveries/s", 0, false, func(s Sample) float64 { return s.Result.PerSecond }}
	serverCores    = Figure{"processors", 2, false, func(s Sample) float64 { return s.Result.ServerCores }}
	memory         = Figure{"memory, MB", 1, false, func(s Sample) float64 { return float64(s.Result.ServerRSS) / (1 << 20) }}
	perConnection  = Figure{"memory per connection, KB", 2, true, func(s Sample) float64 { return float64(s.Result.RSSPerConnection) / (1 << 10) }}
	connects       = Figure{"joins/s", 0, false, func(s Sample) float64 { return s.Result.ConnectsPerSecond }}
	perCore        = Figure{"joins per processor second", 0, true, func(s Sample) float64 { return over(1e6, s.Result.ServerPerConnect) }}
	caughtUp       = Figure{"all caught up, s", 2, false, func(s Sample) float64 { return s.Result.CatchUpSeconds }}
	halfCaughtUp   = Figure{"half caught up, s", 2, false, func(s Sample) float64 { return s.Result.CatchUpHalf }}
	p50            = Figure{"p50, ms", 3, true, latency(func(s load.Spread) float64 { return s.P50 })}
	p99            = Figure{"p99, ms", 3, true, latency(func(s load.Spread) float64 { return s.P99 })}
	p99Stuck       = Figure{"p99 with stuck readers, ms", 3, false, func(s Sample) float64 {
		if s.Result.LatencyStuck == nil {
			return 0
		}
		return s.Result.LatencyStuck.P99
	}}
	stuckRatio = Figure{"p99 with to without", 2, false, func(s Sample) float64 { return s.Result.StuckP99 }}
	stalls     = Figure{"times a reader stopped", 0, false, func(s Sample) float64 { return float64(s.Result.Stalls) }}
	cuts       = Figure{"times it was cut", 0, false, func(s Sample) float64 { return float64(s.Result.Cut) }}
)

func latency(of func(load.Spread) float64) func(Sample) float64 {
	return func(s Sample) float64 {
		if s.Result.Latency == nil {
			return 0
		}
		return of(*s.Result.Latency)
	}
}

// over is a/b, and 0 where there is nothing to divide by.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// compared is Teahouse, what the same writes cost, and peers.
func compared(names ...string) []Entry {
	return append([]Entry{
		{Peer: peer.Teahouse},
		{Peer: peer.LimitC, Also: ", runs as long as Teahouse's", Matched: true},
		{Peer: peer.LimitC, Also: ", runs as long as can be"},
	}, entries(names...)...)
}

func entries(names ...string) []Entry {
	var list []Entry
	for _, n := range names {
		list = append(list, Entry{Peer: n})
	}
	return list
}

// Scenarios is all of them, in the order they are run: the ones that others
// take their rate from come first.
func Scenarios() []Scenario {
	return slices.Concat(saturated(), atRate(), connections())
}

// Names of the scenarios that others refer to.
const (
	bigRoom    = "1x1000"
	bigTexts   = "1x1000-1k"
	smallRooms = "100x10"
)

func plan(scenario string, rooms, members int) load.Plan {
	p := load.Default(scenario)
	p.Rooms, p.Members, p.Warm, p.For = rooms, members, 500*time.Millisecond, 2*time.Second
	return p
}

func saturated() []Scenario {
	quick := compared(peer.Toolkit, peer.CentrifugeG, peer.Socketio, peer.Hub, peer.Loop)
	all := slices.Concat(quick, entries(peer.ChannelsA, peer.ChannelsS))
	figures := []Figure{cpuPerDelivery, perWrite, perSecond, serverCores}
	list := []Scenario{
		{
			Name: bigRoom, Title: "One room of 1,000, saturated, 64-byte texts", Plan: plan(load.Fanout, 1, 1000), Entries: all,
			Goal: "at most 1.4 times the limit, 1/4 of Centrifuge, 1/15 of Socket.IO, 1/500 of the original.",
		},
		{Name: bigTexts, Title: "One room of 1,000, saturated, 1 KiB texts", Plan: plan(load.Fanout, 1, 1000), Entries: quick},
		{
			Name: smallRooms, Title: "100 rooms of 10, saturated, 64-byte texts", Plan: plan(load.Fanout, 100, 10), Entries: all,
			Goal: "at most 0.7 of Centrifuge.",
		},
		{
			Name: "1x10000", Title: "One room of 10,000, saturated, 64-byte texts", Plan: plan(load.Fanout, 1, 10_000),
			Entries: compared(peer.Toolkit, peer.CentrifugeG, peer.Socketio, peer.Hub),
			Goal:    "at most 1.3 times the limit.",
		},
	}
	for i := range list {
		s := &list[i]
		s.Figures = figures
		s.Profile = s.Name == bigRoom || s.Name == smallRooms
		if s.Name == bigTexts {
			s.Plan.Size = 1024
		}
		s.About = fmt.Sprintf("One member of each room keeps %d posts in flight.", s.Plan.Window)
	}
	return list
}

func atRate() []Scenario {
	figures := []Figure{p50, p99, cpuPerDelivery}
	pair := entries(peer.Loop, peer.Teahouse, peer.TeahouseRAM, peer.Toolkit)
	const about = "Posts are due by the clock, at a tenth of the rate at which the plain loop is saturated; latency counts from the time a post is due until each member has it. Ratios are to the plain loop."
	const goal = "p50 and p99 at most 1.2 times those of the plain loop."
	list := []Scenario{
		{
			Name: "rate-1x1000", Title: "One room of 1,000, a tenth of saturation", Plan: plan(load.Rate, 1, 1000),
			Entries: pair, RateOf: bigRoom, About: about, Goal: goal,
		},
		{
			Name: "rate-100x10", Title: "100 rooms of 10, a tenth of saturation", Plan: plan(load.Rate, 100, 10),
			Entries: pair, RateOf: smallRooms, About: about, Goal: goal,
		},
		{
			Name: "stuck", Title: "One room of 300, 1 % of the readers stuck, 8,000-byte texts", Plan: plan(load.Rate, 1, 300),
			Entries: []Entry{{Peer: peer.TeahouseRAM, Also: ", 3 do not read", Stuck: 3}, {Peer: peer.Teahouse, Also: ", 3 do not read", Stuck: 3}},
			About: "100 posts a second, 0.8 MB a second to each member. By turns of 2.5 seconds everybody reads, and three do not, in one run on one server, so that what else the machine does meets both alike. " +
				"That is more than the kernel and the server keep for one that does not read: the three are cut, come back, and catch up before the next turn. Latency is that of the other 297, the ratio the median over the pairs of turns; on a disk that others use too, its moods are larger than what is measured.",
			Goal: "p99 of the others changes by at most 10 %, memory stays bounded.",
		},
	}
	for i := range list {
		s := &list[i]
		s.Figures = figures
		s.Plan.For = 4 * time.Second
		switch s.Name {
		case "rate-1x1000":
			s.Plan.Rate = 15
		case "rate-100x10":
			s.Plan.Rate = 1500
		case "stuck":
			s.Plan.Rate, s.Plan.Size, s.Plan.For = 100, load.MaxSize, 20*time.Second
			s.Figures = []Figure{p99, p99Stuck, stuckRatio, stalls, cuts, memory}
		}
	}
	return list
}

func connections() []Scenario {
	idle := []Figure{perConnection, connects}
	list := []Scenario{
		{
			Name: "idle-2000", Title: "2,000 idle members in rooms of 10", Plan: plan(load.Idle, 200, 10), Figures: idle,
			Entries: entries(peer.Teahouse, peer.CentrifugeM, peer.Socketio, peer.Hub, peer.ChannelsA),
			About:   "Growth of the server's resident memory by members that have joined and are silent; what the kernel keeps for a socket is not in it.",
		},
		{
			Name: "idle-19000", Title: "19,000 idle members in rooms of 10", Plan: plan(load.Idle, 1900, 10), Figures: idle,
			Entries: entries(peer.Teahouse, peer.CentrifugeM, peer.Socketio, peer.Hub),
			Goal:    "at most 6 KB, and the same as with 2,000.",
		},
		{
			Name: "connect", Title: "Connect storm", Plan: plan(load.Connect, 100, 10), Figures: []Figure{perCore, connects},
			Entries: entries(peer.Teahouse, peer.CentrifugeM, peer.Socketio, peer.Hub),
			About:   "Handshake, hello, join, gone, again and again; ratios below 1 are slower servers.",
			Goal:    "at least 5,000 per second and processor.",
		},
		{
			Name: "reconnect", Title: "10,000 dropped at once, each missing 20 messages", Plan: plan(load.Reconnect, 100, 100),
			Entries: entries(peer.Teahouse), Figures: []Figure{caughtUp, halfCaughtUp, connects},
			About: "Only Teahouse keeps messages for those who are away, so it is alone here. Everybody must end with every message once, in order.",
			Goal:  "all caught up within 10 s.",
		},
	}
	for i := range list {
		list[i].Plan.For = 2 * time.Second
		if list[i].Plan.Scenario == load.Idle {
			list[i].Plan.For = 10 * time.Second
		}
	}
	return list
}

// Choose keeps the scenarios and peers that are named; an empty list keeps all.
func Choose(scenarios, peers []string) ([]Scenario, error) {
	for _, name := range peers {
		if _, err := peer.Find(name); err != nil {
			return nil, err
		}
	}
	var names []string
	var chosen []Scenario
	for _, s := range Scenarios() {
		names = append(names, s.Name)
		if len(scenarios) > 0 && !slices.Contains(scenarios, s.Name) {
			continue
		}
		s.Entries = slices.DeleteFunc(slices.Clone(s.Entries), func(e Entry) bool {
			return len(peers) > 0 && !slices.Contains(peers, e.Peer)
		})
		if len(s.Entries) > 0 {
			chosen = append(chosen, s)
		}
	}
	for _, name := range scenarios {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("there is no scenario %q: say some of %s", name, strings.Join(names, ","))
		}
	}
	return chosen, nil
}

// shrink makes the scenario a tenth of its size, for a quick look.
func (s Scenario) shrink() Scenario {
	if s.Plan.Members >= 100 {
		s.Plan.Members /= 10
	} else {
		s.Plan.Rooms = max(s.Plan.Rooms/10, 1)
	}
	s.Entries = slices.Clone(s.Entries)
	for i := range s.Entries {
		if n := s.Entries[i].Stuck; n > 0 {
			s.Entries[i].Stuck = max(n/10, 1)
		}
	}
	return s
}
