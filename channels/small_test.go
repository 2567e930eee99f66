package channels

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unsafe"
)

func TestRouterFindsHandlersByTypeAndNothingElse(t *testing.T) {
	type log struct{ calls []string }
	note := func(what string) func(*log, context.Context, *Conn, Event) error {
		return func(l *log, _ context.Context, _ *Conn, _ Event) error {
			l.calls = append(l.calls, what)
			return nil
		}
	}
	r := new(Router[*log]).On("chat.message", note("message")).On("chat_joined", note("joined"))
	var l log
	for typ, known := range map[string]bool{
		"chat.message": true, "chat_message": true, "chat.joined": true, "chat_joined": true,
		"": false, "chat": false, "_private": false, ".private": false, "dispatch.__class__": false,
		"websocket.receive": false, "Chat.Message": false,
	} {
		err := r.Dispatch(t.Context(), &l, nil, Event{Type: typ})
		if known && err != nil || !known && !errors.Is(err, ErrNoHandler) {
			t.Errorf("type %q: %v", typ, err)
		}
	}
	if len(l.calls) != 4 {
		t.Errorf("calls %v", l.calls)
	}
	for what, register := range map[string]func(){
		"twice":    func() { r.On("chat.joined", note("x")) },
		"no type":  func() { r.On("", note("x")) },
		"nil func": func() { r.On("x", nil) },
	} {
		t.Run(what, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			register()
		})
	}
}

func TestSafeName(t *testing.T) {
	for in, want := range map[string]string{
		"chat_lobby":            "chat_lobby",
		"a-b.C9":                "a-b.C9",
		strings.Repeat("x", 99): strings.Repeat("x", 99),
		"茶馆":                    ".bff4af268fe4e4093939550aa4e186ac",
		"":                      ".e3b0c44298fc1c149afbf4c8996fb924",
	} {
		if got := SafeName(in); got != want {
			t.Errorf("SafeName(%q) = %q, want %q", in, got, want)
		}
	}
	if SafeName("chat_é") == SafeName("chat_è") {
		t.Error("two names became one")
	}
}

func FuzzSafeName(f *testing.F) {
	f.Add("lobby")
	f.Add("茶馆")
	f.Add(strings.Repeat("é", 80))
	f.Fuzz(func(t *testing.T, name string) {
		safe := SafeName(name)
		if !legalName(safe) {
			t.Errorf("SafeName(%q) = %q is not legal", name, safe)
		}
		if SafeName(safe) != safe || legalName(name) && safe != name {
			t.Errorf("SafeName(%q) = %q is not stable", name, safe)
		}
	})
}

func TestFrames(t *testing.T) {
	f, err := JSONFrame(map[string]string{"message": "hi"})
	must(t, err)
	var v struct{ Message string }
	must(t, f.JSON(&v))
	if f.Kind != Text || v.Message != "hi" {
		t.Errorf("%+v, %+v", f, v)
	}
	if _, err := JSONFrame(make(chan int)); err == nil {
		t.Error("a channel became JSON")
	}
	for _, bad := range []Frame{TextFrame([]byte("{")), TextFrame(nil), BinaryFrame([]byte("{}"))} {
		if err := bad.JSON(&v); err == nil {
			t.Errorf("%+v decoded", bad)
		}
	}
	c, _ := fakeConn(plain(newTestLayer(t, nil)))
	if err := c.Send(BinaryFrame(make([]byte, maxFrame+1))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a frame above 1 MiB: %v", err)
	}
}

func TestWithoutALayerThereAreNoGroups(t *testing.T) {
	c, _ := fakeConn(Handler(func() Consumer { return Base{} }, nil))
	if err := c.GroupAdd(t.Context(), "g"); !errors.Is(err, ErrNoLayer) {
		t.Errorf("GroupAdd: %v", err)
	}
	if c.ChannelName() != "" || c.Layer() != nil {
		t.Error("a channel without a layer")
	}
	must(t, c.GroupDiscard(t.Context(), "g"))
	c.end(CloseNormal, "")
}

// These sizes are what one more connection and one more membership cost in this
// package, beside the consumer, the context (about 150 bytes), and an entry of
// the endpoint's map. Raise them knowingly.
func TestTheCostOfAConnectionAndAMembershipIsKnown(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 256 {
		t.Errorf("a Conn has %d bytes", n)
	}
	if n := unsafe.Sizeof(member{}); n > 112 {
		t.Errorf("a membership has %d bytes", n)
	}
}
