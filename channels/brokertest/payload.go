package brokertest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/teahouse-chat/teahouse/channels"
)

// payloads are what every broker carries, []byte aside.
func payloads() map[string]map[string]any {
	deep := any("bottom")
	for range 30 {
		deep = []any{map[string]any{"in": deep}}
	}
	wide := map[string]any{}
	for i := range 300 {
		wide[fmt.Sprint("key", i)] = i
	}
	long := make([]any, 300)
	for i := range long {
		long[i] = i - 150
	}
	return map[string]map[string]any{
		"nothing":    {},
		"text":       {"a": "", "b": "hi", "c": "茶馆 👩‍👩‍👧 é\u0000\u2028\"\\", "d": strings.Repeat("x", 31), "e": strings.Repeat("x", 32), "f": strings.Repeat("y", 256), "g": strings.Repeat("z", 65536)},
		"booleans":   {"a": true, "b": false, "c": nil},
		"integers":   {"a": 0, "b": -1, "c": 127, "d": 128, "e": -32, "f": -33, "g": -128, "h": -129, "i": 65535, "j": 65536, "k": math.MaxInt32, "l": math.MinInt32},
		"large ones": {"a": int64(math.MaxInt64), "b": int64(math.MinInt64), "c": int64(1) << 53, "d": int64(1)<<53 + 1, "e": uint64(math.MaxInt64)},
		"sizes":      {"a": int8(-5), "b": int16(-500), "c": int32(-50000), "d": uint8(5), "e": uint16(500), "f": uint32(50000), "g": uint(7)},
		"fractions":  {"a": 1.5, "b": -0.25, "c": math.MaxFloat64, "d": math.SmallestNonzeroFloat64, "e": 1e16, "f": float32(0.5)},
		"lists":      {"a": []any{}, "b": []any{1, "two", 3.5, nil, true, []any{"in"}}, "c": long},
		"maps":       {"a": map[string]any{}, "b": map[string]any{"in": map[string]any{"": "empty key", "type": "not the event's"}}, "c": wide},
		"deep":       {"a": deep},
		"odd keys":   {"": 1, "type_": 2, "é": 3, "group": "g", "channel": "c", "id": 4, "from ": 5, "$": 6},
	}
}

func payloadsArriveAsTheyWereSent(s *suite) {
	a, b := s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	all := payloads()
	if !s.setup.NoBytes {
		all["bytes"] = map[string]any{"a": []byte{}, "b": []byte{0, 255, 128}, "c": slices.Repeat([]byte{7}, 70000), "d": []any{[]byte("in")}}
	}
	count := 0
	for name, payload := range all {
		want := canonical(payload)
		for i, d := range []channels.Delivery{{Group: "g"}, {Channels: []string{b.channel("x")}}} {
			if i == 1 && count == 1 {
				s.reach(a, b)
			}
			d.Event = channels.Event{Type: "test.event", Payload: payload}
			s.must(a.broker.Publish(s.Context(), d))
			count++
			s.await(name+" arrived", func() bool { return len(b.deliveries()) == count })
			got := b.deliveries()[count-1]
			if c := canonical(got.Event.Payload); c != want {
				s.Errorf("%s: got %.2000s\nwant %.2000s", name, c, want)
			}
			if got.Group != d.Group || !slices.Equal(got.Channels, d.Channels) {
				s.Errorf("%s: came to %q %q", name, got.Group, got.Channels)
			}
		}
		if canonical(payload) != want {
			s.Errorf("%s: Publish changed the payload", name)
		}
	}
}

// canonical writes a value so that equal ones are equal text: numbers by their
// value, maps by their order.
func canonical(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("bytes %x", v)
	case bool:
		return fmt.Sprint(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = canonical(e)
		}
		return "[" + strings.Join(parts, " ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for k, e := range v {
			parts = append(parts, fmt.Sprintf("%q:%s", k, canonical(e)))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, " ") + "}"
	default:
		return plainNumber(v)
	}
}

