package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	redigo "github.com/gomodule/redigo/redis"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/internal/inbox"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestARedisThatIsNotThereFailsNoJoin(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	server.Stop()
	p, b := pubsubProcess(t, Options{Hosts: at(server)})
	q, _ := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("g")
	p.follow("left")
	if err := b.Unfollow(t.Context(), []string{"left"}); err != nil {
		t.Error(err)
	}
	if err := q.send("g", "lost"); err == nil {
		t.Error("an event was sent to nowhere")
	} else if strings.Contains(err.Error(), "127.0.0.1") && !strings.Contains(err.Error(), "redis://") {
		t.Errorf("the error does not say which host: %v", err)
	}
	parts.Eventually(t, "the state says so", func() bool { s := b.States()[0]; return !s.Connected && s.Err != nil })

	server.Restart()
	p.awaitsGap("g")
	if s := b.States()[0]; !s.Connected || s.Err != nil || s.Host != "redis://"+server.Address {
		t.Errorf("the state is %+v", s)
	}
	parts.Eventually(t, "events are sent again", func() bool { return q.send("g", "back") == nil })
	parts.Eventually(t, "events arrive again", func() bool { return len(p.deliveries()) > 0 })
	if slices.Contains(p.hasGaps(), "left") {
		t.Error("a gap was told of a group that was left")
	}
	for _, line := range []string{"no connection, trying again", "connected again"} {
		if n := strings.Count(p.logged(), line); n != 1 {
			t.Errorf("the log has %q %d times:\n%s", line, n, p.logged())
		}
	}
}

func TestNoGapIsToldWhenNothingWasLost(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, _ := pubsubProcess(t, Options{Hosts: at(server)})
	q, _ := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("a")
	p.follow("b", "c")
	if err := q.send("c", "1"); err != nil {
		t.Fatal(err)
	}
	p.awaits(said("c", "1"))
	if gaps := p.hasGaps(); len(gaps) > 0 {
		t.Errorf("gaps were told: %q", gaps)
	}
}

func TestARestartIsAGapOfAllGroupsOfTheServerAndOfNoOther(t *testing.T) {
	one, two := parts.Redis(t, parts.RedisOptions{}), parts.Redis(t, parts.RedisOptions{})
	o := Options{Hosts: append(at(one), at(two)...)}
	p, _ := pubsubProcess(t, o)
	q, _ := pubsubProcess(t, o)
	// By section 5 of the format, the lobby is on the first and the room on the second.
	p.follow("chat_lobby", "chat_room-1")
	for i := range 3 {
		one.Restart()
		parts.Eventually(t, "a gap is told", func() bool { return len(p.hasGaps()) == i+1 })
	}
	if gaps := p.hasGaps(); slices.Contains(gaps, "chat_room-1") {
		t.Errorf("gaps were told: %q", gaps)
	}
	for i, g := range []string{"chat_lobby", "chat_room-1"} {
		parts.Eventually(t, "events are sent again", func() bool { return q.send(g, "x") == nil })
		parts.Eventually(t, "events arrive again", func() bool { return len(p.deliveries()) > i })
	}
}

