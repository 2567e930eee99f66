package channels

import (
	"math"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// said is a payload that brokers can carry.
type said struct{ text string }

func (s said) Map() map[string]any { return map[string]any{"message": s.text} }

func TestEventMap(t *testing.T) {
	for _, tc := range []struct {
		name  string
		event Event
		want  map[string]any // nil: an error that says
		says  string
	}{
		{"no payload", Event{Type: "a"}, map[string]any{"type": "a"}, ""},
		{"a map", Event{Type: "chat.message", Payload: map[string]any{"message": "hi", "n": 1}}, map[string]any{"type": "chat.message", "message": "hi", "n": 1}, ""},
		{"a Portable", Event{Type: "chat.message", Payload: said{"hi"}}, map[string]any{"type": "chat.message", "message": "hi"}, ""},
		{"a position", Event{Type: "a", Seq: 7}, map[string]any{"type": "a", "__seq__": int64(7)}, ""},
		{"a payload with a type", Event{Type: "a", Payload: map[string]any{"type": "b"}}, map[string]any{"type": "a"}, ""},
		{"another payload", Event{Type: "a", Payload: 1}, nil, "int"},
		{"no type", Event{}, nil, "not for events"},
		{"a private type", Event{Type: "_a"}, nil, `"_a"`},
		{"a type of the protocol", Event{Type: "websocket.receive"}, nil, "not for events"},
		{"a type of the other protocol", Event{Type: "http_request"}, nil, "not for events"},
		{"a payload with a destination", Event{Type: "a", Payload: map[string]any{"__asgi_channel__": "x"}}, nil, "reserved"},
		{"a payload with a position", Event{Type: "a", Payload: map[string]any{"__seq__": 1}}, nil, "reserved"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := tc.event.Map()
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("error %v, want one that says %q", err, tc.says)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v, %s", err, diff)
			}
		})
	}
}

func TestEventFromMap(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   map[string]any
		want Event // without a type: an error
	}{
		{"nothing", nil, Event{}},
		{"no type", map[string]any{"message": "hi"}, Event{}},
		{"an empty type", map[string]any{"type": ""}, Event{}},
		{"a type of bytes", map[string]any{"type": []byte("a")}, Event{}},
		{"a number as type", map[string]any{"type": 1}, Event{}},
		{"a payload", map[string]any{"type": "a", "message": "hi"}, Event{Type: "a", Payload: map[string]any{"message": "hi"}}},
		{"a position", map[string]any{"type": "a", "__seq__": int64(7)}, Event{Type: "a", Seq: 7, Payload: map[string]any{}}},
		{"a large position", map[string]any{"type": "a", "__seq__": uint64(math.MaxUint64)}, Event{Type: "a", Seq: math.MaxInt64, Payload: map[string]any{}}},
		{"a position from JSON", map[string]any{"type": "a", "__seq__": 7.0}, Event{Type: "a", Seq: 7, Payload: map[string]any{}}},
		{"a position that is none", map[string]any{"type": "a", "__seq__": 7.5}, Event{Type: "a", Payload: map[string]any{}}},
		{"a position that is text", map[string]any{"type": "a", "__seq__": "7"}, Event{Type: "a", Payload: map[string]any{}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := EventFromMap(tc.in)
			if diff := cmp.Diff(tc.want, got); diff != "" || (err == nil) != (tc.want.Type != "") {
				t.Errorf("%v, %s", err, diff)
			}
		})
	}
}

func TestAnEventSurvivesTheWayThroughAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Event{
			Type: rapid.StringMatching(`[a-z][a-z._]{0,20}`).Filter(legalType).Draw(t, "type"),
			Seq:  rapid.Int64().Draw(t, "seq"),
			Payload: rapid.MapOf(
				rapid.String().Filter(func(key string) bool { return key != "type" && !strings.HasPrefix(key, "__") }),
				rapid.SampledFrom([]any{nil, true, "text", int64(-1), 1.5, []byte{0}, []any{"a"}, map[string]any{"b": nil}}),
			).Draw(t, "payload"),
		}
		m, err := want.Map()
		if err != nil {
			t.Fatal(err)
		}
		got, err := EventFromMap(m)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("%v, %s", err, diff)
		}
	})
}

