// Package rolling replaces servers of one chat while people talk: two servers on
// one PostgreSQL and one Redis behind a load balancer, one stopped and started
// anew after the other. Nobody may lose anything, see an error, or hear nothing
// for long.
package rolling_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/client"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/rolling/balancer"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

const (
	people   = 200
	rooms    = 10
	pause    = time.Second // between two posts of one person
	patience = 2 * time.Minute

	longestGap = 3 * time.Second // p99 of the time in which a client hears nothing
)

// theEnd is the last message of each room.
const theEnd = "the end"

// person is a client in a room in which somebody speaks 20 times a second.
type person struct {
	room *client.Room // fixed

	// owned by listen until it returns
	chain guest.Chain
	gap   time.Duration // longest between two messages, once all are here
	deaf  error

	// owned by talk until it returns
	said map[int64]string // text by seq
	mute error
}

func TestTwoServersAreReplacedAndNobodyNotices(t *testing.T) {
	store, layer := parts.Postgres(t).URL("postgres"), "redis://"+parts.Redis(t, parts.RedisOptions{}).Address
	flags := []string{"--store", store, "--layer", layer, "--limits", "off"}
	nodes := []*server.Server{server.Start(t, flags...), server.Start(t, flags...)}
	b, err := balancer.New(nodes[0].Address, nodes[1].Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	await(t, "both servers are ready", func() bool { return b.Ready() == 2 })

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := gather(ctx, t, b)
	time.Sleep(2 * time.Second) // of ordinary talk
	for i, node := range nodes {
		start := time.Now()
		node.Stop() // with exit code 0
		stopped := time.Since(start)
		node.Restart()
		await(t, "the new server is ready", func() bool { return b.Ready() == 2 })
		if strings.Contains(node.Log(), "cut") {
			t.Errorf("server %d cut somebody:\n%s", i+1, node.Log())
		}
		t.Logf("server %d stopped in %v and was back %v after that", i+1, stopped.Round(time.Millisecond), (time.Since(start) - stopped).Round(time.Millisecond))
	}
	time.Sleep(2 * time.Second)
	c.finish(ctx, t, nodes[0].Address)

	gaps := c.gaps()
	t.Logf("clients heard nothing for at most: p50 %v, p99 %v, all %v; %d connections found no server",
		gaps[people/2], gaps[people*99/100], gaps[people-1], b.Refused())
	if gaps[people*99/100] > longestGap {
		t.Errorf("that is more than %v", longestGap)
	}
	if n := b.ErrorFrames(); n > 0 {
		t.Errorf("clients were sent %d error frames", n)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(server.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come about that %s", what)
		}
	}
}

// crowd is all people.
type crowd struct {
	people    []*person
	quiet     chan struct{} // closed when nobody shall say anything new
	talking   sync.WaitGroup
	listening sync.WaitGroup
}

// gather lets people talk and listen.
func gather(ctx context.Context, t *testing.T, b *balancer.Balancer) *crowd {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &crowd{quiet: make(chan struct{})}
	for i := range people {
		k, err := client.Dial(ctx, b.URL(), &client.Options{Name: "rolling/1", HTTP: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Close)
		r, err := k.Join(ctx, fmt.Sprint("room ", i%rooms), &client.From{After: new(int64), All: true})
		if err != nil {
			t.Fatal(err)
		}
		c.people = append(c.people, &person{room: r, said: make(map[int64]string)})
	}
	settled := time.Now().Add(2 * pause)
	for i, p := range c.people {
		c.talking.Go(func() { p.talk(ctx, time.Duration(i)*pause/people, c.quiet) })
		c.listening.Go(func() { p.listen(ctx, settled) })
	}
	return c
}

// talk says something now and then, each when the last is stored.
func (p *person) talk(ctx context.Context, late time.Duration, quiet chan struct{}) {
	next := time.NewTimer(late)
	defer next.Stop()
	for i := 0; ; i++ {
		select {
		case <-quiet:
			return
		case <-next.C:
			next.Reset(pause)
		}
		text := fmt.Sprint("number ", i)
		at, err := p.room.Post(ctx, text)
		if err != nil {
			p.mute = fmt.Errorf("post %d: %w", i, err)
			return
		}
		p.said[at.Seq] = text
	}
}

// listen takes what comes up to the end.
func (p *person) listen(ctx context.Context, settled time.Time) {
	var last time.Time
	for {
		m, err := p.room.Next(ctx)
		if err == nil {
			err = p.chain.Add(m)
		}
		if err != nil {
			p.deaf = fmt.Errorf("after %d messages: %w", p.chain.Seq, err)
			return
		}
		if m.Text == theEnd {
			return
		}
		now := time.Now()
		if !last.IsZero() {
			p.gap = max(p.gap, now.Sub(last))
		}
		if now.After(settled) {
			last = now
		}
	}
}

// finish lets everybody finish, and holds what they heard and said against the log.
func (c *crowd) finish(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	close(c.quiet)
	c.talking.Wait()
	for _, p := range c.people[:rooms] {
		if _, err := p.room.Post(ctx, theEnd); err != nil {
			t.Fatal(err)
		}
	}
	c.listening.Wait()
	total := 0
	for i := range rooms {
		log, err := guest.History(ctx, address, fmt.Sprint("room ", i), 0)
		if err != nil {
			t.Fatal(err)
		}
		total += len(log)
		c.compare(t, i, log)
	}
	t.Logf("%d people said and heard %d messages in %d rooms", people, total, rooms)
}

// compare holds the people of one room against its log.
func (c *crowd) compare(t *testing.T, room int, log []wire.Message) {
	t.Helper()
	var chain guest.Chain
	for _, m := range log {
		if err := chain.Add(m); err != nil {
			t.Fatalf("the log of room %d: %v", room, err)
		}
	}
	said := 1 // the end
	for i := room; i < people; i += rooms {
		p := c.people[i]
		if err := errors.Join(p.mute, p.deaf); err != nil {
			t.Errorf("person %d: %v", i, err)
			continue
		}
		if p.chain != chain {
			t.Errorf("person %d heard %d messages, the log has %d, or they differ", i, p.chain.Seq, chain.Seq)
		}
		said += len(p.said)
		for seq, text := range p.said {
			if m := log[seq-1]; m.Text != text {
				t.Errorf("person %d was told that %q is number %d, which is %q", i, text, seq, m.Text)
			}
		}
	}
	if said != len(log) {
		t.Errorf("room %d: %d messages were acknowledged, the log has %d", room, said, len(log))
	}
}

// gaps are those of all, the shortest first.
func (c *crowd) gaps() []time.Duration {
	var all []time.Duration
	for _, p := range c.people {
		all = append(all, p.gap.Round(time.Millisecond))
	}
	slices.Sort(all)
	return all
}
