package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestAFullProcessRefusesAndTheOthersAreServed(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	b, _ := coreProcess(t, at(server), nil)
	b.follow("g")
	a, c := coreProcess(t, at(server), func(n *channels.Node) {
		n.Capacity = func(channel string) int {
			if channel == djangoChannel {
				return 3
			}
			return 100
		}
	})
	if err := c.GroupAdd(t.Context(), "g", djangoChannel); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 5 {
		text := fmt.Sprint(i)
		if err := c.Publish(t.Context(), channels.Delivery{Group: "g", Event: say(text)}); err != nil {
			t.Fatalf("a group with one full member: %v", err)
		}
		want = append(want, said("g", text))
	}
	b.awaits(want...)
	if blobs, _ := entriesIn(t, server, djangoKey); len(blobs) != 3 || a.losses(dropFull) != 2 {
		t.Errorf("%d entries were written and %d refused, want 3 and 2", len(blobs), a.losses(dropFull))
	}
	err := c.Publish(t.Context(), channels.Delivery{Channels: []string{djangoChannel}, Event: say("direct")})
	if !errors.Is(err, channels.ErrChannelFull) {
		t.Errorf("a send to the full channel: %v", err)
	}
}

func TestRoomForOneEntryMakesNoGapOfEachEvent(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	one := func(n *channels.Node) { n.Capacity = func(string) int { return 1 } }
	a, _ := coreProcess(t, at(server), nil)
	b, _ := coreProcess(t, at(server), one)
	b.follow("g")
	var want []string
	for i := range 3 {
		text, looks := fmt.Sprint(i), server.Calls()["zpopmin"]
		if err := a.send("g", text); err != nil {
			t.Fatal(err)
		}
		want = append(want, said("g", text))
		b.awaits(want...)
		parts.Eventually(t, "it was looked for more", func() bool { return server.Calls()["zpopmin"] > looks })
	}
	if gaps := b.hasGaps(); len(gaps) > 0 {
		t.Errorf("told of gaps: %v", gaps)
	}
}

func TestWhatIsTooOldIsDroppedAndTheRestKeepsItsOrder(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, c := coreProcess(t, at(server), func(n *channels.Node) { n.Expiry = 3 * time.Second })
	p.follow("g")
	write := func(text string, score float64) {
		blob, err := c.codec.encode(map[string]any{"type": "say", "message": text, keyDest: []any{p.channel("g.g")}})
		if err != nil {
			t.Fatal(err)
		}
		raw(t, p, c, string(blob), score)
	}
	now := seconds(time.Now())
	free := p.hold()
	write("held", now)
	write("2", now-1)
	write("old", now-4)
	write("3", now-0.5)
	free()
	parts.Eventually(t, "the old one is counted", func() bool { return p.losses(dropExpired) == 1 })
	parts.Eventually(t, "the others arrive", func() bool { return len(p.deliveries()) == 3 })
	p.awaitsGap("all")

	// The sender drops what waits too long, of a process that does not read.
	if err := c.servers[0].do(t.Context(), command{"ZADD", djangoKey, formatScore(now - 10), "old", formatScore(now), "new"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), channels.Delivery{Channels: []string{djangoChannel}, Event: say("x")}); err != nil {
		t.Fatal(err)
	}
	if blobs, _ := entriesIn(t, server, djangoKey); len(blobs) != 2 || blobs[0] != "new" {
		t.Errorf("left: %q", blobs)
	}
}