func TestASilentServerStopsNobodyForLong(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, b := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("g")
	if err := p.send("g", "1"); err != nil {
		t.Fatal(err)
	}
	server.Signal(syscall.SIGSTOP)
	defer server.Signal(syscall.SIGCONT)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Publish(ctx, channels.Delivery{Group: "g", Event: say("2")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Publish: %v", err)
	}
	if err := b.Follow(ctx, []string{"h"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Follow: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := p.send("g", "3"); !errors.Is(err, errClosed) {
		t.Errorf("Publish after Close: %v", err)
	}
	if err := b.Follow(t.Context(), []string{"g"}); !errors.Is(err, errClosed) {
		t.Errorf("Follow after Close: %v", err)
	}
	if _, err := b.Receive(t.Context(), "work"); !errors.Is(err, errClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
}

// Whoever gets an event may send to a channel that it names.
func TestNothingIsPublishedBeforeAllHostsAreListenedTo(t *testing.T) {
	one, two := parts.Redis(t, parts.RedisOptions{}), parts.Redis(t, parts.RedisOptions{})
	two.Signal(syscall.SIGSTOP)
	p, b := pubsubProcess(t, Options{Hosts: append(at(one), at(two)...)})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	d := channels.Delivery{Group: "chat_lobby", Event: say("hi")} // on the first host
	if err := b.Publish(ctx, d); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Publish: %v", err)
	}
	two.Signal(syscall.SIGCONT)
	if err := p.send("chat_lobby", "hi"); err != nil {
		t.Error(err)
	}
}

// A server before version 6 knows no HELLO.
func TestAnOldServerIsSpokenToInItsProtocol(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{Args: []string{"--rename-command", "HELLO", ""}})
	p, _ := pubsubProcess(t, Options{Hosts: at(server)})
	q, _ := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("g")
	q.follow("g")
	for i := range 3 {
		for _, n := range []*process{p, q} {
			if err := n.send("g", fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := []string{said("g", "0"), said("g", "1"), said("g", "2")}
	p.awaits(want...)
	q.awaits(want...)
	server.Restart()
	p.awaitsGap("g")
	parts.Eventually(t, "events are sent again", func() bool { return q.send("g", "back") == nil })
	parts.Eventually(t, "events arrive again", func() bool { return len(p.deliveries()) > 3 })
}

func TestWhatDoesNotFitIsCountedAndToldAsAGap(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, _ := pubsubProcess(t, Options{Hosts: at(server)})
	q, _ := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("g", "calm")
	free := p.hold()
	large := strings.Repeat("x", 1<<20-1000)
	const sent = inbox.MaxWaiting>>20 + 5
	for range sent {
		if err := q.send("g", large); err != nil {
			t.Fatal(err)
		}
	}
	parts.Eventually(t, "something is dropped", func() bool { return p.losses("full") > 0 })
	free()
	p.awaitsGap("g")
	parts.Eventually(t, "the rest arrives", func() bool { return len(p.deliveries())+p.losses("full") == sent })
	if gaps := p.hasGaps(); slices.Contains(gaps, "calm") {
		t.Errorf("gaps were told: %q", gaps)
	}
	if err := q.send("g", "small"); err != nil {
		t.Fatal(err)
	}
	parts.Eventually(t, "the next arrives", func() bool { return slices.Contains(p.deliveries(), said("g", "small")) })
}

// The messages of a transaction have nothing between them, so whatever else
// comes means that our own did not come here.
func TestOnlyTheVeryNextMessageIsOurOwn(t *testing.T) {
	own := redigo.Message{Pattern: "*", Channel: "asgi.p!own", Data: []byte("asgi__group__g")}
	g := redigo.Message{Channel: "asgi__group__g"}
	direct := redigo.Message{Pattern: "*", Channel: "asgi__group__g"}
	for name, tt := range map[string]struct {
		come    []any
		arrived int
	}{
		"its own":                        {[]any{own, g}, 0},
		"its own and another's":          {[]any{own, g, g}, 1},
		"another's of a different group": {[]any{own, redigo.Message{Channel: "other"}, g}, 2},
		"another's after a subscription": {[]any{own, redigo.Subscription{}, g}, 1},
		"another's to a channel":         {[]any{own, direct, g}, 2},
		"two of its own":                 {[]any{own, own, g, g}, 1},
	} {
		p := &PubSub{own: "asgi.p!own"}
		f := newFeed(p, nil)
		p.feeds = []*feed{f}
		s := newStream(f, nil)
		for _, m := range tt.come {
			switch m := m.(type) {
			case redigo.Message:
				s.message(m)
			case redigo.Subscription:
				s.subscription()
			}
		}
		if n := f.inbox.Waiting(); n != tt.arrived {
			t.Errorf("%s: %d arrived, want %d", name, n, tt.arrived)
		}
	}
}

func TestAChannelOfNoProcessKeepsWhatComesBetweenReceivers(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, b := pubsubProcess(t, Options{Hosts: at(server)})
	work := channels.Delivery{Channels: []string{"work"}, Event: say("do it")}
	giveUp(t, server, b)
	for range 150 {
		if err := b.Publish(t.Context(), work); err != nil {
			t.Fatal(err)
		}
	}
	parts.Eventually(t, "what does not fit is counted", func() bool { return p.losses("full") == 50 })
	for range 40 {
		if e, err := b.Receive(t.Context(), "work"); err != nil || fmt.Sprint(e.Payload) != "map[message:do it]" {
			t.Fatalf("got %v, %v", e, err)
		}
	}
	b.feed("work").forget("work") // as after the expiry
	parts.Eventually(t, "it is not subscribed to any more", func() bool { return subscribers(server) == "0" })
	if n := p.losses("expired"); n != 60 {
		t.Errorf("%d were counted, 60 waited", n)
	}
}

func TestAChannelOfNoProcessIsLeftWhenNobodyReceives(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	b, err := NewPubSub(Options{Hosts: at(server)})
	if err != nil {
		t.Fatal(err)
	}
	startProcess(t, b, 10*time.Millisecond)
	t.Cleanup(func() { _ = b.Close() })
	giveUp(t, server, b)
	parts.Eventually(t, "it is not subscribed to any more", func() bool { return subscribers(server) == "0" })
}

// giveUp receives until that is subscribed, and then no more.
func giveUp(t *testing.T, server *parts.RedisServer, b *PubSub) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { _, err := b.Receive(ctx, "work"); failed <- err }()
	parts.Eventually(t, "it is subscribed to", func() bool { return subscribers(server) == "1" })
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Receive: %v", err)
	}
}

func subscribers(server *parts.RedisServer) string {
	return strings.TrimPrefix(server.Must("PUBSUB", "NUMSUB", "work"), "work\n")
}
