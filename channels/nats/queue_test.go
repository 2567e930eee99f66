package nats

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func (p *process) work(message string) error {
	return p.Publish(p.tb.Context(), channels.Delivery{Channels: []string{"work"}, Event: say(message)})
}

// receives begins to receive and gives up.
func (p *process) receives() {
	p.tb.Helper()
	ctx, cancel := context.WithTimeout(p.tb.Context(), time.Millisecond)
	defer cancel()
	if e, err := p.Receive(ctx, "work"); err == nil {
		p.tb.Fatalf("received %v", e)
	}
}

func TestAProcessThatReceivesDoesItsOwnWork(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p := start(t, at(server))
	p.receives()
	for i := range 3 {
		if err := p.work(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		e, err := p.Receive(t.Context(), "work")
		if err != nil || fmt.Sprint(e.Payload) != fmt.Sprintf("map[message:%d]", i) {
			t.Errorf("number %d: got %v, %v", i, e, err)
		}
	}
}

func TestWorkThatDoesNotFitIsCounted(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p, q := start(t, at(server)), start(t, at(server))
	p.receives()
	p.follow("settled") // behind the subscription
	for range 5 {
		if err := q.work("x"); err != nil {
			t.Fatal(err)
		}
	}
	p.awaitsLoss("full", 2)
	p.forget("teahouse.q.work") // as after the expiry, but nobody receives
	p.awaitsLoss("expired", 3)
	p.note(func() {
		if len(p.gaps) > 0 {
			t.Errorf("gaps were told: %q", p.gaps)
		}
	})
}