// plainNumber writes a number by its value, whatever its type.
func plainNumber(v any) string {
	switch v := v.(type) {
	case float32:
		return plainNumber(float64(v))
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return fmt.Sprint(int64(v))
		}
		return fmt.Sprint(v)
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v)
	default:
		return fmt.Sprintf("%T, no number", v)
	}
}

func impossiblePayloads(s *suite) {
	a, b := s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	for name, payload := range map[string]any{
		"a channel":            map[string]any{"a": make(chan int)},
		"a function":           map[string]any{"a": func() {}},
		"one deep inside":      map[string]any{"a": []any{map[string]any{"b": func() {}}}},
		"text alone":           "text",
		"a type of a program":  struct{ A int }{1},
		"a list without a map": []any{1},
	} {
		e := channels.Event{Type: "test.event", Payload: payload}
		if err := a.broker.Publish(s.Context(), channels.Delivery{Group: "g", Event: e}); err == nil {
			s.Errorf("%s: no error", name)
		}
	}
	p := a.publisher("1")
	s.must(p.toGroup(s.Context(), "g", nil))
	s.await("the next event arrived", func() bool { return b.lastOf(p, "g") == 1 })
	if got := b.deliveries(); len(got) != 1 {
		s.Errorf("%d events arrived", len(got))
	}
}

func largeEvents(s *suite) {
	a, b := s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	p := a.publisher("1")
	text := strings.Repeat("茶", (channels.MaxEvent-4096)/3)
	for n := range 5 {
		s.must(p.toGroup(s.Context(), "g", map[string]any{"text": text}))
		s.await("the large event arrived", func() bool { return b.lastOf(p, "g") == n+1 })
	}
	if got := b.deliveries()[0].Event.Payload.(map[string]any)["text"]; got != text {
		s.Errorf("the text came with %d bytes, was %d", len(fmt.Sprint(got)), len(text))
	}
	tooLarge := map[string]any{"text": strings.Repeat("x", channels.MaxEvent+1)}
	if err := p.toGroup(s.Context(), "g", tooLarge); !errors.Is(err, channels.ErrTooLarge) {
		s.Errorf("an event above 1 MiB: %v, want ErrTooLarge", err)
	}
	s.must(p.toGroup(s.Context(), "g", nil))
	s.await("the next event arrived", func() bool { return b.lastOf(p, "g") == 7 })
	if got := b.numbersOf(p, "g"); len(got) != 6 {
		s.Errorf("got %v, all but the one too large were to come", got)
	}
}

func seqAndTypeArrive(s *suite) {
	a, b := s.node(), s.node()
	s.must(b.broker.Follow(s.Context(), []string{"g"}))
	sent := []channels.Event{
		{Type: "chat.message", Seq: 1, Payload: map[string]any{"message": "hi"}},
		{Type: "chat_message", Seq: math.MaxInt64, Payload: map[string]any{"message": "ho"}},
		{Type: "nothing.else"},
		{Type: "carried", Payload: portable{}},
	}
	for i, e := range sent {
		s.must(a.broker.Publish(s.Context(), channels.Delivery{Group: "g", Event: e}))
		s.await("an event arrived", func() bool { return len(b.deliveries()) == i+1 })
		got := b.deliveries()[i].Event
		want := e
		if p, ok := e.Payload.(channels.Portable); ok {
			want.Payload = p.Map()
		}
		if want.Payload == nil {
			want.Payload = map[string]any{}
		}
		if got.Type != want.Type || got.Seq != want.Seq || canonical(got.Payload) != canonical(want.Payload) {
			s.Errorf("got %+v, want %+v", got, want)
		}
	}
}

// portable is a Payload of a program's own type.
type portable struct{}

func (portable) Map() map[string]any { return map[string]any{"of": "a type", "n": 1} }
