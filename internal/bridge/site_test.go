package bridge_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/brokertest"
	"github.com/teahouse-chat/teahouse/internal/bridge"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

var quiet = slog.New(slog.DiscardHandler)

// chair is a lease that one can hold at a time.
type chair struct {
	free chan struct{}
	over atomic.Bool // its time has passed, though whoever has it did not notice

	mu    sync.Mutex
	leave context.CancelFunc // of the holder
}

func newChair() *chair {
	c := &chair{free: make(chan struct{}, 1)}
	c.free <- struct{}{}
	return c
}

func (c *chair) Hold(ctx context.Context, while func(ctx context.Context, held func() bool)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.free:
		}
		held, leave := context.WithCancel(ctx)
		c.mu.Lock()
		c.leave = leave
		c.mu.Unlock()
		while(held, func() bool { return held.Err() == nil && !c.over.Load() })
		leave()
		c.free <- struct{}{}
		pauseIn(ctx, time.Second) // another one may have it now
	}
}

// lose takes the lease from its holder.
func (c *chair) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave()
}

func pauseIn(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// site is Django and some servers on one store, in one test.
type site struct {
	t     *testing.T
	hub   brokertest.Hub
	chair *chair
	store chat.Store
}

func newSite(t *testing.T) *site {
	return &site{t: t, chair: newChair(), store: memstore.New()}
}

// layer joins the hub.
func (s *site) layer() *channels.Layer {
	b := s.hub.Broker()
	l := channels.NewLayer(&channels.LayerOptions{
		Broker: b, Logger: quiet, Capacities: []channels.Capacity{{Pattern: "subscription.*", Events: 1000}},
	})
	s.t.Cleanup(func() {
		if err := l.Close(); err != nil {
			s.t.Error(err)
		}
		if err := b.(interface{ Close() error }).Close(); err != nil {
			s.t.Error(err)
		}
	})
	return l
}

// node is one server.
type node struct {
	*bridge.Bridge
	service *chat.Service
	stop    func() // ends Run and waits
}

// serve starts a server with a bridge.
func (s *site) serve(o bridge.Options, c chat.Options) *node {
	s.t.Helper()
	n := &node{}
	var err error
	c.Store, c.Logger = s.store, quiet
	c.Publish = func(room string, m chat.Message) { n.Publish(room, m) }
	if n.service, err = chat.New(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
	o.Layer, o.Service, o.Rooms, o.Lease, o.Logger = s.layer(), n.service, s.store.Rooms, s.chair, quiet
	if n.Bridge, err = bridge.New(o); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Run(ctx)
	}()
	n.stop = func() { cancel(); <-ended }
	s.t.Cleanup(func() {
		n.stop()
		if err := n.service.Shutdown(context.WithoutCancel(s.t.Context())); err != nil {
			s.t.Error(err)
		}
		n.Close()
	})
	synctest.Wait()
	return n
}

// say stores a guest's message.
func (n *node) say(t *testing.T, room, text string) {
	t.Helper()
	_, _, err := n.service.Post(t.Context(), chat.Post{
		Room: room, Author: chat.User{ID: 7, Name: "Ann"}, Nonce: fmt.Sprint(time.Now().UnixNano(), text), Text: text,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// log is a room's messages as "author: text".
func (s *site) log(room string) (lines []string) {
	s.t.Helper()
	synctest.Wait()
	page, err := s.store.Messages(s.t.Context(), room, chat.Newest(1000))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range page.Messages {
		lines = append(lines, m.Author.Name+": "+m.Text)
	}
	return lines
}

// django is a process of Django.
type django struct {
	site  *site
	layer *channels.Layer

	mu   sync.Mutex
	seen []string
}

func (s *site) django() *django { return &django{site: s, layer: s.layer()} }

// consume listens to a group as the original consumer does.
func (d *django) consume(group string) {
	d.site.t.Helper()
	events, err := d.layer.Subscribe(d.site.t.Context(), group)
	if err != nil {
		d.site.t.Fatal(err)
	}
	go func() {
		for e, err := range events {
			payload, _ := e.Payload.(map[string]any)
			d.mu.Lock()
			d.seen = append(d.seen, fmt.Sprintf("%s %v %v %v", e.Type, payload["username"], payload["message"], err))
			d.mu.Unlock()
		}
	}()
}

func (d *django) took() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := d.seen
	d.seen = nil
	return seen
}

// send is group_send of one event.
func (d *django) send(group, typ string, payload map[string]any) {
	d.site.t.Helper()
	if err := d.layer.GroupSend(d.site.t.Context(), group, channels.Event{Type: typ, Payload: payload}); err != nil {
		d.site.t.Error(err)
	}
}

func (d *django) say(group, text string) {
	d.site.t.Helper()
	d.send(group, "chat.message", map[string]any{"message": text})
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got)\n%s", what, diff)
	}
}
