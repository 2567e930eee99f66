package brokertest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Benchmark measures brokers. Beside ns/op, one operation being one event that
// was published and has arrived wherever it goes, it reports
//
//	events/s     published, each having arrived
//	cpu-µs/op    user and system time of this process, sender and receivers,
//	             where the operating system tells
//
// for one event at a time, which is the latency there, and flat out, with up to
// 64 on their way from 16 senders, in groups that one or four other processes
// follow, and for channels.
func Benchmark(b *testing.B, setup func(testing.TB) Setup) {
	for _, processes := range []int{1, 4} {
		for _, bytes := range []int{64, 4096} {
			name := fmt.Sprintf("processes=%d/bytes=%d", processes, bytes)
			b.Run("one at a time/"+name, func(b *testing.B) { benchGroup(b, setup(b), load{processes, bytes, 1}) })
			b.Run("flat out/"+name, func(b *testing.B) { benchGroup(b, setup(b), load{processes, bytes, 64}) })
		}
	}
	b.Run("one at a time/channel", func(b *testing.B) { benchChannel(b, setup(b)) })
}

// maxSenders publish at the same time when several events may be on their way.
const maxSenders = 16

// load is what a benchmark puts on a broker.
type load struct {
	processes int // that follow
	bytes     int // of text in each event
	flight    int // events published and not yet arrived, at most
}

func benchGroup(b *testing.B, s Setup, l load) {
	var receivers []*counter
	for range l.processes {
		c := newCounter(b, s.New(b))
		if err := c.broker.Follow(b.Context(), []string{"g"}); err != nil {
			b.Fatal(err)
		}
		receivers = append(receivers, c)
	}
	sender := newCounter(b, s.New(b))
	d := channels.Delivery{Group: "g", Event: channels.Event{
		Type: "test.event", Payload: map[string]any{"message": strings.Repeat("x", l.bytes)},
	}}
	measure(b, l.flight, receivers, func() error { return sender.broker.Publish(b.Context(), d) })
}

func benchChannel(b *testing.B, s Setup) {
	receiver, sender := newCounter(b, s.New(b)), newCounter(b, s.New(b))
	d := channels.Delivery{Channels: []string{receiver.channel}, Event: channels.Event{
		Type: "test.event", Payload: map[string]any{"message": strings.Repeat("x", 64)},
	}}
	for end := time.Now().Add(patience); !receiver.reached(b, sender, d); {
		if time.Now().After(end) {
			b.Fatalf("the channel is not reached within %v", patience)
		}
	}
	measure(b, 1, []*counter{receiver}, func() error { return sender.broker.Publish(b.Context(), d) })
}

// measure publishes b.N events, at most flight of them on their way.
func measure(b *testing.B, flight int, receivers []*counter, publish func() error) {
	before, begin := processorTime(), time.Now()
	b.ResetTimer()
	free := make(chan struct{}, flight) // a place on the way for each value
	for range flight {
		free <- struct{}{}
	}
	next := make(chan struct{})
	var senders sync.WaitGroup
	for range min(flight, maxSenders) {
		senders.Go(func() {
			for range next {
				if err := publish(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	senders.Go(func() {
		defer close(next)
		for range b.N {
			<-free
			next <- struct{}{}
		}
	})
	for range b.N {
		for _, r := range receivers {
			select {
			case <-r.arrived:
			case <-time.After(patience):
				b.Fatalf("an event did not arrive within %v", patience)
			}
		}
		free <- struct{}{}
	}
	senders.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "events/s")
	if used := processorTime() - before; used > 0 {
		b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/op")
	}
}

// counter is a process that counts what arrives.
type counter struct {
	broker  channels.Broker
	channel string
	arrived chan struct{}
}

// reached sends to the channel once; a broker may not know of it yet.
func (c *counter) reached(b *testing.B, sender *counter, d channels.Delivery) bool {
	if err := sender.broker.Publish(b.Context(), d); err != nil {
		b.Fatal(err)
	}
	select {
	case <-c.arrived:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

func newCounter(b *testing.B, broker channels.Broker) *counter {
	c := &counter{broker: broker, arrived: make(chan struct{}, 1<<16)}
	n := start(broker, limits{capacity: 1 << 16}, func(context.Context, channels.Delivery) error {
		c.arrived <- struct{}{}
		return nil
	})
	c.channel = n.channel("x")
	b.Cleanup(func() { n.close(b) })
	return c
}
