package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// street joins the layers of a test, as Redis would.
type street struct {
	mu    sync.Mutex
	ends  []*end
	stuck chan struct{} // Publish and Follow wait until it is closed; nil does not
	down  error         // of Publish
	takes time.Duration // Publish
	fate  fate          // of each event to each end; nil brings it once, at once
}

// fate says after which times the copies of an event arrive: none is a loss.
type fate func(channels.Delivery) []time.Duration

// end is the broker of one layer.
type end struct {
	street  *street
	node    channels.Node
	follows map[string]bool
	sent    []string // types of events
}

func (s *street) end() *end {
	e := &end{street: s, follows: map[string]bool{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, e)
	return e
}

func (e *end) Start(n channels.Node) { e.node = n }

func (e *end) Follow(ctx context.Context, groups []string) error {
	if err := e.street.wait(ctx); err != nil {
		return err
	}
	return e.change(groups, true)
}

func (e *end) Unfollow(_ context.Context, groups []string) error { return e.change(groups, false) }

// jam sets stuck, once nothing moves.
func (s *street) jam(stuck chan struct{}) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuck = stuck
}

// wait waits while the street is stuck.
func (s *street) wait(ctx context.Context) error {
	s.mu.Lock()
	stuck := s.stuck
	s.mu.Unlock()
	if stuck == nil {
		return nil
	}
	select {
	case <-stuck:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *end) change(groups []string, follow bool) error {
	e.street.mu.Lock()
	defer e.street.mu.Unlock()
	for _, g := range groups {
		if e.follows[g] == follow {
			return fmt.Errorf("%s twice: %v", g, follow)
		}
		e.follows[g] = follow
	}
	return nil
}

func (e *end) Publish(ctx context.Context, d channels.Delivery) error {
	m, err := d.Event.Map()
	if err != nil {
		return err
	}
	if d.Event, err = channels.EventFromMap(m); err != nil {
		return err
	}
	s := e.street
	s.mu.Lock()
	down, fate, takes := s.down, s.fate, s.takes
	e.sent = append(e.sent, d.Event.Type)
	var to []*end
	for _, o := range s.ends {
		if o != e && o.follows[d.Group] {
			to = append(to, o)
		}
	}
	s.mu.Unlock()
	if err := s.wait(ctx); err != nil {
		return err
	}
	time.Sleep(takes)
	if down != nil {
		return down
	}
	for _, o := range to {
		if fate == nil {
			err = errors.Join(err, o.node.Deliver(ctx, d))
			continue
		}
		for _, after := range fate(d) {
			time.AfterFunc(after, func() { _ = o.node.Deliver(context.Background(), d) })
		}
	}
	return err
}

// openNode is a server of several on one store.
func openNode(t *testing.T, s *street, store chat.Store) (*house, *end) {
	t.Helper()
	e := s.end()
	relay := NewRelay(RelayOptions{Broker: e, Shared: true, Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { relay.Close(context.WithoutCancel(t.Context())) })
	return openOn(t, store, relay, noLimits{}), e
}

func TestTwoServersOnOneStoreAreOneRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s street
		store := memstore.New()
		one, endOne := openNode(t, &s, store)
		two, _ := openNode(t, &s, store)
		a, b := one.enter(t, 1, "茶"), two.enter(t, 2, "茶")
		plain := channelstest.New(t, two.plainMux(), "/ws/chat/%E8%8C%B6/")
		plain.Connect()

		a.say(wire.Post{Room: "茶", Nonce: "n", Text: "hi <b> & \u2028x"})
		m := next[wire.MessageFrame](b)
		if own := next[wire.MessageFrame](a); m != own || m.Seq != 1 || m.Nonce != "n" || m.Author != a.you {
			t.Errorf("the author got %+v, the other server's member %+v", own, m)
		}
		if got, want := plain.ReceiveText(), `{"message":"hi \u003cb\u003e \u0026 \u2028x","username":"P1","seq":1}`; got != want {
			t.Errorf("a plain client got %s, want %s", got, want)
		}
		a.say(wire.Typing{Room: "茶"})
		if typing := next[wire.TypingFrame](b); typing.People[0] != a.you {
			t.Errorf("typing: %+v", typing)
		}
		pass(5 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		sent := slices.DeleteFunc(endOne.sent, func(typ string) bool { return typ == eventRoll || typ == eventBeat })
		if diff := cmp.Diff([]string{eventMessage, eventTypists}, sent); diff != "" {
			t.Errorf("sent to other servers, where who is here is not for all (-want +got)\n%s", diff)
		}
	})
}

func TestServersOnStoresOfTheirOwnDoNotHearEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s street
		one, endOne := openNode(t, &s, memstore.New())
		two, _ := openNode(t, &s, memstore.New())
		a, b := one.enter(t, 1, "lobby"), two.enter(t, 2, "lobby")
		a.say(wire.Post{Room: "lobby", Nonce: "n", Text: "hi"})
		next[wire.MessageFrame](a)
		synctest.Wait()
		if sent := slices.DeleteFunc(endOne.sent, func(typ string) bool { return typ == eventBeat }); len(sent) != 1 {
			t.Errorf("sent %q", sent)
		}
		b.say(wire.Ping{})
		next[wire.Pong](b)
	})
}

