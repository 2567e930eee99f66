package redis

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/internal/pack"
)

// testChannel is a channel of the vectors, which upstream's packages made.
const testChannel = "specific.0123456789abcdef0123456789abcdef!fedcba9876543210fedcba9876543210"

func testCodec(tb testing.TB, o Options) *codec {
	tb.Helper()
	s, err := o.checked()
	if err != nil {
		tb.Fatal(err)
	}
	return newCodec(s)
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestBodiesAreThoseOfUpstreamByteForByte(t *testing.T) {
	for name, tt := range map[string]struct {
		event map[string]any
		want  string
	}{
		"a message": {
			map[string]any{"type": "chat.message", "message": "hi"},
			"82a474797065ac636861742e6d657373616765a76d657373616765a26869",
		},
		"no message at all": {
			map[string]any{"a": true, "b": nil, "c": map[string]any{"d": []any{}}},
			"83a161c3a162c0a16381a16490",
		},
		"a message with its destination, which comes last": {
			map[string]any{"type": "chat.message", "message": "hi", "__asgi_channel__": []any{testChannel}},
			"83a474797065ac636861742e6d657373616765a76d657373616765a26869b05f5f617367695f6368616e6e656c5f5f91d94a737065636966" +
				"69632e3031323334353637383961626364656630313233343536373839616263646566216665646362613938373635343332313066656463" +
				"626139383736353433323130",
		},
	} {
		t.Run(name, func(t *testing.T) {
			plain := testCodec(t, Options{PubSub: true})
			got, err := plain.encode(tt.event)
			if err != nil || hex.EncodeToString(got) != tt.want {
				t.Errorf("encoded as %x, %v; want %s", got, err, tt.want)
			}
			back, err := plain.decode(unhex(t, tt.want))
			if diff := cmp.Diff(tt.event, back); err != nil || diff != "" {
				t.Errorf("decoded with %v\n%s", err, diff)
			}
			back, err = testCodec(t, Options{}).decode(unhex(t, "510cbb3f51bce37c44fd3900"+tt.want))
			if diff := cmp.Diff(tt.event, back); err != nil || diff != "" {
				t.Errorf("decoded behind a random prefix with %v\n%s", err, diff)
			}
		})
	}
}

// The values are in the order of Python's map, in which we do not write.
func TestABodyWithAllTypesIsUpstreams(t *testing.T) {
	body := unhex(t, "87a474797065ac636861742e6d657373616765a76d657373616765a368c3a9a16e01a166cb3ff8000000000000a162c4020001a16c9401ff"+
		"c3c0b05f5f617367695f6368616e6e656c5f5fd94a73706563696669632e3031323334353637383961626364656630313233343536373839"+
		"616263646566216665646362613938373635343332313066656463626139383736353433323130")
	event := map[string]any{
		"type": "chat.message", "message": "hé", "n": int64(1), "f": 1.5, "b": []byte{0, 1},
		"l": []any{int64(1), int64(-1), true, nil}, "__asgi_channel__": testChannel,
	}
	got, err := testCodec(t, Options{PubSub: true}).decode(body)
	if diff := cmp.Diff(event, got); err != nil || diff != "" {
		t.Errorf("decoded with %v\n%s", err, diff)
	}
	ours := []byte{0x87}
	for _, key := range []string{"type", "message", "n", "f", "b", "l", "__asgi_channel__"} {
		pair, err := pack.AppendMsgpack(nil, map[string]any{key: event[key]}, 0)
		if err != nil {
			t.Fatal(err)
		}
		ours = append(ours, pair[1:]...)
	}
	if !bytes.Equal(ours, body) {
		t.Errorf("got  %x\nwant %x", ours, body)
	}
}

func TestHeadsAreTheShortest(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	list := func(n int) []any { return make([]any, n) }
	wide := func(n int) map[string]any {
		m := map[string]any{}
		for i := range n {
			m[fmt.Sprint(i)] = nil
		}
		return m
	}
	for _, tt := range []struct {
		value any
		want  string // the body begins with this
	}{
		{127, "7f"}, {128, "cc80"}, {256, "cd0100"}, {65536, "ce00010000"}, {int64(1) << 32, "cf0000000100000000"},
		{uint64(1) << 63, "cf8000000000000000"}, {-1, "ff"}, {-32, "e0"}, {-33, "d0df"}, {-128, "d080"}, {-129, "d1ff7f"},
		{-32769, "d2ffff7fff"}, {int64(math.MinInt32) - 1, "d3ffffffff7fffffff"}, {math.MinInt64, "d38000000000000000"},
		{math.NaN(), "cb7ff8000000000000"}, {float32(1.5), "cb3ff8000000000000"},
		{text(31), "bf78"}, {text(32), "d92078"}, {text(255), "d9ff78"}, {text(256), "da010078"}, {text(65536), "db0001000078"},
		{make([]byte, 0), "c400"}, {make([]byte, 256), "c5010000"}, {make([]byte, 65536), "c60001000000"},
		{list(15), "9fc0"}, {list(16), "dc0010c0"}, {list(65536), "dd00010000c0"},
		{wide(15), "8fa1"}, {wide(16), "de0010a1"},
	} {
		got, err := pack.AppendMsgpack(nil, tt.value, 1)
		if err != nil || !strings.HasPrefix(hex.EncodeToString(got), tt.want) || len(tt.want) == 2*len(got) && hex.EncodeToString(got) != tt.want {
			t.Errorf("%T %.20v: got %.20x, %v; want %s", tt.value, tt.value, got, err, tt.want)
		}
		back, err := pack.DecodeMsgpack(got)
		if err != nil {
			t.Errorf("%T %.20v does not come back: %v", tt.value, tt.value, err)
		}
		if again, err := pack.AppendMsgpack(nil, back, 1); err != nil || !bytes.Equal(again, got) {
			t.Errorf("%T %.20v came back as %.20v, %v", tt.value, tt.value, back, err)
		}
	}
}

func TestJSONBodiesAreThoseOfPython(t *testing.T) {
	for _, tt := range []struct {
		event map[string]any
		want  string
	}{
		{map[string]any{"type": "chat.message", "message": "hé", "n": 1.0, "x": nil},
			`{"type": "chat.message", "message": "h\u00e9", "n": 1.0, "x": null}`},
		{map[string]any{"a": "\U0001f375\x7f\"\\\n\r\t\b\f\x01/<"}, `{"a": "\ud83c\udf75\u007f\"\\\n\r\t\b\f\u0001/<"}`},
		{map[string]any{"a": []any{1e16, 1.5e300, 1e-5, 0.0001, 123456789012345.0, 0.0, -2.5}},
			`{"a": [1e+16, 1.5e+300, 1e-05, 0.0001, 123456789012345.0, 0.0, -2.5]}`},
		{map[string]any{"a": []any{math.Inf(1), math.Inf(-1)}}, `{"a": [Infinity, -Infinity]}`},
		{map[string]any{"a": []any{int64(math.MinInt64), uint64(math.MaxUint64), true, false, map[string]any{}, []any{}}},
			`{"a": [-9223372036854775808, 18446744073709551615, true, false, {}, []]}`},
	} {
		c := testCodec(t, Options{PubSub: true, Format: "json"})
		got, err := c.encode(tt.event)
		if err != nil || string(got) != tt.want {
			t.Errorf("got  %s, %v\nwant %s", got, err, tt.want)
		}
		back, err := c.decode([]byte(tt.want))
		if diff := cmp.Diff(tt.event, back); err != nil || diff != "" {
			t.Errorf("%s came back with %v\n%s", tt.want, err, diff)
		}
	}
}

func TestFernetTokensAreThoseOfUpstream(t *testing.T) {
	const token = "gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD7xN5qdsP4vMv1lrUBvRyXfewoWpXBpENt8EhRwh1hCEJmcAd-HEohWOyXP8QwYyW-rP6xwTMb5GYKgWvifC42o="
	body := unhex(t, "82a474797065ac636861742e6d657373616765a76d657373616765a26869")
	at := time.Unix(1700000000, 0)
	iv := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	key := newFernetKey("a-test-key")
	if got := key.seal(body, at, iv); string(got) != token {
		t.Errorf("sealed as %s, want %s", got, token)
	}
	if got, made, ok := key.open([]byte(token)); !ok || !bytes.Equal(got, body) || !made.Equal(at) {
		t.Errorf("opened as %x, %v, %v", got, made, ok)
	}
	for i := range token {
		tampered := []byte(token)
		tampered[i] ^= 1
		if got, _, ok := key.open(tampered); ok && i < len(token)-2 { // the last bits of base64 are padding
			t.Fatalf("opened as %x with another byte at %d", got, i)
		}
		if _, _, ok := key.open([]byte(token[:i])); ok {
			t.Fatalf("opened with %d bytes", i)
		}
	}
	if _, _, ok := newFernetKey("another key").open([]byte(token)); ok {
		t.Error("opened with another key")
	}
}

func TestEncryptedBodies(t *testing.T) {
	event := map[string]any{"type": "x"}
	old := testCodec(t, Options{Keys: []string{"old"}, RandomPrefix: 4})
	c := testCodec(t, Options{Keys: []string{"new", "old"}, RandomPrefix: 4})
	body, err := old.encode(event)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.decode(body); err != nil || got["type"] != "x" {
		t.Errorf("with the old key second: %v, %v", got, err)
	}
	if fresh, err := c.encode(event); err != nil {
		t.Error(err)
	} else if _, err := old.decode(fresh); !errors.Is(err, errBody) {
		t.Errorf("the first key does not encrypt: %v", err)
	}
	c.maxAge = 70 * time.Second
	for name, tt := range map[string]struct {
		after time.Duration
		fresh bool
	}{
		"in time":                           {69 * time.Second, true},
		"too late":                          {72 * time.Second, false},
		"by a clock a little ahead of ours": {-58 * time.Second, true},
		"by a clock far ahead of ours":      {-62 * time.Second, false},
	} {
		c.now = func() time.Time { return time.Now().Add(tt.after) }
		if _, err := c.decode(body); (err == nil) != tt.fresh {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoBodyIsAnError(t *testing.T) {
	deep := strings.Repeat("91", 600) + "c0"
	for name, body := range map[string]string{
		"nothing":                    "",
		"a number":                   "01",
		"a list":                     "90",
		"a body that ends early":     "81a161",
		"a length beyond the end":    "81a161db0fffffff",
		"a list beyond the end":      "81a161ddffffffff",
		"a map beyond the end":       "dfffffffff",
		"a text that is not UTF-8":   "81a161a1ff",
		"a surrogate":                "81a161a3eda080",
		"bytes after it":             "80c0",
		"an extension":               "81a161d40100",
		"a timestamp":                "81a161d6ff00000000",
		"the byte that is never":     "81a161c1",
		"a list as a key":            "8190c0",
		"bytes that are no text key": "81c401ffc0",
		"a body nested 600 deep":     "81a161" + deep,
	} {
		if got, err := testCodec(t, Options{PubSub: true}).decode(unhex(t, body)); !errors.Is(err, errBody) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, body := range []string{"", "1", "{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1}x`, "{}\x00", `{"a":[1,]}`, `{"a":01}`, `{a:1}`,
		`{"a":"`, `{"a":"\`, `{"a":"\q"}`, "{\"a\":\"\n\"}", "{\"a\":\"\xff\"}", `{"a":nul}`, `{"a" 1}`, `{"a":1 "b":2}`,
		`{"a":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + "}"} {
		if got, err := testCodec(t, Options{PubSub: true, Format: "json"}).decode([]byte(body)); !errors.Is(err, errBody) {
			t.Errorf("%.40s: %v, %v", body, got, err)
		}
	}
	for name, body := range map[string][]byte{
		"no prefix":  make([]byte, 11),
		"very large": make([]byte, 4<<20),
		"large":      append([]byte("123456789012\x81\xa1a\xc6\x00\x10\x00\x00"), make([]byte, 1<<20)...),
	} {
		if _, err := testCodec(t, Options{}).decode(body); !errors.Is(err, errBody) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatUpstreamWouldTakeIsTaken(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		want map[string]any
	}{
		"a float of 32 bits":        {"81a161ca3fc00000", map[string]any{"a": 1.5}},
		"a key given twice":         {"82a16101a16102", map[string]any{"a": int64(2)}},
		"heads longer than need be": {"de0001d90161d300000000000000ff", map[string]any{"a": int64(255)}},
		"keys that are no text":     {"8601c0c3c0c0c0c40161c0cb3ff8000000000000c0cfffffffffffffffffc0", map[string]any{"1": nil, "true": nil, "null": nil, "a": nil, "1.5": nil, "18446744073709551615": nil}},
	} {
		got, err := testCodec(t, Options{PubSub: true}).decode(unhex(t, tt.body))
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for body, want := range map[string]any{
		" { \"a\" :\t[ 1 , 2 ]\r\n} ":    []any{int64(1), int64(2)},
		"\ufeff" + `{"a":"` + "茶" + `"}`: "茶",
		`{"a":1,"a":2}`:                  int64(2),
		`{"a":1e999}`:                    math.Inf(1),
		`{"a":123456789012345678901}`:    123456789012345678901.0,
		`{"a":"\ud800"}`:                 "\ufffd",
		`{"a":-0}`:                       int64(0),
	} {
		got, err := testCodec(t, Options{PubSub: true, Format: "json"}).decode([]byte(body))
		if err != nil || !cmp.Equal(got["a"], want) {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	if got, err := pack.DecodeJSON([]byte("NaN")); err != nil || !math.IsNaN(got.(float64)) {
		t.Errorf("NaN: %v, %v", got, err)
	}
}

func TestWhatCannotBeSentIsAnError(t *testing.T) {
	deep := any("x")
	for range pack.MaxDepthEncode {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"a text that is not UTF-8": "\xff",
		"a function":               func() {},
		"a struct":                 struct{}{},
		"a pointer":                new(int),
		"a channel in a list":      []any{make(chan int)},
		"a key that is no text":    map[int]string{1: "x"},
		"a key that is not UTF-8":  map[string]any{"\xff": 1},
		"a value 101 deep":         deep,
		"a megabyte":               make([]int, channels.MaxEvent),
	} {
		for _, format := range []string{"msgpack", "json"} {
			if body, err := testCodec(t, Options{Format: format}).encode(map[string]any{"a": v}); err == nil {
				t.Errorf("%s, in %s: sent as %.20x", name, format, body)
			}
		}
	}
	if _, err := testCodec(t, Options{Format: "json"}).encode(map[string]any{"a": []byte{1}}); err == nil {
		t.Error("bytes were sent in JSON")
	}
}

func TestEqualEventsHaveDifferentBodiesInTheirOrder(t *testing.T) {
	for _, n := range []int{1, 4, 12, 255} {
		c := testCodec(t, Options{RandomPrefix: n})
		seen := map[string]bool{}
		last := ""
		for range 1000 {
			body, err := c.encode(map[string]any{"type": "x"})
			if err != nil || len(body) != n+8 {
				t.Fatalf("%d bytes in front: got %d, %v", n, len(body), err)
			}
			if n >= 12 && (seen[string(body)] || string(body) <= last) {
				t.Errorf("%d bytes in front: %x after %x", n, body, last)
			}
			seen[string(body)], last = true, string(body)
		}
	}
}

func TestAnyValueComesBack(t *testing.T) {
	var value func(depth int) *rapid.Generator[any]
	value = func(depth int) *rapid.Generator[any] {
		kinds := []*rapid.Generator[any]{
			rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(),
			rapid.Uint64Min(1 << 63).AsAny(),
		}
		if depth < 4 {
			kinds = append(kinds, rapid.SliceOfN(value(depth+1), 0, 20).AsAny(), rapid.MapOfN(rapid.String(), value(depth+1), 0, 20).AsAny())
		}
		return rapid.OneOf(kinds...)
	}
	codecs := []*codec{testCodec(t, Options{}), testCodec(t, Options{Format: "json"}), testCodec(t, Options{PubSub: true, Keys: []string{"k"}})}
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOf(rapid.String(), value(0)).Draw(t, "event")
		for _, c := range codecs {
			body, err := c.encode(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.decode(body)
			if diff := cmp.Diff(m, got); err != nil || diff != "" {
				t.Fatalf("%v\n%s", err, diff)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"82a474797065ac636861742e6d657373616765a76d657373616765a26869", "83a161c3a162c0a16381a16490", "dfffffffff"} {
		f.Add(unhex(f, s))
	}
	f.Add([]byte(`{"type": "chat.message", "message": "h\u00e9", "n": 1.0, "x": [NaN, -Infinity, {}]}`))
	f.Add([]byte("gAAAAABlU_EAAAECAwQFBgcICQoLDA0OD7xN5qdsP4vMv1lrUBvRyXfewoWpXBpENt8EhRwh1hCEJmcAd-HEohWOyXP8QwYyW-rP6xwTMb5GYKgWvifC42o="))
	codecs := []*codec{testCodec(f, Options{PubSub: true}), testCodec(f, Options{PubSub: true, Format: "json"}), testCodec(f, Options{PubSub: true, Keys: []string{"a-test-key"}})}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range codecs {
			m, err := c.decode(b)
			if err != nil {
				if !errors.Is(err, errBody) {
					t.Errorf("an error of another kind: %v", err)
				}
				continue
			}
			first, err := c.marshal(m)
			if err != nil {
				continue // deeper or, in JSON, larger than what we send
			}
			dec := pack.DecodeMsgpack
			if c.json {
				dec = pack.DecodeJSON
			}
			again, err := dec(first)
			if err != nil {
				t.Fatalf("%x was decoded, and encoded as %x: %v", b, first, err)
			}
			if second, err := c.marshal(again.(map[string]any)); err != nil || !bytes.Equal(first, second) {
				t.Errorf("%x then %x, %v", first, second, err)
			}
			if e, err := incoming(again.(map[string]any)); err == nil && checkType(e.Type) != nil {
				t.Errorf("an event of type %q came through", e.Type)
			}
		}
	})
}
