package redis

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// arrives sends to a group until it gets there, since the sender may have to
// learn that its connection is lost.
func arrives(t *testing.T, from, to *process, group, message string) {
	t.Helper()
	parts.Eventually(t, message+" arrives", func() bool {
		_ = from.send(group, message)
		for _, d := range to.deliveries() {
			if d == said(group, message) {
				return true
			}
		}
		return false
	})
}

func TestMembershipsOutliveARedisThatForgetsEverything(t *testing.T) {
	for name, forget := range map[string]func(s *parts.RedisServer){
		"restarted":               func(s *parts.RedisServer) { s.Restart() },
		"killed and started":      func(s *parts.RedisServer) { s.Kill(); s.Restart() },
		"flushed":                 func(s *parts.RedisServer) { s.Must("FLUSHALL") },
		"flushed by Django":       func(s *parts.RedisServer) { s.Must("EVAL", flush, "0") },
		"robbed of one key":       func(s *parts.RedisServer) { s.Must("DEL", "asgi:group:g") },
		"trimmed by Django":       func(s *parts.RedisServer) { s.Must("ZREMRANGEBYSCORE", "asgi:group:g", "0", "+inf") },
		"with broken connections": func(s *parts.RedisServer) { s.Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
	} {
		t.Run(name, func(t *testing.T) {
			server := parts.Redis(t, parts.RedisOptions{})
			a, _ := coreProcess(t, at(server), nil)
			b, c := coreProcess(t, at(server), nil)
			b.follow("g", "h")
			arrives(t, a, b, "g", "before")
			forget(server)
			parts.Eventually(t, "a gap is told", func() bool { return len(b.hasGaps()) > 0 })
			arrives(t, a, b, "g", "after")
			arrives(t, a, b, "h", "after")
			parts.Eventually(t, "the host is connected", func() bool { return c.States()[0].Connected })
		})
	}
}

// flush is the script of channels_redis.
const flush = `
local keys = redis.call('keys', 'asgi*')
for i = 1, #keys, 5000 do redis.call('del', unpack(keys, i, math.min(i + 4999, #keys))) end`

func TestWhatIsFollowedDuringAnOutageIsFollowedAfterIt(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{Save: true})
	a, _ := coreProcess(t, at(server), nil)
	b, c := coreProcess(t, at(server), nil)
	b.follow("kept", "left")
	arrives(t, a, b, "left", "before")
	server.Kill()
	parts.Eventually(t, "the outage shows", func() bool { return !c.States()[0].Connected })
	b.follow("new")
	if err := c.Unfollow(t.Context(), []string{"left"}); err != nil {
		t.Fatal(err)
	}
	if err := b.send("kept", "lost"); err == nil {
		t.Error("an event was sent while Redis was away")
	}
	server.Restart()
	b.awaitsGap("all")
	arrives(t, a, b, "new", "after")
	arrives(t, a, b, "kept", "after")
	if got := server.Must("EXISTS", "asgi:group:left"); got != "0" {
		t.Errorf("the group left during the outage has members: %s", server.Must("ZRANGE", "asgi:group:left", "0", "-1"))
	}
}

func TestABrokerStartsBeforeItsRedis(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	server.Kill()
	b, _ := coreProcess(t, at(server), nil)
	b.follow("g")
	server.Restart()
	a, _ := coreProcess(t, at(server), nil)
	b.awaitsGap("all")
	arrives(t, a, b, "g", "after")
}

func TestOfSeveralHostsOneThatIsAwayStopsOnlyItsGroups(t *testing.T) {
	one, two := parts.Redis(t, parts.RedisOptions{}), parts.Redis(t, parts.RedisOptions{})
	hosts := append(at(one), at(two)...)
	a, _ := coreProcess(t, hosts, nil)
	b, c := coreProcess(t, hosts, nil)
	home := shard(b.channel(""), 2) // where b's entries are
	here, there := groupOn(home, 2), groupOn(1-home, 2)
	b.follow(here, there)
	arrives(t, a, b, there, "before")
	other := []*parts.RedisServer{one, two}[1-home]
	other.Kill()
	parts.Eventually(t, "the outage shows", func() bool { return !c.States()[1-home].Connected })
	arrives(t, a, b, here, "meanwhile")
	if err := a.send(there, "lost"); err == nil {
		t.Error("an event went to a group whose host is away")
	}
	other.Restart()
	b.awaitsGap(there)
	arrives(t, a, b, there, "after")
	for _, gap := range b.hasGaps() {
		if gap != there {
			t.Errorf("a gap of %q was told, whose host never was away", gap)
		}
	}
}