func TestWhatAnotherServerSendsBrokenIsIgnoredAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s street
		store := memstore.New()
		h, e := openNode(t, &s, store)
		a := h.enter(t, 1, "lobby")
		plain := channelstest.New(t, h.plainMux(), "/ws/chat/lobby/")
		plain.Connect()
		good := string(wire.Encode(wire.MessageFrame{Room: "lobby", Message: wire.Message{Seq: 1, Text: "good"}}))
		other := string(wire.Encode(wire.MessageFrame{Room: "other", Message: wire.Message{Seq: 1, Text: "good"}}))
		settings, err := store.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		mark := newSeal(settings.Key, settings.Epoch).of
		sealed := func(text string) map[string]any { return map[string]any{"frame": text, "seal": mark(text)} }
		typing := string(wire.Encode(wire.TypingFrame{Room: "lobby"}))
		for _, bad := range []channels.Event{
			{Type: eventMessage, Seq: 1},
			{Type: eventMessage, Seq: 1, Payload: "text"},
			{Type: eventMessage, Seq: 1, Payload: map[string]any{}},
			{Type: eventMessage, Seq: 1, Payload: map[string]any{"frame": 1}},
			{Type: eventMessage, Seq: 1, Payload: sealed("")},
			{Type: eventMessage, Seq: 1, Payload: sealed("{")},
			{Type: eventMessage, Seq: 1, Payload: sealed(`{"type":"brew"}`)},
			{Type: eventMessage, Seq: 1, Payload: sealed(typing)},
			{Type: eventMessage, Seq: 1, Payload: sealed(good + good)},
			{Type: eventMessage, Seq: 1, Payload: sealed(strings.Replace(good, "good", "\xff", 1))},
			{Type: eventMessage, Seq: 1, Payload: sealed(other)},
			{Type: eventMessage, Seq: 1, Payload: map[string]any{"frame": good}},
			{Type: eventMessage, Seq: 1, Payload: map[string]any{"frame": good, "seal": mark(other)}},
			{Type: eventMessage, Seq: 2, Payload: sealed(good)},
			{Type: eventMessage, Payload: sealed(good)},
			{Type: "chat_message", Seq: 1, Payload: sealed(good)},
			{Type: eventTyping, Payload: map[string]any{"frame": good}},
			{Type: eventRenamed, Payload: map[string]any{"frame": good}},
			{Type: eventHere, Payload: map[string]any{"frame": `{"type":"here","count":9}`}},
			{Type: "chat.brew", Payload: map[string]any{"frame": good}},
		} {
			refused := func() uint64 {
				s := h.layer.Stats()
				return s.Unrendered + s.Unhandled + h.Stats().Tails.Refused
			}
			before := refused()
			_ = e.node.Deliver(t.Context(), channels.Delivery{Group: groups(h.service.Epoch()).of("lobby"), Event: bad})
			synctest.Wait()
			if refused() == before {
				t.Errorf("%+v was not counted", bad)
			}
		}
		group := groups(h.service.Epoch()).of("lobby")
		if err := e.node.Deliver(t.Context(), channels.Delivery{Group: group, Event: channels.Event{
			Type: eventMessage, Seq: 1, Payload: sealed(good),
		}}); err != nil {
			t.Error(err)
		}
		if m := next[wire.MessageFrame](a); m.Seq != 1 {
			t.Errorf("got %+v", m)
		}
		if got := plain.ReceiveText(); got != `{"message":"good","username":"","seq":1}` {
			t.Errorf("a plain client got %s", got)
		}
	})
}

func TestAMessageDoesNotWaitForTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s street
		store := memstore.New()
		one, _ := openNode(t, &s, store)
		two, _ := openNode(t, &s, store)
		a, b := one.enter(t, 1, "lobby"), two.enter(t, 2, "lobby")
		s.jam(make(chan struct{}))
		start := time.Now()
		for i := range 3 {
			a.say(wire.Post{Room: "lobby", Nonce: fmt.Sprint(i), Text: "hi"})
			next[wire.MessageFrame](a)
		}
		if took := time.Since(start); took > 0 {
			t.Errorf("three messages took %v", took)
		}
		close(s.stuck)
		for seq := range int64(3) {
			if m := next[wire.MessageFrame](b); m.Seq != seq+1 {
				t.Errorf("got %d, want %d", m.Seq, seq+1)
			}
		}
	})
}

