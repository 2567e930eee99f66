package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestAServerThatIsNotThereFailsNoJoin(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	server.Stop()
	p, q := start(t, at(server)), start(t, at(server))
	p.follow("g", "left")
	if err := p.Unfollow(t.Context(), []string{"left"}); err != nil {
		t.Error(err)
	}
	if err := q.send("g", "lost"); err == nil || !strings.Contains(err.Error(), "connect to nats://"+server.Address) {
		t.Errorf("an event sent to nowhere: %v", err)
	}
	p.awaitsState(false, "refused")

	server.Restart()
	p.awaitsGap("g")
	p.awaitsState(true, "")
	q.awaitsState(true, "")
	q.mustSend("g", "back")
	if got := p.awaits("back"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
	if slices.Contains(p.hasGaps(), "left") {
		t.Error("a gap was told of a group that was left")
	}
	for _, line := range []string{"no connection, trying again", "connected again"} {
		p.note(func() {
			if n := strings.Count(p.log.String(), line); n != 1 {
				t.Errorf("the log has %q %d times:\n%s", line, n, p.log.String())
			}
		})
	}
}

func TestNoGapIsToldWhenNothingWasLost(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p, q := start(t, at(server)), start(t, at(server))
	p.follow("a")
	p.follow("b", "c")
	q.mustSend("c", "1")
	p.awaits("1")
	if gaps := p.hasGaps(); len(gaps) > 0 {
		t.Errorf("gaps were told: %q", gaps)
	}
}

func TestEveryRestartIsAGap(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p, q := start(t, at(server)), start(t, at(server))
	p.follow("g")
	for i, restart := range []func(){server.Restart, server.Crash, server.Restart} {
		before := len(p.hasGaps())
		restart()
		parts.Eventually(t, "a gap is told", func() bool { return len(p.hasGaps()) > before })
		q.awaitsState(true, "")
		message := fmt.Sprint(i)
		parts.Eventually(t, "events are sent again", func() bool { return q.send("g", message) == nil })
		p.awaits(message)
	}
}

// The follower's connection is well all the time: only the sender knows.
func TestWhatASenderLostIsToldToWhoFollows(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	for name, lose := range map[string]func(*proxy, *process){
		"swallowed on its way": func(between *proxy, q *process) {
			between.silence(true)
			q.mustSend("g", "lost")
			between.cut()
			between.silence(false)
		},
		"swallowed, and asked about": func(between *proxy, q *process) {
			between.silence(true)
			q.mustSend("g", "lost")
			parts.Eventually(t, "it is asked about", func() bool {
				q.sending.mu.Lock()
				defer q.sending.mu.Unlock()
				return !q.sending.asked.none()
			})
			between.cut()
			between.silence(false)
		},
		"not sent without a connection": func(between *proxy, q *process) {
			between.cut()
			parts.Eventually(t, "it is an error", func() bool { return q.send("g", "lost") != nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			between := before(t, server)
			p, q := start(t, at(server)), start(t, between.options())
			p.follow("g", "calm")
			q.mustSend("calm", "1")
			p.awaits("1")
			parts.Eventually(t, "what was sent is settled", func() bool {
				q.sending.mu.Lock()
				defer q.sending.mu.Unlock()
				return q.sending.unsure.none() && q.sending.asked.none()
			})
			lose(between, q)
			p.awaitsGap("g")
			q.mustSend("g", "next")
			p.awaits("next")
			if slices.Contains(p.hasGaps(), "calm") {
				t.Error("a gap was told of a group that nothing was sent to")
			}
		})
	}
}

func TestTooManyGroupsInDoubtAreAGapOfAll(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	between := before(t, server)
	p, q := start(t, at(server)), start(t, between.options())
	p.follow("g")
	q.mustSend("g", "1")
	p.awaits("1")
	between.silence(true)
	for i := range maxUnsure + 1 {
		q.mustSend(fmt.Sprint(i), "lost")
	}
	between.cut()
	between.silence(false)
	p.awaitsGap("all")
}

func TestASilentServerStopsNobodyForLong(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p := start(t, at(server))
	p.follow("g")
	server.Signal(syscall.SIGSTOP)
	defer server.Signal(syscall.SIGCONT)
	parts.Eventually(t, "Follow ends with its context", func() bool { // when the signal has come there
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := p.Follow(ctx, []string{"h"})
		if err == nil {
			err = p.Unfollow(t.Context(), []string{"h"})
		}
		return errors.Is(err, context.DeadlineExceeded)
	})
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"Publish": p.send("g", "3"),
		"Follow":  p.Follow(t.Context(), []string{"g"}),
	} {
		if !errors.Is(err, errClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if _, err := p.Receive(t.Context(), "work"); !errors.Is(err, errClosed) {
		t.Errorf("Receive after Close: %v", err)
	}
}

func TestAServerThatIsSilentFromTheStartDoesNotHoldClose(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	server.Signal(syscall.SIGSTOP)
	defer server.Signal(syscall.SIGCONT)
	p := start(t, at(server))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Publish(ctx, channels.Delivery{Group: "g", Event: say("x")}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Publish: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// raw is another client, which may say anything.
func raw(t *testing.T, server *parts.NATSServer) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestWhatComesLateOrFromItselfIsNotDelivered(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p := start(t, at(server))
	p.follow("g", "h")
	nc := raw(t, server)
	publish := func(group string, sender processID, connection uint32, text string) {
		t.Helper()
		m, err := encode(say(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		message{kind: kindEvent, sender: sender, connection: connection}.appendHead(m[:0])
		if err := nc.Publish("teahouse.g."+group, m); err != nil {
			t.Fatal(err)
		}
	}
	other, third := processID{1}, processID{2}
	publish("g", other, 1, "first")
	publish("g", p.Broker.id, 1, "its own")
	publish("g", other, 2, "second")
	publish("h", other, 1, "late")
	publish("g", third, 1, "of a third")
	if got, want := p.awaits("of a third"), []string{"first", "second", "of a third"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	p.awaitsLoss("late", 1)
	p.awaitsGap("h")
	if slices.Contains(p.hasGaps(), "g") {
		t.Error("a gap of g was told")
	}
}

func TestWhatIsNoMessageIsCountedAndIgnored(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p, q := start(t, at(server)), start(t, at(server))
	p.follow("g")
	nc := raw(t, server)
	head := string(message{kind: kindEvent, sender: processID{1}, connection: 1}.appendHead(nil))
	gap := string(message{kind: kindGap, sender: processID{1}, connection: 1}.appendHead(nil))
	wrong := []string{
		"", "hello", head, head + "\xc1", head + "\x80", head + "\x01", "\x07" + head[1:], head[:headSize-1] + "\x00\x80",
		gap + "\x80", head + "\x81\xa4type\x07",
	}
	for _, text := range wrong {
		if err := nc.Publish("teahouse.g.g", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	// An event for a channel of another process.
	m, err := encode(say("x"), []string{"specific." + q.id + "!x"})
	if err != nil {
		t.Fatal(err)
	}
	message{kind: kindEvent, sender: processID{1}, connection: 1}.appendHead(m[:0])
	if err := nc.Publish("teahouse.p."+p.id, m); err != nil {
		t.Fatal(err)
	}
	p.awaitsLoss("malformed", len(wrong)+1)
	q.mustSend("g", "good")
	if got := p.awaits("good"); len(got) != 1 {
		t.Errorf("got %q", got)
	}
}

func TestOneMessageComesToEachOtherProcessThatFollowsAndNoneBack(t *testing.T) {
	server := parts.NATS(t, parts.NATSOptions{})
	p, q, idle := start(t, at(server)), start(t, at(server)), start(t, at(server))
	p.follow("g", "end")
	q.follow("g", "end")
	idle.follow("end")
	for range 10 {
		p.mustSend("g", "x")
	}
	p.mustSend("end", "p's end")
	q.awaits("p's end")
	idle.awaits("p's end")
	q.mustSend("end", "q's end")
	p.awaits("q's end")
	for name, tt := range map[string]struct {
		*process
		want uint64
	}{"the sender": {p, 1}, "a follower": {q, 11}, "another": {idle, 2}} {
		tt.sending.mu.Lock()
		got := tt.sending.conn.Stats().InMsgs
		tt.sending.mu.Unlock()
		if got != tt.want {
			t.Errorf("%s: %d messages came, want %d", name, got, tt.want)
		}
	}
}
