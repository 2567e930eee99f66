package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/examples/internal/stage"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEverybodyInTheRoomAndNobodyElseSeesWhatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chat := site(channels.NewLayer(nil))
		enter := func(room string) *channelstest.Client {
			c := channelstest.New(t, chat, "/ws/chat/"+room+"/")
			c.Connect()
			return c
		}
		ann, bob, eve := enter("lobby"), enter("lobby"), enter("%E8%8C%B6")
		ann.SendText(`{"message":"hi <b>"}`)
		for _, c := range []*channelstest.Client{ann, bob} {
			if got := c.ReceiveText(); got != `{"message":"hi \u003cb\u003e"}` {
				t.Errorf("got %s", got)
			}
		}
		eve.ReceiveNothing()

		ann.SendText("hi")
		if code, _ := ann.Closed(); code != channels.CloseInvalid {
			t.Errorf("what is not JSON closes with %d", code)
		}
		bob.SendText(`{"message":"still here"}`)
		if got := bob.ReceiveText(); got != `{"message":"still here"}` {
			t.Errorf("got %s", got)
		}
		bob.Disconnect(1000)
		eve.Disconnect(1000)
	})
}

func TestTheProgramServesThePageAndTheRoom(t *testing.T) {
	address, _ := stage.Serve(t, stage.Build(t, "chat"))
	if status, page := stage.Get(t, "http://"+address+"/"); status != 200 || !strings.Contains(page, "new WebSocket(") {
		t.Errorf("the page is %d %s", status, page)
	}
	if status, _ := stage.Get(t, "http://"+address+"/ws/chat/lobby/"); status != 426 {
		t.Errorf("a browser that opens the socket's address gets %d", status)
	}
	b := stage.Dial(t, address, "/ws/chat/lobby/")
	b.Say(`{"message":"hello"}`)
	b.Hears(`{"message":"hello"}`)
}

func TestWithRedisTwoProcessesAreOneRoom(t *testing.T) {
	program := stage.Build(t, "chat")
	for _, scheme := range []string{"redis", "redis+pubsub"} {
		t.Run(scheme, func(t *testing.T) {
			redis := parts.Redis(t, parts.RedisOptions{})
			layer := scheme + strings.TrimPrefix(redis.URL(), "redis")
			first, _ := stage.Serve(t, program, "-layer", layer)
			second, _ := stage.Serve(t, program, "-layer", layer)
			ann, bob := stage.Dial(t, first, "/ws/chat/lobby/"), stage.Dial(t, second, "/ws/chat/lobby/")
			ann.Say(`{"message":"from one process"}`)
			bob.Hears(`{"message":"from one process"}`)
			bob.Say(`{"message":"from the other"}`)
			ann.Hears(`{"message":"from one process"}`)
			ann.Hears(`{"message":"from the other"}`)

			redis.Kill()
			ann.Say(`{"message":"without Redis"}`)
			ann.Hears(`{"message":"without Redis"}`)
		})
	}
}
