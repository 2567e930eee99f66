package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// process is what a Layer is to a broker, and keeps what it is told.
type process struct {
	// fixed
	tb     testing.TB
	broker channels.Broker
	id     string

	// guarded by mu
	mu      sync.Mutex
	got     []string // deliveries, as text
	gaps    []string // names of groups; "all"
	dropped map[string]int
	log     strings.Builder
	held    chan struct{} // Deliver waits until it is closed, unless it is nil
}

// pubsubProcess starts a PubSub, which ends with the test.
func pubsubProcess(tb testing.TB, o Options) (*process, *PubSub) {
	tb.Helper()
	b, err := NewPubSub(o)
	if err != nil {
		tb.Fatal(err)
	}
	p := startProcess(tb, b, time.Minute)
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return p, b
}

func startProcess(tb testing.TB, b channels.Broker, expiry time.Duration) *process {
	var id [16]byte
	_, _ = rand.Read(id[:])
	p := &process{tb: tb, broker: b, id: hex.EncodeToString(id[:]), dropped: map[string]int{}}
	b.Start(channels.Node{
		Process:     p.id,
		Capacity:    func(string) int { return 100 },
		Expiry:      expiry,
		GroupExpiry: time.Hour,
		Deliver:     p.deliver,
		Gap: func(groups ...string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(groups) == 0 {
				groups = []string{"all"}
			}
			p.gaps = append(p.gaps, groups...)
		},
		Dropped: func(cause string, n int) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.dropped[cause] += n
		},
		Logger: slog.New(slog.NewTextHandler(p, nil)),
	})
	return p
}

// Write takes a line of the log.
func (p *process) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(line)
}

func (p *process) deliver(ctx context.Context, d channels.Delivery) error {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, fmt.Sprint(d.Group, d.Channels, " ", d.Event.Type, " ", d.Event.Payload))
	return nil
}

func (p *process) channel(local string) string { return "specific." + p.id + "!" + local }

func (p *process) follow(groups ...string) {
	p.tb.Helper()
	if err := p.broker.Follow(p.tb.Context(), groups); err != nil {
		p.tb.Fatal(err)
	}
}

// send publishes an event of type "say".
func (p *process) send(group, message string) error {
	return p.broker.Publish(p.tb.Context(), channels.Delivery{Group: group, Event: say(message)})
}

func say(message string) channels.Event {
	return channels.Event{Type: "say", Payload: map[string]any{"message": message}}
}

// said is how a delivery of say is kept.
func said(group, message string) string { return group + "[] say map[message:" + message + "]" }

func (p *process) deliveries() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// awaits waits until exactly these deliveries have come, in this order.
func (p *process) awaits(want ...string) {
	p.tb.Helper()
	parts.Eventually(p.tb, fmt.Sprintf("%d deliveries", len(want)), func() bool { return len(p.deliveries()) >= len(want) })
	if got := p.deliveries(); !slices.Equal(got, want) {
		p.tb.Errorf("got %.2000q, want %.2000q", got, want)
	}
}

// losses is how many events were dropped for a cause.
func (p *process) losses(cause string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dropped[cause]
}

// awaitsGap waits until a group was told to have one.
func (p *process) awaitsGap(group string) {
	p.tb.Helper()
	parts.Eventually(p.tb, "a gap is told", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.Contains(p.gaps, group)
	})
}

func (p *process) hasGaps() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.gaps)
}

// hold makes deliveries wait until the result is called.
func (p *process) hold() (free func()) {
	held := make(chan struct{})
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.held = nil
		p.mu.Unlock()
		close(held)
	}
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// at is a server as the only host.
func at(server *parts.RedisServer) []string { return []string{"redis://" + server.Address} }