func TestAJoinWaitsASecondForTheBrokerAndIsToldOfTheGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := street{stuck: make(chan struct{})}
		store := memstore.New()
		one, end := openNode(t, &s, store)
		start := time.Now()
		a := one.enter(t, 1, "first", "second", "third")
		if took := time.Since(start); took != followWithin {
			t.Errorf("three joins took %v", took)
		}
		a.say(wire.Leave{Room: "second"})
		next[wire.Left](a)
		a.say(wire.Join{Room: "fourth"})
		next[wire.Joined](a)
		close(s.stuck)
		synctest.Wait()
		for room, want := range map[string]bool{"first": true, "second": false, "third": true, "fourth": true} {
			if got := end.follows[groups(one.service.Epoch()).of(room)]; got != want {
				t.Errorf("%s is followed: %v", room, got)
			}
		}
		if gaps := one.layer.Stats().Gaps; gaps == 0 {
			t.Error("nobody was told that events may be missing")
		}
		start = time.Now()
		s.jam(nil)
		a.say(wire.Join{Room: "fifth"})
		next[wire.Joined](a)
		if took := time.Since(start); took != 0 || !end.follows[groups(one.service.Epoch()).of("fifth")] {
			t.Errorf("a join took %v, or was not followed at once", took)
		}
	})
}

func TestTheRoomsOfALogThatNobodySharesStayHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := street{stuck: make(chan struct{})}
		e := s.end()
		relay := NewRelay(RelayOptions{Broker: e, Logger: slog.New(slog.DiscardHandler)})
		h := openOn(t, memstore.New(), relay, noLimits{})
		start := time.Now()
		a := h.enter(t, 1, "lobby")
		a.say(wire.Post{Room: "lobby", Nonce: "n", Text: "hi"})
		next[wire.MessageFrame](a)
		a.say(wire.Leave{Room: "lobby"})
		next[wire.Left](a)
		close(s.stuck)
		events, err := h.layer.Subscribe(t.Context(), "chat_lobby") // as the bridge to Django does
		if err != nil {
			t.Fatal(err)
		}
		_ = events
		if err := h.layer.GroupSend(t.Context(), "chat_lobby", channels.Event{Type: "chat.message", Payload: map[string]any{}}); err != nil {
			t.Fatal(err)
		}
		relay.Close(t.Context())
		if diff := cmp.Diff(map[string]bool{"chat_lobby": true}, e.follows); diff != "" || len(e.sent) != 1 || time.Since(start) > 0 {
			t.Errorf("sent %q in %v, follows (-want +got)\n%s", e.sent, time.Since(start), diff)
		}
	})
}

func TestABrokerThatFailsOrIsTooSlowIsCountedAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := street{stuck: make(chan struct{})}
		e := s.end()
		relay := NewRelay(RelayOptions{Broker: e, Logger: slog.New(slog.DiscardHandler)})
		text := strings.Repeat("x", 1<<20)
		const events = 20
		for range events {
			err := relay.Publish(t.Context(), channels.Delivery{Group: "g", Event: channels.Event{
				Type: "x", Payload: map[string]any{"message": text},
			}})
			if err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		dropped := relay.Stats().Dropped
		if dropped < events-laneBytes>>20-1 || dropped == events {
			t.Errorf("of %d events of 1 MiB, %d were dropped", events, dropped)
		}
		s.mu.Lock()
		s.down = errors.New("down")
		s.mu.Unlock()
		close(s.stuck)
		relay.Close(t.Context())
		// The first is on its way already and gets through.
		if got := relay.Stats(); got.Failed != events-dropped-1 {
			t.Errorf("%+v, want all but %d and one to have failed", got, dropped)
		}
		if err := relay.Publish(t.Context(), channels.Delivery{Group: "g", Event: channels.Event{Type: "x", Payload: map[string]any{}}}); err != nil {
			t.Error(err)
		}
		if got := relay.Stats().Dropped; got != dropped+1 {
			t.Errorf("after Close %d are dropped, want %d", got, dropped+1)
		}
	})
}

func TestGroupsOfRoomsAreLegalAndDifferent(t *testing.T) {
	seen := map[string]string{}
	for _, epoch := range []string{"5be1a0c2d4f60718", "0000000000000000"} {
		for _, room := range []string{"lobby", "Lobby", "a.b", "茶", "茶 1", "茶馆", "a b", "😀", strings.Repeat("x", 64), strings.Repeat("茶", 64), "hash." + strings.Repeat("0", 32)} {
			g := groups(epoch).of(room)
			if channels.SafeName(g) != g {
				t.Errorf("%q is not legal everywhere", g)
			}
			if other, taken := seen[g]; taken {
				t.Errorf("%q and %q share %q", room, other, g)
			}
			seen[g] = room
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(string(wire.Encode(wire.MessageFrame{Room: "lobby", Message: wire.Message{Seq: 7, Text: "x"}})), int64(7))
	f.Add("{}", int64(0))
	seal := newSeal([32]byte{1}, "epoch")
	f.Fuzz(func(t *testing.T, text string, seq int64) {
		e := channels.Event{Type: eventMessage, Seq: seq, Payload: map[string]any{"frame": text, "seal": seal.of(text)}}
		o, err := seal.open(e)
		if err != nil {
			return
		}
		e.Payload = o
		rich, err := richRender[eventMessage](e)
		plain, plainErr := plainRender[eventMessage](e)
		if err != nil || plainErr != nil || string(rich.Data) != text || len(plain.Data) == 0 {
			t.Fatalf("rich %q %v, plain %q %v", rich.Data, err, plain.Data, plainErr)
		}
	})
}
