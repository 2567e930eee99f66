package guide_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// Table is a consumer that is particular about who sits down.
type Table struct {
	channels.Base
	number int
}

func (t *Table) Connect(_ context.Context, c *channels.Conn) error {
	var err error
	if t.number, err = strconv.Atoi(c.Request().PathValue("table")); err != nil {
		return &channels.Refusal{Status: http.StatusNotFound, Text: "There is no such table."}
	}
	return c.Accept("tea.v2", http.Header{"X-Table": {strconv.Itoa(t.number)}})
}

func (t *Table) Receive(_ context.Context, c *channels.Conn, f channels.Frame) error {
	if f.Kind == channels.Binary {
		return c.Send(f) // an echo
	}
	var order struct{ Tea string }
	if err := f.JSON(&order); err != nil {
		return c.SendJSON(map[string]string{"error": "JSON, please"}) // "return err" would close with 1007
	}
	if order.Tea == "" {
		return &channels.CloseError{Code: 4007, Reason: "no tea, no table"}
	}
	return c.SendJSON(map[string]any{"table": t.number, "tea": order.Tea})
}

// tables is where the consumers of this file are served.
func tables() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws/tables/{table}", channels.Handler(func() channels.Consumer { return new(Table) }, nil))
	return mux
}

func TestATableTakesOrders(t *testing.T) {
	c := channelstest.New(t, tables(), "/ws/tables/7")
	c.Subprotocols("tea.v1", "tea.v2")
	if answer := c.Connect(); answer.Header.Get("X-Table") != "7" {
		t.Errorf("accepted with %v", answer.Header)
	}
	c.SendText(`{"tea":"oolong"}`)
	if got := c.ReceiveText(); got != `{"table":7,"tea":"oolong"}` {
		t.Errorf("got %s", got)
	}
	c.ReceiveNothing()
	c.Disconnect(1000)
}

func TestATableIsParticular(t *testing.T) {
	if answer := channelstest.New(t, tables(), "/ws/tables/window").Refused(); answer.StatusCode != http.StatusNotFound {
		t.Errorf("refused with %s", answer.Status)
	}
	c := channelstest.New(t, tables(), "/ws/tables/7")
	c.Subprotocols("tea.v2")
	c.Connect()
	c.Send(channels.BinaryFrame([]byte{0, 1}))
	if got := c.Receive(); got.Kind != channels.Binary || len(got.Data) != 2 {
		t.Errorf("got %v", got)
	}
	c.SendText("tea!")
	if got := c.ReceiveText(); got != `{"error":"JSON, please"}` {
		t.Errorf("got %s", got)
	}
	c.SendText("{}")
	if code, reason := c.Closed(); code != 4007 || reason != "no tea, no table" {
		t.Errorf("closed with %d %s", code, reason)
	}
}
