package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/nats"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/internal/sqlstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// carrier is a real broker.
type carrier struct {
	open    func() (channels.Broker, error)
	restart func()
	wipe    func() // everything that it keeps; nil for one that keeps nothing
}

func throughRedis(tb testing.TB, pubSub bool) carrier {
	server := parts.Redis(tb, parts.RedisOptions{})
	return carrier{
		restart: server.Restart,
		wipe:    func() { server.Must("FLUSHALL") },
		open: func() (channels.Broker, error) {
			o, err := redis.ParseURL(server.URL())
			if err != nil {
				return nil, err
			}
			o.PubSub = pubSub
			return redis.New(o)
		},
	}
}

func throughNATS(tb testing.TB) carrier {
	server := parts.NATS(tb, parts.NATSOptions{})
	return carrier{restart: server.Crash, open: func() (channels.Broker, error) {
		return nats.New(nats.Options{Servers: []string{server.URL()}})
	}}
}

// carriers are all there are.
var carriers = map[string]func(testing.TB) carrier{
	"redis":         func(tb testing.TB) carrier { return throughRedis(tb, false) },
	"redis pub sub": func(tb testing.TB) carrier { return throughRedis(tb, true) },
	"nats":          throughNATS,
}

// gathering is servers with a member each in the room "lobby", who post.
type gathering struct {
	t      testing.TB
	stores []*sqlstore.Store
	nodes  []*house
	links  []*link
	ears   []*talker
	got    [][]int64 // positions, of each ear
	said   int
}