func TestCapacityPatterns(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		yes, no []string
	}{
		{"one", []string{"one"}, []string{"", "on", "one1", "One"}},
		{"*", []string{"", "a", "a/b!c", "茶"}, nil},
		{"http.*!*", []string{"http.a!b", "http.!"}, []string{"http.a", "https.a!b"}},
		{"a*b*c", []string{"abc", "aXbXbXc"}, []string{"ab", "acb", "abcd"}},
		{"?.?", []string{"a.b", "茶.b"}, []string{"a.", "ab.c"}},
		{"[a-cx]1", []string{"a1", "b1", "x1"}, []string{"d1", "1", "-1"}},
		{"[!a-c]", []string{"d", "!"}, []string{"a", ""}},
		{"[]]", []string{"]"}, []string{"["}},
		{"[a-]", []string{"a", "-"}, []string{"b"}},
		{"[z-a]", nil, []string{"a", "z", "-"}},
		{"[ab", []string{"[ab"}, []string{"a"}},
	} {
		for _, name := range tc.yes {
			if !match([]rune(tc.pattern), []rune(name)) {
				t.Errorf("%q does not match %q", tc.pattern, name)
			}
		}
		for _, name := range tc.no {
			if match([]rune(tc.pattern), []rune(name)) {
				t.Errorf("%q matches %q", tc.pattern, name)
			}
		}
	}
}

func FuzzCapacityPatterns(f *testing.F) {
	f.Add("a*[!b-d]?", "axxe1")
	f.Add("[", "[")
	f.Add("*****************b", strings.Repeat("a", 500))
	f.Fuzz(func(t *testing.T, pattern, name string) {
		match([]rune(pattern), []rune(name))
		name = strings.ToValidUTF8(name, "y") // halves of a character may become one
		literal := strings.NewReplacer("*", "x", "?", "x", "[", "x").Replace(name)
		if !match([]rune(literal), []rune(literal)) || !match([]rune("*"+literal+"*"), []rune(name+literal+name)) {
			t.Errorf("%q does not match itself", literal)
		}
	})
}

func TestTheFirstPatternThatMatchesAChannelSetsItsCapacity(t *testing.T) {
	synctest.Test(t, firstPatternWins)
}

func firstPatternWins(t *testing.T) {
	b := &bare{}
	l := newTestLayer(t, &LayerOptions{Broker: b, Capacity: 3, Capacities: []Capacity{{"work.*", 1}, {"work.slow", 9}, {"specific.*", 2}}})
	for name, want := range map[string]int{"work.slow": 1, "work.fast": 1, "specific.a!b": 2, "other": 3} {
		if got := b.node.Capacity(name); got != want {
			t.Errorf("the broker is told %d for %s, want %d", got, name, want)
		}
	}
	fits := func(name string) (n int) {
		for ; n < 20 && l.Send(t.Context(), name, Event{Type: "x", Payload: "x"}) == nil; n++ {
		}
		return n
	}
	c, _ := fakeConn(Handler(func() Consumer { return repeat{} }, &Options{Layer: l}))
	c.begin() // its Event does not run
	must(t, l.Send(t.Context(), c.ChannelName(), Event{Type: "x", Payload: "x"}))
	settleAll() // the pump has taken that
	for name, want := range map[string]int{"work.slow": 1, "other": 3, c.ChannelName(): 2} {
		if got := fits(name); got != want {
			t.Errorf("%d fit into %s, want %d", got, name, want)
		}
	}
	c.finish()
	c.end(CloseNormal, "")
}
