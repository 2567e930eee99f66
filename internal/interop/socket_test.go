package interop

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// chat is the consumer of the tutorial: it is in one room, shows its messages,
// and what is sent to it alone.
type chat struct {
	channels.Base
	log *chatLog
}

// chatLog is what happened to all consumers.
type chatLog struct {
	mu      sync.Mutex
	names   []string // of channels
	ended   map[*channels.Conn]int
	gaps    map[*channels.Conn]int
	strange []string
}

func (c chat) Connect(ctx context.Context, conn *channels.Conn) error {
	c.log.mu.Lock()
	c.log.names = append(c.log.names, conn.ChannelName())
	c.log.mu.Unlock()
	return conn.GroupAdd(ctx, "chat_lobby")
}

func (c chat) Event(_ context.Context, conn *channels.Conn, e channels.Event) error {
	if e.Type != "alone" {
		c.log.mu.Lock()
		c.log.strange = append(c.log.strange, e.Type)
		c.log.mu.Unlock()
		return nil
	}
	return conn.Send(channels.TextFrame([]byte("for you alone")))
}

func (c chat) Gap(_ context.Context, conn *channels.Conn, groups []string) error {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.gaps[conn]++
	if len(groups) != 1 || groups[0] != "chat_lobby" {
		c.log.strange = append(c.log.strange, fmt.Sprintf("a gap of %q", groups))
	}
	return nil
}

func (c chat) Disconnect(_ context.Context, conn *channels.Conn, _ int) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.ended[conn]++
}

// browsers connects so many clients of the tutorial.
func browsers(t *testing.T, l *channels.Layer, n int) ([]*channelstest.Client, *chatLog) {
	t.Helper()
	log := &chatLog{ended: map[*channels.Conn]int{}, gaps: map[*channels.Conn]int{}}
	h := channels.Handler(func() channels.Consumer { return chat{log: log} }, &channels.Options{
		Layer: l,
		Render: map[string]func(channels.Event) (channels.Frame, error){"chat.message": func(e channels.Event) (channels.Frame, error) {
			text, ok := e.Payload.(map[string]any)["message"].(string)
			if !ok {
				return channels.Frame{}, fmt.Errorf("a message of %T", e.Payload.(map[string]any)["message"])
			}
			return channels.TextFrame([]byte(text)), nil
		}},
	})
	t.Cleanup(func() {
		if err := h.Shutdown(context.Background(), 1012, nil); err != nil {
			t.Error(err)
		}
	})
	all := make([]*channelstest.Client, n)
	for i := range all {
		all[i] = channelstest.New(t, h, "/ws/chat/lobby/")
		all[i].Connect()
	}
	return all, log
}

// say has Python send a message to the room.
func (d *django) say(message any) error {
	return d.ask("group_send", map[string]any{"group": "chat_lobby", "message": map[string]any{"type": "chat.message", "message": message}}, nil)
}

func TestBrowsersGetWhatDjangoSendsEmptyTextsToo(t *testing.T) {
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			l := p.layer(channels.LayerOptions{})
			d := p.python()
			d.reached(l)
			all, log := browsers(t, l, 3)
			for _, message := range []string{"hi", "", "茶馆 <b>", ""} {
				must(t, d.say(message))
				for _, c := range all {
					if f := c.Receive(); f.Kind != channels.Text || string(f.Data) != message {
						t.Errorf("got %v %q, want %q", f.Kind, f.Data, message)
					}
				}
			}
			d.do("send", map[string]any{"channel": log.names[1], "message": map[string]any{"type": "alone"}}, nil)
			if got := all[1].ReceiveText(); got != "for you alone" {
				t.Errorf("the one addressed got %q", got)
			}
			all[0].ReceiveNothing()
			if len(log.strange) > 0 {
				t.Errorf("consumers were told %q", log.strange)
			}
			d.calm()
		})
	}
}

func TestSocketsOutliveAnOutageAreToldOfTheGapAndEndOnce(t *testing.T) {
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			l := p.layer(channels.LayerOptions{})
			d := p.python()
			all, log := browsers(t, l, 6)
			p.servers[0].Kill()
			must(t, l.GroupAdd(t.Context(), "other", l.NewChannel(""))) // joins go on
			all[5].Disconnect(1000)                                     // and leaves
			p.servers[0].Restart()
			all = all[:5]
			parts.Eventually(t, "every consumer is told of the gap", func() bool {
				log.mu.Lock()
				defer log.mu.Unlock()
				return len(log.gaps) >= len(all)
			})
			parts.Eventually(t, "Python is connected again", func() bool { return d.say("after the gap") == nil })
			for _, c := range all {
				if got := c.ReceiveText(); got != "after the gap" {
					t.Errorf("got %q", got)
				}
			}
			all[0].Disconnect(1000)
			all[1].Drop()
			for _, c := range all[2:] {
				c.Disconnect(1001)
			}
			parts.Eventually(t, "every consumer has ended", func() bool {
				log.mu.Lock()
				defer log.mu.Unlock()
				return len(log.ended) == 6
			})
			log.mu.Lock()
			defer log.mu.Unlock()
			for _, n := range log.ended {
				if n != 1 {
					t.Errorf("Disconnect ran %d times", n)
				}
			}
			if len(log.strange) > 0 {
				t.Errorf("consumers were told %q", log.strange)
			}
		})
	}
}

func TestASocketStaysMemberBeyondTheExpiryOfGroups(t *testing.T) {
	t.Parallel() // it is waiting, most of the time
	p := at(t, "core", 1, map[string]any{"group_expiry": 2})
	l := p.layer(channels.LayerOptions{GroupExpiry: 2 * time.Second})
	d := p.python()
	all, _ := browsers(t, l, 1)
	for i := range 10 {
		must(t, d.say(fmt.Sprint(i)))
		if got := all[0].ReceiveText(); got != fmt.Sprint(i) {
			t.Fatalf("got %q, want %d", got, i)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
