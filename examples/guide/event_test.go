package guide_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// Member is a consumer to which events look different from member to member.
type Member struct {
	channels.Base
	missed int
}

// memberEvents are the handlers of Member, by type.
var memberEvents = new(channels.Router[*Member]).
	On("chat.message", (*Member).chatMessage).
	On("chat.leave", (*Member).chatLeave)

func (m *Member) Event(ctx context.Context, c *channels.Conn, e channels.Event) error {
	return memberEvents.Dispatch(ctx, m, c, e)
}

func (m *Member) chatMessage(_ context.Context, c *channels.Conn, e channels.Event) error {
	said := e.Payload.(map[string]any)
	if said["from"] == c.ChannelName() {
		return nil // not to who said it
	}
	return c.SendJSON(map[string]any{"message": said["message"]})
}

func (m *Member) chatLeave(ctx context.Context, c *channels.Conn, e channels.Event) error {
	return c.GroupDiscard(ctx, "chat_lobby")
}

func (m *Member) Receive(ctx context.Context, c *channels.Conn, f channels.Frame) error {
	return c.Layer().GroupSend(ctx, "chat_lobby", channels.Event{
		Type:    "chat.message",
		Payload: map[string]any{"message": string(f.Data), "from": c.ChannelName()},
	})
}

// Lost is called before the next Event when some were dropped, because this
// member was slow.
func (m *Member) Lost(_ context.Context, _ *channels.Conn, n int) { m.missed += n }

// Gap is called when the connection to the other processes was lost: what they
// sent meanwhile is missing.
func (m *Member) Gap(_ context.Context, c *channels.Conn, _ []string) error {
	return c.SendJSON(map[string]any{"reload": true})
}

// say is a handler, not a consumer, that speaks in a room.
func say(layer *channels.Layer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := layer.GroupSend(r.Context(), "chat_"+r.PathValue("room"), channels.Event{
			Type:    "chat.message",
			Payload: map[string]any{"message": r.FormValue("message")},
		})
		if errors.Is(err, channels.ErrUnpublished) {
			w.WriteHeader(http.StatusAccepted) // who is connected to this process has it
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// wire is a broker that cannot reach anybody.
type wire struct{ node channels.Node }

func (w *wire) Start(n channels.Node)                            { w.node = n }
func (w *wire) Follow(context.Context, []string) error           { return nil }
func (w *wire) Unfollow(context.Context, []string) error         { return nil }
func (w *wire) Publish(context.Context, channels.Delivery) error { return errors.New("down") }

func TestMembersHearTheOthersAndOfWhatTheyMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := new(wire)
		layer := channels.NewLayer(&channels.LayerOptions{Broker: broker})
		members := channels.Handler(func() channels.Consumer { return new(Member) },
			&channels.Options{Layer: layer, Groups: []string{"chat_lobby"}})
		ann, bob := channelstest.New(t, members, "/"), channelstest.New(t, members, "/")
		ann.Connect()
		bob.Connect()
		ann.SendText("hi")
		if got := bob.ReceiveText(); got != `{"message":"hi"}` {
			t.Errorf("got %s", got)
		}
		ann.ReceiveNothing()

		mux := http.NewServeMux()
		mux.Handle("POST /{room}", say(layer))
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("POST", "/lobby?message=tea", nil))
		if got := ann.ReceiveText(); got != `{"message":"tea"}` || w.Code != http.StatusAccepted {
			t.Errorf("got %s, and the answer is %d", got, w.Code)
		}
		broker.node.Gap()
		if got := ann.ReceiveText(); got != `{"reload":true}` {
			t.Errorf("got %s", got)
		}
		if err := layer.GroupSend(t.Context(), "chat_lobby", channels.Event{Type: "chat_leave"}); !errors.Is(err, channels.ErrUnpublished) {
			t.Error(err)
		}
		synctest.Wait()
		if n := layer.Stats().Members; n != 0 {
			t.Errorf("%d are left", n)
		}
		ann.Disconnect(1000)
		bob.Disconnect(1000)
		if err := layer.Close(); err != nil {
			t.Error(err)
		}
	})
}
