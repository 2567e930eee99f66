package channels_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
)

// The tests of this file and of layer_conformance_test.go are what the tests of
// Django Channels assert, for what it shares with this package and what no other
// test here is about.

// script is a consumer made of functions.
type script struct {
	connect    func(context.Context, *channels.Conn) error
	receive    func(context.Context, *channels.Conn, channels.Frame) error
	disconnect func(*channels.Conn, int)
}

func (s *script) Connect(ctx context.Context, c *channels.Conn) error {
	if s.connect == nil {
		return nil
	}
	return s.connect(ctx, c)
}

func (s *script) Receive(ctx context.Context, c *channels.Conn, f channels.Frame) error {
	if s.receive == nil {
		return c.Send(f)
	}
	return s.receive(ctx, c, f)
}

func (s *script) Disconnect(_ context.Context, c *channels.Conn, code int) {
	if s.disconnect != nil {
		s.disconnect(c, code)
	}
}

// play makes an endpoint of a script; o may be nil.
func play(s script, o *channels.Options) *channels.Endpoint {
	if o == nil {
		o = &channels.Options{}
	}
	o.Logger = slog.New(slog.DiscardHandler)
	return channels.Handler(func() channels.Consumer { one := s; return &one }, o)
}

func TestTextAndBytesAreEchoedAndTheCodeOfTheClientIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		c := channelstest.New(t, play(script{disconnect: func(_ *channels.Conn, code int) { told = code }}, nil), "/")
		c.Connect()
		for _, want := range []channels.Frame{
			channels.TextFrame([]byte("hello")), channels.BinaryFrame([]byte("w\x00\xff")),
			channels.TextFrame([]byte{}), channels.BinaryFrame([]byte{}), // empty frames are frames
		} {
			c.Send(want)
			if diff := cmp.Diff(want, c.Receive()); diff != "" {
				t.Error(diff)
			}
		}
		c.Disconnect(4001)
		synctest.Wait()
		if told != 4001 {
			t.Errorf("Disconnect was told %d", told)
		}
	})
}

func TestStaticGroupsAreJoinedBeforeConnectAndLeftBeforeDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := channels.NewLayer(nil)
		members := map[string]int{}
		e := play(script{
			connect:    func(context.Context, *channels.Conn) error { members["connect"] = l.Stats().Members; return nil },
			disconnect: func(*channels.Conn, int) { members["disconnect"] = l.Stats().Members },
		}, &channels.Options{Layer: l, Groups: []string{"chat", "news"}})
		c := channelstest.New(t, e, "/")
		c.Connect()
		members["open"] = l.Stats().Members
		c.Disconnect(1000)
		synctest.Wait()
		if diff := cmp.Diff(map[string]int{"connect": 2, "open": 2, "disconnect": 0}, members); diff != "" {
			t.Error(diff)
		}
	})
}

func TestGroupsThatCannotBeJoinedAreAMistakeInTheProgram(t *testing.T) {
	for name, o := range map[string]*channels.Options{
		"no layer":   {Groups: []string{"chat"}},
		"a bad name": {Groups: []string{""}, Layer: channels.NewLayer(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			play(script{}, o)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		asked := false
		e := play(script{connect: func(context.Context, *channels.Conn) error { asked = true; return nil }},
			&channels.Options{Layer: channels.NewLayer(nil), Groups: []string{"a", "b"}, MaxGroups: 1})
		if resp := channelstest.New(t, e, "/").Refused(); resp.StatusCode != 500 || asked {
			t.Errorf("too many groups: %s, Connect called %v", resp.Status, asked)
		}
	})
}

func TestJSONIsEchoedAndBadInputClosesOrIsAnswered(t *testing.T) {
	type said struct {
		Message string `json:"message"`
	}
	closes := func(_ context.Context, c *channels.Conn, f channels.Frame) error {
		var v said
		if err := f.JSON(&v); err != nil {
			return err
		}
		return c.SendJSON(v)
	}
	answers := func(ctx context.Context, c *channels.Conn, f channels.Frame) error {
		if err := closes(ctx, c, f); err != nil {
			return c.SendJSON(map[string]string{"error": "not JSON"})
		}
		return nil
	}
	text := func(s string) channels.Frame { return channels.TextFrame([]byte(s)) }
	for _, tc := range []struct {
		name   string
		frame  channels.Frame
		echo   string // or, without one, closed with
		closes int
	}{
		{"an object", text(`{"message": "hi", "more": 1}`), `{"message":"hi"}`, 0},
		{"another type", text(`{"message": 1}`), "", 1007},
		{"no JSON", text(`message`), "", 1007},
		{"half of it", text(`{"message": "hi"`), "", 1007},
		{"two", text(`{}{}`), "", 1007},
		{"nothing", text(""), "", 1007},
		{"binary", channels.BinaryFrame([]byte(`{"message":"hi"}`)), "", 1003},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				strict := channelstest.New(t, play(script{receive: closes}, nil), "/")
				strict.Connect()
				strict.Send(tc.frame)
				mild := channelstest.New(t, play(script{receive: answers}, nil), "/")
				mild.Connect()
				mild.Send(tc.frame)
				if tc.closes == 0 {
					if got := []string{strict.ReceiveText(), mild.ReceiveText()}; got[0] != tc.echo || got[1] != tc.echo {
						t.Errorf("got %q, want %s", got, tc.echo)
					}
					return
				}
				if code, _ := strict.Closed(); code != tc.closes {
					t.Errorf("closed with %d, want %d", code, tc.closes)
				}
				if got := mild.ReceiveText(); got != `{"error":"not JSON"}` {
					t.Errorf("answered %s", got)
				}
				mild.SendText(`{"message":"still here"}`)
				mild.Receive()
			})
		})
	}
}

