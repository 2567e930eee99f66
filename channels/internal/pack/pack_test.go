package pack

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// values are those that come back as they went, nested up to a depth.
func values(depth int) *rapid.Generator[any] {
	plain := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(),
		rapid.Uint64Range(1<<63, 1<<64-1).AsAny(),
	}
	if depth > 0 {
		plain = append(plain,
			rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[any] { return values(depth - 1) }), 0, 4).AsAny(),
			mappings(depth-1).AsAny())
	}
	return rapid.OneOf(plain...)
}

func mappings(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(rapid.String(), rapid.Deferred(func() *rapid.Generator[any] { return values(depth) }), 0, 4)
}

func TestWhatIsWrittenIsReadAndEqualMapsAreEqualBytes(t *testing.T) {
	for name, format := range map[string]struct {
		write func([]byte, any, int) ([]byte, error)
		read  func([]byte) (any, error)
	}{"MessagePack": {AppendMsgpack, DecodeMsgpack}, "JSON": {AppendJSON, DecodeJSON}} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := mappings(3).Draw(t, "map")
				b, err := format.write(nil, m, 0)
				if err != nil {
					t.Fatal(err)
				}
				back, err := format.read(b)
				if diff := cmp.Diff(any(m), back); err != nil || diff != "" {
					t.Fatalf("%v\n%s", err, diff)
				}
				if again, err := format.write(nil, back, 0); err != nil || string(again) != string(b) {
					t.Fatalf("written again as %q, %v; was %q", again, err, b)
				}
			})
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x82\xa4type\xa1x\xa1a\x93\x01\xc4\x01\x00\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), false)
	f.Add([]byte(`{"type": "x", "a": [1, 1.5, NaN, "\u00e9"]}`), true)
	f.Fuzz(func(t *testing.T, b []byte, json bool) {
		decode, write := DecodeMsgpack, AppendMsgpack
		if json {
			decode, write = DecodeJSON, AppendJSON
		}
		v, err := decode(b)
		if err != nil {
			if !errors.Is(err, ErrBody) {
				t.Errorf("%v is not ErrBody", err)
			}
			return
		}
		again, err := write(nil, v, 0)
		if err != nil {
			return // deeper than we write
		}
		if _, err := decode(again); err != nil {
			t.Errorf("%x was read, and not as it was written again, %x: %v", b, again, err)
		}
	})
}
