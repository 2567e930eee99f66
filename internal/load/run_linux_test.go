package load

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/internal/app"
	"github.com/teahouse-chat/teahouse/internal/config"
)

// teahouse starts a server in this process until the end of the test.
func teahouse(t *testing.T) netip.AddrPort {
	t.Helper()
	c := config.Default()
	c.Listen, c.Data, c.Limits = "127.0.0.1:0", t.TempDir(), false
	ctx, stop := context.WithCancel(t.Context())
	says, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, c, out, io.Discard); _ = out.Close() }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	line := make([]byte, 200)
	n, err := says.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, says) }()
	found := regexp.MustCompile(`localhost:(\d+)`).FindSubmatch(line[:n])
	if found == nil {
		t.Fatalf("the server says %q", line[:n])
	}
	return netip.MustParseAddrPort("127.0.0.1:" + string(found[1]))
}

// small is a plan that takes a moment.
func small(scenario string, at netip.AddrPort) Plan {
	p := Default(scenario)
	p.Address, p.PID = at, os.Getpid()
	p.Rooms, p.Members, p.Posters, p.Rate, p.Window, p.Missed = 3, 5, 2, 200, 8, 20
	p.Warm, p.For, p.Slack, p.Shared = 20*time.Millisecond, 200*time.Millisecond, 10*time.Second, true
	return p
}

// lost is a result in which something was wrong with the deliveries. That the
// generator was busy or late does not count: tests share the machine.
func lost(r Result) string {
	for _, p := range r.Problems {
		if !strings.Contains(p, "generator") {
			return p
		}
	}
	return ""
}

func TestEveryScenarioRunsAgainstTeahouse(t *testing.T) {
	at := teahouse(t)
	for _, s := range Scenarios() {
		for _, protocol := range []Protocol{Rich{}, Plain{}} {
			if s[0] == Reconnect && protocol.JoinsSilently() {
				continue // it has no positions
			}
			t.Run(s[0]+" "+protocol.Name(), func(t *testing.T) {
				p := small(s[0], at)
				p.Protocol = protocol
				told := 0
				p.Progress = func(Progress) { told++ }
				r, err := Run(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				if why := lost(r); why != "" {
					t.Errorf("invalid: %s", why)
				}
				checkFigures(t, r)
				if told == 0 {
					t.Error("nobody was told of the progress")
				}
			})
		}
	}
}

// checkFigures checks what can be known without a clock.
func checkFigures(t *testing.T, r Result) {
	t.Helper()
	switch r.Scenario {
	case Capacity:
		if len(r.Parts) != 2 || r.Estimate == nil {
			t.Errorf("%d parts, estimate %v", len(r.Parts), r.Estimate)
		}
	case Fanout, Rate:
		if r.Posts == 0 || r.Deliveries == 0 || r.Latency == nil || r.ServerRSS == 0 {
			t.Errorf("nothing was measured: %+v", r)
		}
	case Idle:
		if len(r.RSSSteps) == 0 || r.RSSSteps[len(r.RSSSteps)-1].Connections != 15 {
			t.Errorf("memory at %v", r.RSSSteps)
		}
	case Connect:
		if r.ConnectsPerSecond == 0 {
			t.Error("nobody connected")
		}
	case Reconnect:
		// One message before, 20 missed: each to five members and the speaker.
		if r.Posts != 3*21 || r.CatchUpSeconds == 0 || r.CatchUpHalf > r.CatchUpSeconds {
			t.Errorf("%d posts, caught up after %v and %v s", r.Posts, r.CatchUpHalf, r.CatchUpSeconds)
		}
	}
}

func TestMembersThatDoNotReadAreNotWaitedFor(t *testing.T) {
	p := small(Fanout, teahouse(t))
	p.Stuck = 1
	r, err := Run(t.Context(), p)
	if err != nil || lost(r) != "" {
		t.Errorf("%v, %s", err, lost(r))
	}
}

func TestARunEndsWithItsContext(t *testing.T) {
	p := small(Idle, teahouse(t))
	p.For = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	p.Progress = func(Progress) { cancel() }
	if _, err := Run(ctx, p); err == nil {
		t.Error("it went on")
	}
}

func TestNobodyToConnectToIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), small(Fanout, at))
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestParseStat(t *testing.T) {
	rest := "S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 5 0 100 1000 7 x"
	u, err := parseStat([]byte("42 (a) b) " + rest))
	if err != nil || u.cpu != 2*time.Second || u.rss != 7*int64(os.Getpagesize()) {
		t.Errorf("got %+v, %v", u, err)
	}
	for _, bad := range []string{"", "42 (a) S 1", "42 a " + rest, "42 (a) " + strings.Replace(rest, "150", "x", 1)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if u, err := usageOf(os.Getpid()); err != nil || u.rss == 0 {
		t.Errorf("this process uses %+v, %v", u, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 5 0 100 1000 7 x"))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = parseStat(data) })
}
