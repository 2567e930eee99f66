package channels_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// Chat is the consumer of the tutorial of Django Channels: everybody in a room
// gets what anybody in it says.
type Chat struct {
	channels.Base
	group string
}

func (chat *Chat) Connect(ctx context.Context, c *channels.Conn) error {
	chat.group = "chat_" + c.Request().PathValue("room")
	return c.GroupAdd(ctx, chat.group)
}

func (chat *Chat) Receive(ctx context.Context, c *channels.Conn, f channels.Frame) error {
	var said struct {
		Message string `json:"message"`
	}
	if err := f.JSON(&said); err != nil {
		return err // closes with 1007
	}
	return c.Layer().GroupSend(ctx, chat.group, channels.Event{
		Type:    "chat.message",
		Payload: map[string]any{"message": said.Message}, // what a broker can carry
	})
}

// The chat of the original tutorial, whole: GroupAdd, GroupSend, and one
// renderer that makes the frame for all members.
func Example() {
	layer := channels.NewLayer(nil)
	mux := http.NewServeMux()
	mux.Handle("/ws/chat/{room}/", channels.Handler(
		func() channels.Consumer { return new(Chat) },
		&channels.Options{
			Layer: layer,
			Render: map[string]func(channels.Event) (channels.Frame, error){
				"chat.message": func(e channels.Event) (channels.Frame, error) {
					return channels.JSONFrame(e.Payload)
				},
			},
		}))

	visit := new(visit)
	defer visit.end()
	alice, bob := visit.browser(mux, "/ws/chat/lobby/"), visit.browser(mux, "/ws/chat/lobby/")
	alice.SendText(`{"message":"hi"}`)
	fmt.Println(alice.ReceiveText())
	fmt.Println(bob.ReceiveText())
	// Output:
	// {"message":"hi"}
	// {"message":"hi"}
}

// Clock is a consumer that answers events one connection at a time: each client
// gets the event only if it asked for it.
type Clock struct {
	channels.Base
	wants string
}

// clockEvents is the table of Clock's handlers.
var clockEvents = new(channels.Router[*Clock]).On("clock.tick", (*Clock).tick)

func (k *Clock) Connect(ctx context.Context, c *channels.Conn) error {
	k.wants = c.Request().URL.Query().Get("zone")
	return c.GroupAdd(ctx, "clock")
}

func (k *Clock) Event(ctx context.Context, c *channels.Conn, e channels.Event) error {
	return clockEvents.Dispatch(ctx, k, c, e)
}

func (k *Clock) tick(_ context.Context, c *channels.Conn, e channels.Event) error {
	text, ok := e.Payload.(map[string]string)[k.wants]
	if !ok {
		return nil
	}
	return c.Send(channels.TextFrame([]byte(text)))
}

// A consumer with a handler for each type of event.
func ExampleRouter() {
	layer := channels.NewLayer(nil)
	clocks := channels.Handler(func() channels.Consumer { return new(Clock) }, &channels.Options{Layer: layer})

	visit := new(visit)
	defer visit.end()
	c := visit.browser(clocks, "/?zone=Asia/Shanghai")
	tick := map[string]string{"Asia/Shanghai": "16:20", "Europe/Berlin": "09:20"}
	if err := layer.GroupSend(context.Background(), "clock", channels.Event{Type: "clock_tick", Payload: tick}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(c.ReceiveText())
	// Output: 16:20
}

// News is a consumer that replays a log and then follows it.
type News struct {
	channels.Base
	read func(context.Context) []string // entry i has Seq i+1
}

func (n *News) Connect(ctx context.Context, c *channels.Conn) error {
	hold, err := c.GroupJoin(ctx, "news") // from here on nothing is missed
	if err != nil {
		return err
	}
	log := n.read(ctx)
	for _, text := range log {
		if err := c.SendWait(ctx, channels.TextFrame([]byte(text))); err != nil {
			return err
		}
	}
	hold.Release(int64(len(log))) // and nothing comes twice
	return nil
}

// Replaying a log and following it, without a hole or a double in between.
func ExampleHold() {
	layer := channels.NewLayer(nil)
	publish := func(ctx context.Context, seq int64, text string) {
		if err := layer.GroupSend(ctx, "news", channels.Event{Type: "news", Seq: seq, Payload: text}); err != nil {
			fmt.Println(err)
		}
	}
	read := func(ctx context.Context) []string {
		publish(ctx, 2, "two")   // stored before the log is read,
		publish(ctx, 3, "three") // and after
		return []string{"one", "two"}
	}
	news := channels.Handler(
		func() channels.Consumer { return &News{read: read} },
		&channels.Options{
			Layer: layer,
			Render: map[string]func(channels.Event) (channels.Frame, error){
				"news": func(e channels.Event) (channels.Frame, error) {
					return channels.TextFrame([]byte(e.Payload.(string))), nil
				},
			},
		})

	visit := new(visit)
	defer visit.end()
	c := visit.browser(news, "/")
	fmt.Println(c.ReceiveText(), c.ReceiveText(), c.ReceiveText())
	// Output: one two three
}

// visit lends examples the testing.TB that they do not have.
type visit struct {
	testing.TB
	cleanups []func()
}

func (v *visit) Helper()                   {}
func (v *visit) Cleanup(f func())          { v.cleanups = append(v.cleanups, f) }
func (v *visit) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (v *visit) browser(h http.Handler, path string) *channelstest.Client {
	c := channelstest.New(v, h, path)
	c.Connect()
	return c
}

func (v *visit) end() {
	for _, f := range v.cleanups {
		f()
	}
}
