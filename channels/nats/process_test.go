package nats

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
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
	*Broker
	tb testing.TB
	id string

	// guarded by mu
	mu      sync.Mutex
	got     []string // messages of deliveries
	gaps    []string // names of groups; "all"
	dropped map[string]int
	log     strings.Builder
}

// start starts a broker, which ends with the test.
func start(tb testing.TB, o Options) *process {
	tb.Helper()
	b, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	var id [processSize]byte
	_, _ = rand.Read(id[:])
	p := &process{Broker: b, tb: tb, id: hex.EncodeToString(id[:]), dropped: map[string]int{}}
	b.Start(channels.Node{
		Process: p.id, Capacity: func(string) int { return 3 }, Expiry: time.Minute, GroupExpiry: time.Hour,
		Deliver: func(_ context.Context, d channels.Delivery) error {
			p.note(func() { p.got = append(p.got, fmt.Sprint(d.Event.Payload.(map[string]any)["message"])) })
			return nil
		},
		Gap: func(groups ...string) {
			if len(groups) == 0 {
				groups = []string{"all"}
			}
			p.note(func() { p.gaps = append(p.gaps, groups...) })
		},
		Dropped: func(cause string, n int) { p.note(func() { p.dropped[cause] += n }) },
		Logger:  slog.New(slog.NewTextHandler(p, nil)),
	})
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return p
}

// at is a server as the only one.
func at(s *parts.NATSServer) Options { return Options{Servers: []string{s.URL()}} }

func (p *process) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// Write takes a line of the log.
func (p *process) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(line)
}

func (p *process) follow(groups ...string) {
	p.tb.Helper()
	if err := p.Follow(p.tb.Context(), groups); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *process) send(group, message string) error {
	return p.Publish(p.tb.Context(), channels.Delivery{Group: group, Event: say(message)})
}

func (p *process) mustSend(group, message string) {
	p.tb.Helper()
	if err := p.send(group, message); err != nil {
		p.tb.Fatal(err)
	}
}

func say(message string) channels.Event {
	return channels.Event{Type: "say", Payload: map[string]any{"message": message}}
}

// awaits waits until a message has come, and gives all that have.
func (p *process) awaits(message string) (got []string) {
	p.tb.Helper()
	parts.Eventually(p.tb, message+" arrives", func() bool {
		p.note(func() { got = slices.Clone(p.got) })
		return slices.Contains(got, message)
	})
	return got
}

func (p *process) awaitsGap(group string) {
	p.tb.Helper()
	parts.Eventually(p.tb, "a gap of "+group+" is told", func() bool { return slices.Contains(p.hasGaps(), group) })
}

func (p *process) hasGaps() (gaps []string) {
	p.note(func() { gaps = slices.Clone(p.gaps) })
	return gaps
}

func (p *process) awaitsLoss(cause string, n int) {
	p.tb.Helper()
	got := 0
	parts.Eventually(p.tb, fmt.Sprintf("%d are dropped: %s", n, cause), func() bool {
		p.note(func() { got = p.dropped[cause] })
		return got >= n
	})
	if got != n {
		p.tb.Errorf("%d are dropped: %s, want %d", got, cause, n)
	}
}

// awaitsState waits until the state is connected, or an error with a text in it.
func (p *process) awaitsState(connected bool, text string) {
	p.tb.Helper()
	parts.Eventually(p.tb, "the state says "+text, func() bool {
		s := p.States()[0]
		return s.Connected == connected && (connected || s.Err != nil && strings.Contains(s.Err.Error(), text))
	})
}

// proxy stands before a server, and can be cut from it.
type proxy struct {
	// fixed
	listener net.Listener
	target   string

	mu     sync.Mutex
	conns  []net.Conn
	mute   bool // what clients send goes nowhere
	closed bool
	wg     sync.WaitGroup
}

func before(tb testing.TB, s *parts.NATSServer) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{listener: l, target: s.Address}
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) options() Options {
	return Options{Servers: []string{"nats://" + p.listener.Addr().String()}}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		p.mu.Lock()
		if err != nil || p.closed {
			p.mu.Unlock()
			_ = client.Close()
			if err == nil {
				_ = server.Close()
			}
			continue
		}
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { _, _ = io.Copy(client, server); _ = client.Close() })
		p.wg.Go(func() { _, _ = io.Copy(valve{p, server}, client); _ = server.Close() })
	}
}

// valve lets through what clients send, unless the proxy is mute.
type valve struct {
	proxy *proxy
	net.Conn
}

func (v valve) Write(b []byte) (int, error) {
	v.proxy.mu.Lock()
	mute := v.proxy.mute
	v.proxy.mu.Unlock()
	if mute {
		return len(b), nil
	}
	return v.Conn.Write(b)
}

func (p *proxy) silence(mute bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = mute
}

// cut breaks all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}