func TestAcceptSendsItsHeadersAndSubprotocol(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := errors.New("not asked")
		e := play(script{connect: func(_ context.Context, c *channels.Conn) error {
			if err := c.Accept("b", http.Header{"X-Tea": {"green", "black"}}); err != nil {
				return err
			}
			again = c.Accept("", nil)
			return nil
		}}, nil)
		c := channelstest.New(t, e, "/")
		c.Subprotocols("a", "b")
		resp := c.Connect()
		synctest.Wait()
		if got := resp.Header["X-Tea"]; cmp.Diff([]string{"green", "black"}, got) != "" || resp.Header.Get("Sec-WebSocket-Protocol") != "b" {
			t.Errorf("header %v", resp.Header)
		}
		if again == nil {
			t.Error("accepted twice")
		}
		foreign := channelstest.New(t, e, "/")
		foreign.Subprotocols("a")
		if resp := foreign.Refused(); resp.StatusCode != 500 {
			t.Errorf("a subprotocol nobody offered: %s", resp.Status)
		}
	})
}

func TestHeadersCannotSplitTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := play(script{connect: func(_ context.Context, c *channels.Conn) error {
			return c.Accept("", http.Header{"X-Tea": {"a\r\nX-More: b", "a\n\r\nb"}, "X-Bad\r\nX-More": {"b"}})
		}}, nil)
		resp := channelstest.New(t, e, "/").Connect()
		if got := resp.Header; got.Get("X-More") != "" || cmp.Diff([]string{"a  X-More: b", "a   b"}, got["X-Tea"]) != "" {
			t.Errorf("header %v", got)
		}
	})
}

func TestCloseTellsTheClientCodeAndReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := errors.New("not called")
		e := play(script{receive: func(_ context.Context, c *channels.Conn, _ channels.Frame) error {
			c.Close(4007, "test reason")
			sent = c.Send(channels.TextFrame([]byte("late")))
			c.Close(4008, "too late")
			return nil
		}}, nil)
		c := channelstest.New(t, e, "/")
		c.Connect()
		c.SendText("")
		if code, reason := c.Closed(); code != 4007 || reason != "test reason" {
			t.Errorf("closed with %d %q", code, reason)
		}
		synctest.Wait()
		if !errors.Is(sent, channels.ErrClosed) {
			t.Errorf("a frame after Close: %v", sent)
		}
	})
}

func TestConsumersOfOneEndpointKeepTheirStateApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := channels.Handler(func() channels.Consumer {
			user := ""
			return &script{
				connect: func(_ context.Context, c *channels.Conn) error {
					user = c.Request().URL.Query().Get("user")
					return nil
				},
				receive: func(_ context.Context, c *channels.Conn, f channels.Frame) error {
					return c.Send(channels.TextFrame([]byte(user)))
				},
			}
		}, nil)
		var clients []*channelstest.Client
		for i := range 3 {
			c := channelstest.New(t, e, fmt.Sprintf("/?user=%d", i))
			c.Connect()
			clients = append(clients, c)
		}
		for i, c := range clients {
			c.SendText("")
			if got := c.ReceiveText(); got != fmt.Sprint(i) {
				t.Errorf("client %d is %s", i, got)
			}
		}
	})
}

func TestLayersAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := channels.NewLayer(nil), channels.NewLayer(nil)
		render := map[string]func(channels.Event) (channels.Frame, error){
			"say": func(e channels.Event) (channels.Frame, error) { return channels.JSONFrame(e.Payload) },
		}
		var clients []*channelstest.Client
		for _, l := range []*channels.Layer{one, two} {
			c := channelstest.New(t, play(script{}, &channels.Options{Layer: l, Groups: []string{"g"}, Render: render}), "/")
			c.Connect()
			clients = append(clients, c)
		}
		if err := two.GroupSend(t.Context(), "g", channels.Event{Type: "say", Payload: 2}); err != nil {
			t.Fatal(err)
		}
		if got := clients[1].ReceiveText(); got != "2" {
			t.Errorf("got %s", got)
		}
		clients[0].ReceiveNothing()
	})
}

func TestRoutesGiveTheirValuesAndUnknownPathsAre404(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := play(script{connect: func(_ context.Context, c *channels.Conn) error {
			r := c.Request()
			return c.Send(channels.TextFrame([]byte(r.PathValue("room") + " " + r.PathValue("rest") + " " + r.URL.Query().Get("q"))))
		}}, nil)
		inner := http.NewServeMux()
		inner.Handle("/chat/{room}/", e)
		inner.Handle("/files/{rest...}", e)
		outer := http.NewServeMux()
		outer.Handle("/ws/", http.StripPrefix("/ws", inner))
		for target, want := range map[string]string{
			"/ws/chat/lobby/":                               "lobby  ",
			"/ws/chat/%E8%8C%B6%E9%A6%86/?q=%20a%2Fb":       "茶馆   a/b",
			"/ws/chat/a%2Fb/":                               "a/b  ",
			"/ws/files/a/b":                                 " a/b ",
			"ws://user:password@example.com/ws/chat/lobby/": "lobby  ",
			"wss://example.com/ws/chat/lobby/?q=1":          "lobby  1",
		} {
			c := channelstest.New(t, outer, target)
			c.Connect()
			if got := c.ReceiveText(); got != want {
				t.Errorf("%s gave %q, want %q", target, got, want)
			}
			c.Disconnect(1000)
		}
		for _, target := range []string{"/", "/chat/lobby/", "/ws/other/", "/ws/chat//"} {
			resp := channelstest.New(t, outer, target).Refused()
			if resp.StatusCode != http.StatusNotFound && !(strings.Contains(target, "//") && resp.StatusCode/100 == 3) {
				t.Errorf("%s: %s, want 404", target, resp.Status)
			}
		}
	})
}