// groupOn is the name of a group on one of n hosts.
func groupOn(host, n int) string {
	for i := 0; ; i++ {
		if name := fmt.Sprint("room-", i); shard(name, n) == host {
			return name
		}
	}
}

func TestALivingMemberOutlivesTheExpiryOfItsGroup(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	short := func(n *channels.Node) { n.GroupExpiry = 2 * time.Second }
	a, _ := coreProcess(t, at(server), short)
	b, _ := coreProcess(t, at(server), short)
	b.follow("g")
	first := score(t, server, "asgi:group:g", b.channel("g.g"))
	parts.Eventually(t, "the membership is renewed twice", func() bool {
		return score(t, server, "asgi:group:g", b.channel("g.g")) > first+2.5
	})
	if err := a.send("g", "still there"); err != nil {
		t.Fatal(err)
	}
	b.awaits(said("g", "still there"))
	if gaps := b.hasGaps(); len(gaps) > 0 {
		t.Errorf("gaps were told: %q", gaps)
	}
}

// score is that of a member, 0 for what is none.
func score(t *testing.T, server *parts.RedisServer, key, member string) float64 {
	t.Helper()
	answer := server.Must("ZSCORE", key, member)
	if answer == "" {
		return 0
	}
	s, err := strconv.ParseFloat(answer, 64)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestHelperProcess is a process of its own, when TestAProcessThatIsKilled runs
// it as one.
func TestHelperProcess(t *testing.T) {
	address := os.Getenv("TEAHOUSE_REDIS_HELPER")
	if address == "" {
		return // run by the test proper
	}
	p, _ := coreProcess(t, []string{"redis://" + address}, nil)
	p.follow("g", "h")
	fmt.Println("ready", p.id)
	select {} // until it is killed
}

func TestAProcessThatIsKilledLeavesItsGroupsWithinItsLease(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	helper := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	helper.Env = append(os.Environ(), "TEAHOUSE_REDIS_HELPER="+server.Address)
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	var id string
	if _, err := fmt.Fscanf(out, "ready %s\n", &id); err != nil {
		t.Fatal(err)
	}
	living, _ := coreProcess(t, at(server), nil)
	living.follow("g")
	members := func(group string) string { return server.Must("ZRANGE", "asgi:group:"+group, "0", "-1") }
	if !strings.Contains(members("g"), id) || !strings.Contains(members("h"), id) {
		t.Fatalf("members: %s and %s, want also %s", members("g"), members("h"), id)
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if err := helper.Wait(); !errors.As(err, &ended) {
		t.Fatalf("the process ended by %v", err)
	}
	parts.Eventually(t, "the dead process is no member", func() bool { return !strings.Contains(members("g")+members("h"), id) })
	if got, want := members("g"), living.channel("g.g"); got != want {
		t.Errorf("members: %s, want %s", got, want)
	}
	if got := server.Must("EXISTS", "teahouse:asgi:groups:"+id); got != "0" {
		t.Error("the list of the dead process's groups is still there")
	}
}

func TestAProcessTakenForDeadComesBack(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	a, _ := coreProcess(t, at(server), nil)
	b, _ := coreProcess(t, at(server), nil)
	b.follow("g")
	server.Must("ZADD", "teahouse:asgi:processes", "1", b.id)
	parts.Eventually(t, "a gap is told, or it was quicker than the other", func() bool {
		return len(b.hasGaps()) > 0 || score(t, server, "teahouse:asgi:processes", b.id) > 1
	})
	arrives(t, a, b, "g", "after")
}

func TestCloseLeavesNothingBehind(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, c := coreProcess(t, at(server), nil)
	p.follow("g", "h")
	raw(t, p, c, "an entry nobody will read", seconds(time.Now()))
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got := server.Must("KEYS", "*"); got != "" {
		t.Errorf("left: %s", got)
	}
	if err := p.send("g", "too late"); !errors.Is(err, errClosed) {
		t.Errorf("Publish after Close: %v", err)
	}
	if err := c.Follow(t.Context(), []string{"g"}); !errors.Is(err, errClosed) {
		t.Errorf("Follow after Close: %v", err)
	}
	if _, err := c.Receive(t.Context(), "work"); !errors.Is(err, errClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
}

func TestAServerThatAnswersNothingBoundsEveryCall(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and is silent
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, _ := coreProcess(t, []string{"redis://" + l.Addr().String()}, nil)
	p.follow("g")
	if err := p.send("g", "x"); err == nil {
		t.Error("an event was sent to a silent server")
	}
}