func TestEventsOfConcurrentSendersKeepTheOrderOfPublish(t *testing.T) {
	for _, hosts := range []int{1, 3} {
		t.Run(fmt.Sprint(hosts, " hosts"), func(t *testing.T) {
			server := parts.Redis(t, parts.RedisOptions{})
			var all []string
			for i := range hosts {
				all = append(all, fmt.Sprintf("redis://%s/%d", server.Address, i))
			}
			many := func(n *channels.Node) { n.Capacity = func(string) int { return 1 << 20 } }
			a, _ := coreProcess(t, all, many)
			b, _ := coreProcess(t, all, many)
			b.follow("g")
			var want []string
			var turn sync.Mutex // what is ordered here is when Publish is called; it waits without
			var sending sync.WaitGroup
			for i := range 2000 {
				want = append(want, said("g", fmt.Sprint(i)))
				began := make(chan struct{})
				turn.Lock()
				sending.Go(func() {
					s := sendingOf(t, a, "g", fmt.Sprint(i))
					close(began)
					if err := <-s.done; err != nil {
						t.Error(err)
					}
				})
				<-began
				turn.Unlock()
			}
			sending.Wait()
			b.awaits(want...)
		})
	}
}

// sendingOf is the first half of Publish: what puts an event in its line.
func sendingOf(t *testing.T, p *process, group, message string) *sending {
	c := p.broker.(limited).Core
	body, err := c.encode(say(message))
	if err != nil {
		t.Error(err)
	}
	s := &sending{ctx: t.Context(), group: group, body: body, done: make(chan error, 1), parts: 1}
	if !c.serverOf(group).looks.add(s) {
		t.Error("the line is closed")
	}
	return s
}

func TestTenThousandUndeliveredEventsStayInBoundsAndInOrder(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	a, _ := coreProcess(t, at(server), nil)
	b, c := coreProcess(t, at(server), nil)
	b.follow("g")
	free := b.hold()
	var sending sync.WaitGroup
	next := make(chan int)
	text := strings.Repeat("x", 8<<10) // 80 MiB in all, and at most 16 MiB wait here
	for range 4 {
		sending.Go(func() {
			for i := range next {
				if err := a.send("g", fmt.Sprintf("%05d%s", i, text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 10_000 {
		next <- i
	}
	close(next)
	sending.Wait()
	r := c.servers[0].reader
	r.mu.Lock()
	waiting := r.bytes
	r.mu.Unlock()
	if waiting > maxReady+popBytes+(1<<20) {
		t.Errorf("%d bytes wait", waiting)
	}
	free()
	lost := a.losses(dropFull)
	parts.Eventually(t, "all that was not refused arrives", func() bool { return len(b.deliveries())+lost == 10_000 })
	if lost < 5000 {
		t.Errorf("only %d were refused; the test would prove nothing", lost)
	}
	b.awaitsGap("all")
	seen := b.deliveries()
	slices.Sort(seen)
	if n := len(slices.Compact(seen)); n+lost != 10_000 {
		t.Errorf("some came twice: %d different ones", n)
	}
}

func TestAChannelOfNobodyIsReadOnAllHosts(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	var hosts []string
	for i := range 4 {
		hosts = append(hosts, fmt.Sprintf("redis://%s/%d", server.Address, i))
	}
	_, a := coreProcess(t, hosts, nil)
	_, b := coreProcess(t, hosts, nil)
	const n = 40
	for i := range n {
		if err := a.Publish(t.Context(), channels.Delivery{Channels: []string{"work"}, Event: say(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range n - 1 {
		e, err := b.Receive(t.Context(), "work")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Payload.(map[string]any)["message"].(string))
	}

	// What b took and nobody received is there for others, by the time b is closed.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := a.Receive(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, e.Payload.(map[string]any)["message"].(string))
	slices.Sort(got)
	if len(slices.Compact(got)) != n {
		t.Errorf("received: %q", got)
	}
}

func TestAChannelOfAnotherPrefixReachesItsProcess(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	b, _ := coreProcess(t, at(server), nil)
	b.follow("up")
	a, c := coreProcess(t, at(server), nil)
	parts.Eventually(t, "the other process is known", func() bool { return c.isPeer(b.id) })
	name := "reply." + b.id + "!1"
	if err := a.broker.Publish(t.Context(), channels.Delivery{Channels: []string{name}, Event: say("x")}); err != nil {
		t.Fatal(err)
	}
	b.awaits("[" + name + "] say map[message:x]")
}
