package load

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"
)

// Scenarios of a Plan.
const (
	Capacity  = "capacity"  // connect, hold, a fixed rate, saturation: how many people a machine holds
	Fanout    = "fanout"    // saturation: Window posts in flight per poster
	Rate      = "rate"      // open loop at Rate posts per second
	Idle      = "idle"      // hold the members and look at the server's memory
	Connect   = "connect"   // handshake, hello, join, hang up, again and again
	Reconnect = "reconnect" // drop all at once, Missed messages each, all come back
)

// Scenarios in the order of the help, with what each measures.
func Scenarios() [][2]string {
	return [][2]string{
		{Capacity, "all of it in half a minute: how many people will this machine hold?"},
		{Fanout, "deliveries per second with the server saturated"},
		{Rate, "latency at a fixed rate of posts, from the time each is due"},
		{Idle, "memory per connection that has joined and is silent"},
		{Connect, "connections per second: handshake, hello, join, gone"},
		{Reconnect, "everybody dropped at once, each missing messages, until all have caught up"},
	}
}

// Plan is one measurement. Counts are bounded by Check.
type Plan struct {
	Scenario string
	Protocol Protocol
	Address  netip.AddrPort // of the server
	Host     string         // Host header; empty is Address
	PID      int            // of the server, on this machine; 0 does not look at it

	Rooms   int           // rooms at the same time
	Members int           // connections in each
	Posters int           // members of each room that post
	Size    int           // bytes of a text, at least MinSize
	Window  int           // posts in flight per poster (Fanout)
	Rate    int           // posts per second, all rooms together (Rate)
	Stuck   int           // members of each room that do not read by turns (Rate), or never once they have joined (Fanout)
	Missed  int           // messages posted in each room while all are away (Reconnect)
	Warm    time.Duration // before measuring starts
	For     time.Duration // measured time
	Slack   time.Duration // how long to wait for what is due before it counts as lost
	Cores   int           // processors the generator may use; one loop each
	Shared  bool          // the server uses the same processors

	// Progress is told what is going on, about ten times a second; nil is nobody.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Doing      string // "connecting", "posting", ...
	Joined     int    // members
	Deliveries int64
	Elapsed    time.Duration
}

// Bounds of a Plan.
const (
	MinSize        = textHead
	MaxSize        = 8000 // the longest text a Teahouse takes
	MaxConnections = 200_000
	MaxRate        = 1_000_000
	MaxWindow      = 10_000
	MaxFor         = time.Hour
	spareFiles     = 64 // descriptors a process needs besides its connections
)

// Default is a plan for the scenario with fitting sizes, without a server.
func Default(scenario string) Plan {
	p := Plan{
		Scenario: scenario, Protocol: Rich{}, Rooms: 1, Members: 1000, Posters: 1, Size: 64, Window: 64, Rate: 20, Missed: 20,
		Warm: time.Second, For: 10 * time.Second, Slack: 30 * time.Second, Cores: runtime.NumCPU(),
	}
	switch scenario {
	case Capacity:
		p.Rooms, p.Members, p.Rate, p.For = 40, 50, 200, 8*time.Second
	case Idle:
		p.Rooms, p.Members = 500, 10
	case Connect:
		p.Rooms, p.Members = 100, 10
	case Reconnect:
		p.Rooms, p.Members = 100, 50
	}
	return p
}

// Connections is how many the plan holds at the most.
func (p Plan) Connections() int {
	n := p.Rooms * p.Members
	if p.Scenario == Reconnect {
		n += p.Rooms // somebody must post what the others miss
	}
	return n
}

// Check says what is wrong with the plan in one sentence, or nil. files is how
// many descriptors this process may open.
func (p Plan) Check(files int) error {
	for _, c := range []struct {
		name         string
		value, least int
		most         int
	}{
		{"rooms", p.Rooms, 1, MaxConnections},
		{"members", p.Members, 1, MaxConnections},
		{"posters", p.Posters, 1, p.Members},
		{"size", p.Size, MinSize, MaxSize},
		{"window", p.Window, 1, MaxWindow},
		{"rate", p.Rate, 1, MaxRate},
		{"missed", p.Missed, 1, 500},
		{"stuck", p.Stuck, 0, p.Members - p.Posters},
		{"cores", p.Cores, 1, runtime.NumCPU()},
	} {
		if c.value < c.least || c.value > c.most {
			return fmt.Errorf("%s is %d: say a number from %d to %d", c.name, c.value, c.least, c.most)
		}
	}
	known := false
	for _, s := range Scenarios() {
		known = known || s[0] == p.Scenario
	}
	switch n := p.Connections(); {
	case !known:
		return fmt.Errorf("there is no scenario %q", p.Scenario)
	case p.Protocol == nil:
		return errors.New("the plan has no protocol")
	case p.For <= 0 || p.For > MaxFor:
		return fmt.Errorf("the duration is %v: say more than 0s and at most %v", p.For, MaxFor)
	case n > MaxConnections:
		return fmt.Errorf("%d connections are more than %d", n, MaxConnections)
	case n > files-spareFiles:
		return fmt.Errorf("%d connections are more than the %d files this process may open: raise it with ulimit -n, or take fewer", n, files)
	}
	return nil
}