// open opens a server on real parts, and has somebody enter.
func (g *gathering) open(t testing.TB, postgres *parts.PostgresServer, c carrier) {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), postgres.URL("postgres"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.open()
	if err != nil {
		t.Fatal(err)
	}
	l := &link{Broker: b, sent: map[string]int{}}
	relay := NewRelay(RelayOptions{Broker: l, Shared: true, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() {
		relay.Close(context.WithoutCancel(t.Context()))
		if err := errors.Join(b.(io.Closer).Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	h := openOn(t, store, relay, noLimits{})
	g.stores, g.nodes, g.links = append(g.stores, store), append(g.nodes, h), append(g.links, l)
	g.ears = append(g.ears, h.enter(t, len(g.nodes), "lobby"))
}

func gather(t testing.TB, nodes int, postgres *parts.PostgresServer, c carrier) *gathering {
	t.Helper()
	g := &gathering{t: t, got: make([][]int64, nodes)}
	for range nodes {
		g.open(t, postgres, c)
	}
	return g
}

// post has every server store so many messages at the same time, again until it
// is done.
func (g *gathering) post(each int) {
	var posters sync.WaitGroup
	for n, h := range g.nodes {
		posters.Go(func() {
			for i := range each {
				p := chat.Post{Room: "lobby", Author: someone(n + 1), Nonce: fmt.Sprint(g.said, "-", i), Text: "x"}
				for {
					_, _, err := h.service.Post(g.t.Context(), p)
					if err == nil {
						break
					}
					if chat.RetryAfter(err) == 0 {
						g.t.Error(err)
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	posters.Wait()
	g.said++
}

// heard waits until every member has all messages up to a position, in order, and
// says how long the last of them took.
func (g *gathering) heard(what string, upTo int64) time.Duration {
	g.t.Helper()
	start := time.Now()
	parts.Eventually(g.t, what, func() bool {
		all := true
		for n := range g.ears {
			g.listen(n)
			all = all && len(g.got[n]) > 0 && g.got[n][len(g.got[n])-1] == upTo
		}
		return all
	})
	took := time.Since(start)
	for n, got := range g.got {
		for i, seq := range got {
			if seq != int64(i)+1 {
				g.t.Fatalf("%s: the member on server %d has %d at place %d", what, n, seq, i+1)
			}
		}
	}
	g.t.Logf("%s: %d messages after %v, %+v", what, upTo, took, g.nodes[0].Stats().Tails)
	return took
}

// listen takes what has come to a member.
func (g *gathering) listen(n int) {
	g.t.Helper()
	k := g.ears[n]
	k.say(wire.Ping{})
	for {
		f, err := wire.DecodeServer([]byte(k.ReceiveText()))
		if err != nil {
			g.t.Fatal(err)
		}
		switch f := f.(type) {
		case wire.Pong:
			return
		case wire.MessageFrame:
			g.got[n] = append(g.got[n], f.Seq)
		}
	}
}

// TestMembersOfSeveralServersSeeOneLog has three servers on real parts through a
// broker that is lost, wiped and silent, and a database that crashes.
func TestMembersOfSeveralServersSeeOneLog(t *testing.T) {
	for name, open := range carriers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			postgres := parts.Postgres(t)
			c := open(t)
			g := gather(t, 3, postgres, c)
			const each = 40
			total := int64(0)
			round := func(what string, during func()) time.Duration {
				var meanwhile sync.WaitGroup
				if during != nil {
					meanwhile.Go(during)
				}
				g.post(each)
				meanwhile.Wait()
				total += 3 * each
				return g.heard(what, total)
			}
			round("all is well", nil)
			round("the broker starts anew", c.restart)
			if c.wipe != nil {
				round("the broker is wiped", c.wipe)
			}
			for _, l := range g.links {
				l.losing(everything)
			}
			if took := round("the broker swallows", nil); took > 5*time.Second {
				t.Errorf("healing took %v", took)
			}
			for _, l := range g.links {
				l.losing(nil)
			}
			round("the database crashes", func() { postgres.Restart(syscall.SIGQUIT) })
			for i, l := range g.links {
				l.take(eventMessage)
				g.listen(i)
			}
			g.post(1)
			g.heard("one each", total+3)
			for i, l := range g.links {
				if n := l.take(eventMessage); n != 1 {
					t.Errorf("server %d sent %d events for one message to two servers", i, n)
				}
			}
		})
	}
}

// BenchmarkAnotherServer measures, at a low load, when a message has come to a
// member of its own server, and how much later to one of another.
func BenchmarkAnotherServer(b *testing.B) {
	for name, open := range carriers {
		b.Run(name, func(b *testing.B) {
			g := gather(b, 2, parts.Postgres(b), open(b))
			arrivals := make([][]time.Time, len(g.ears))
			var sent []time.Time
			var listeners sync.WaitGroup
			for n, k := range g.ears {
				listeners.Go(func() {
					for range b.N {
						next[wire.MessageFrame](k)
						arrivals[n] = append(arrivals[n], time.Now())
					}
				})
			}
			for range b.N {
				time.Sleep(5 * time.Millisecond)
				sent = append(sent, time.Now())
				g.nodes[0].post(b, "lobby", 1)
			}
			listeners.Wait()
			median := func(came []time.Time) time.Duration {
				var took []time.Duration
				for i, at := range came {
					took = append(took, at.Sub(sent[i]))
				}
				slices.Sort(took)
				return took[len(took)/2]
			}
			own, other := median(arrivals[0]), median(arrivals[1])
			b.ReportMetric(float64(own.Microseconds()), "own-p50-us")
			b.ReportMetric(float64((other - own).Microseconds()), "more-p50-us")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkCatchUp measures how long a member waits for 100,000 messages of which
// its server has heard nothing.
func BenchmarkCatchUp(b *testing.B) {
	const missed = 100_000
	g := gather(b, 1, parts.Postgres(b), throughNATS(b))
	for round := range b.N {
		b.StopTimer()
		for n := range missed / 1000 {
			batch := make([]chat.Draft, 1000)
			for i := range batch {
				batch[i] = chat.Draft{Room: "lobby", Author: someone(1), Nonce: fmt.Sprint(round, n, i), Text: "something to say", At: time.Now(), Create: true}
			}
			if _, err := g.stores[0].Append(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		g.nodes[0].tails.gap()
		for i := range int64(missed) {
			if m := next[wire.MessageFrame](g.ears[0]); m.Seq != int64(round*missed)+i+1 {
				b.Fatalf("%d after %d", m.Seq, i)
			}
		}
	}
}
