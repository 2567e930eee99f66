package live

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// plainMux routes as the app does.
func (h *house) plainMux() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws/chat/{room}/{$}", h.Plain())
	return mux
}

func TestAPlainClientSeesWhatItSaid(t *testing.T) {
	h := open(t)
	a := channelstest.New(t, h.plainMux(), "/ws/chat/"+"caf%C3%A9/")
	b := channelstest.New(t, h.plainMux(), "/ws/chat/"+"cafe%CC%81/") // the same room, spelled otherwise
	a.Connect()
	b.Connect()
	a.SendText(`{"message":"hi <script>"}`)
	for _, c := range []*channelstest.Client{a, b} {
		if got := c.ReceiveText(); !strings.HasPrefix(got, `{"message":"hi \u003cscript\u003e","username":`) {
			t.Errorf("got %s", got)
		}
	}
}

func TestAPlainClientsMistakesAreIgnoredUpToTen(t *testing.T) {
	h := open(t)
	c := channelstest.New(t, h.plainMux(), "/ws/chat/lobby/")
	c.Connect()
	bad := []string{
		"", "nonsense", "[]", `"x"`, `{}`, `{"text":"x"}`, `{"message":1}`, `{"message":""}`,
		`{"message":"` + strings.Repeat("a", 8001) + `"}`,
	}
	for range 3 {
		for _, frame := range bad {
			c.SendText(frame)
		}
		c.SendText(`{"message":"still here"}`)
		if got := c.ReceiveText(); !strings.Contains(got, "still here") {
			t.Fatalf("got %s", got)
		}
	}
	if n := h.Stats().BadFrames; n != int64(3*len(bad)) {
		t.Errorf("%d bad frames were counted, want %d", n, 3*len(bad))
	}
	for range maxBad {
		c.SendText("nonsense")
	}
	if code, reason := c.Closed(); code != 1008 || reason == "" {
		t.Errorf("closed with %d %q", code, reason)
	}
}

func TestARoomThatCannotBeIsRefused(t *testing.T) {
	h := open(t)
	for _, room := range []string{"%00", "a%2Fb", "%20", strings.Repeat("a", 65)} {
		if answer := channelstest.New(t, h.plainMux(), "/ws/chat/"+room+"/").Refused(); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", room, answer.Status)
		}
	}
}

// fullHouse lets nobody make a room.
type fullHouse struct{ noLimits }

func (fullHouse) Take(kind chat.Limit, _ string) time.Duration {
	if kind == chat.LimitRooms {
		return time.Minute
	}
	return 0
}

func TestAMessageThatWaitsDoesNotHoldUpTheEnd(t *testing.T) {
	h := openWith(t, fullHouse{})
	c := channelstest.New(t, h.plainMux(), "/ws/chat/lobby/")
	c.Connect()
	c.SendText(`{"message":"waits for a room"}`)
	for h.service.Stats().Refused == 0 {
		runtime.Gosched()
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if code, _ := c.Closed(); code != wire.CloseRestart {
		t.Errorf("closed with %d", code)
	}
}
