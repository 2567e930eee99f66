package wire_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/wire"
)

// What the package reads and writes is what the reference does.

// checkDecoders compares all readers on one frame.
func checkDecoders(t rapid.TB, frame []byte) {
	req, err := wire.Decode(frame)
	wantReq, wantErr := refDecode(frame)
	checkRead(t, "Decode", frame, [2]read{{wantReq, wantErr}, {req, err}})

	text, err := wire.DecodePlain(frame)
	wantText, wantErr := refDecodePlain(frame)
	checkRead(t, "DecodePlain", frame, [2]read{{wantText, wantErr}, {text, err}})

	text, nonce, err := wire.DecodePost(frame)
	wantText, wantNonce, wantErr := refDecodePost(frame)
	checkRead(t, "DecodePost", frame, [2]read{{[2]string{wantText, wantNonce}, wantErr}, {[2]string{text, nonce}, err}})
}

// read is what a reader returns.
type read struct {
	Value any
	Err   error
}

func checkRead(t rapid.TB, reader string, frame []byte, wantAndGot [2]read) {
	want, got := wantAndGot[0], wantAndGot[1]
	if !reflect.DeepEqual(want, got) { // also the types of the errors, and all they hold
		t.Fatalf("%s of %q (-reference +got)\n%s", reader, frame, cmp.Diff(fmt.Sprintf("%#v", want), fmt.Sprintf("%#v", got)))
	}
}

// scalars are strings, numbers and words of JSON, of which some do not fit any
// field; broken are such as no JSON has.
var (
	scalars = []string{
		`"a"`, `"r"`, `7`, `0`, `""`, `"茶 🍵"`, `"\"\\\/\b\f\n\r\t"`, `"\u8336"`, `"\ud83c\udf75"`, `"\uD83C\uDF75"`, `"[{"`, "\"\x7f\u2028\"",
		`"a\u0000"`, `"\ud83c"`, `"\ud83c\n"`, `"\ud83c\ud83c\udf75"`, `"\udf75"`, `"` + strings.Repeat("茶", 65) + `"`,
		"null", "true", "false", "-0", "-1", "200", "201", "1.5", "1e2", "1E+2", "-0.0e-1",
		"9007199254740992", "9007199254740993", "9223372036854775808",
	}
	broken = []string{
		"\"\xff\"", "\"\x01\"", `"\x"`, `"\u12g4"`, `"\u+123"`, `"\u12"`, `"`, "nul", "True", "truefalse",
		"01", "1.", ".5", "-", "+1", "1e", "1e+", "0x1", "1_0",
	}
)

// keys are what the frames have, once by an escape, and others; four are two
// keys in two spellings.
var keys = []string{
	`"room"`, `"text"`, `"message"`, `"ref"`, `"nonce"`, `"limit"`, `"after"`, `"before"`, `"around"`, `"name"`, `"epoch"`, `"all"`, `"type"`,
	`"\u0074ype"`, `"Type"`, `""`, `"x"`, `"\ud800"`, "\"\ufffd\"",
}

// rarely is true once in many draws.
func rarely(t *rapid.T, what string) bool { return rapid.Uint8().Draw(t, what) > 240 }

// space draws what may stand between tokens, mostly nothing.
func space(t *rapid.T) string {
	if rarely(t, "space") {
		return "\r\n\t "
	}
	return ""
}

// value draws the text of something like a JSON value.
func value(t *rapid.T, depth int) string {
	switch kind := rapid.IntRange(0, 20).Draw(t, "kind"); {
	case kind == 17:
		return rapid.SampledFrom(broken).Draw(t, "broken")
	case kind == 18 && depth < 4:
		return rapid.SampledFrom([]string{strings.Repeat("[", 14) + "1" + strings.Repeat("]", 14), strings.Repeat("[", 20)}).Draw(t, "deep")
	case kind == 19 && depth < 4:
		var all []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			all = append(all, space(t)+value(t, depth+1)+space(t))
		}
		return "[" + strings.Join(all, ",") + space(t) + "]"
	case kind == 20 && depth < 4:
		return object(t, depth)
	}
	return rapid.SampledFrom(scalars).Draw(t, "scalar")
}

// object draws the text of something like a JSON object: fields of frames, most
// of them once, and perhaps as many more as allowed.
func object(t *rapid.T, depth int) string {
	var all []string
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 0, 9, rapid.ID[string]).Draw(t, "keys") {
		all = append(all, space(t)+key+space(t)+":"+space(t)+value(t, depth+1)+space(t))
	}
	if rarely(t, "many") {
		for i := range rapid.IntRange(wire.MaxKeys-9, wire.MaxKeys+1).Draw(t, "more") {
			all = append(all, fmt.Sprintf(`"k%d":0`, i))
		}
	}
	return "{" + strings.Join(all, ",") + space(t) + "}"
}

// frame draws a frame, most often of a known type, and sometimes breaks it.
func frame(t *rapid.T) []byte {
	text := object(t, 0)
	types := []string{"post", "history", "join", "who", "hello", "rename", "leave", "typing", "ping", "shout"}
	if !rarely(t, "untyped") {
		text = strings.Replace(text, "{", `{"type":"`+rapid.SampledFrom(types).Draw(t, "type")+`",`, 1)
		text = strings.Replace(text, ",}", "}", 1)
	}
	if rarely(t, "break") {
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		piece := rapid.SampledFrom([]string{"", "{", "}", "[", "]", ",", ":", `"`, `\`, "0", "\x00", "\xff", "\v", "\u00a0", " "}).Draw(t, "piece")
		text = text[:at] + piece + text[min(at+rapid.IntRange(0, 1).Draw(t, "without"), len(text)):]
	}
	return []byte(space(t) + text + space(t))
}

func TestDecodersDoWhatTheReferenceDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkDecoders(t, frame(t)) })
}

// The edges of the grammar, all of them: every byte that means something in
// JSON, and some that do not, instead of and before each byte of a frame.
func TestDecodersDoWhatTheReferenceDoesNextToEachByte(t *testing.T) {
	whole := `{"type":"post","room":"a\n","nonce":"\ud83c\udf75","text":"t","x":[1.5,-10e+2,true,{"k":null,"l":{}}, 0 ]} `
	const others = "\x00\t\n\v\r \"\\/{}[]:,+-.0179eEabdfnrtux\x7f\x80\xc2\xff"
	for i := range whole {
		for j := range len(others) {
			b := others[j : j+1]
			checkDecoders(t, []byte(whole[:i]+b+whole[i:]))
			checkDecoders(t, []byte(whole[:i]+b+whole[i+1:]))
		}
		checkDecoders(t, []byte(whole[:i]))
	}
}

func TestDecodersDoWhatTheReferenceDoesWithEachValue(t *testing.T) {
	for _, v := range append(scalars, broken...) {
		checkDecoders(t, []byte(v))
		for _, key := range keys {
			checkDecoders(t, []byte(`{"type":"post","room":"a","text":"t",`+key+`:`+v+`}`))
			checkDecoders(t, []byte(`{"type":"join","room":"a",`+key+`:`+v+`}`))
			checkDecoders(t, []byte(`{"type":"history","room":"a","x":{`+key+`:[[],`+v+`]},`+key+`:`+v+`}`))
		}
	}
}

func TestDecodersTellTheFirstOfSeveralMistakes(t *testing.T) {
	mistakes := []string{`"a":1,"a":2`, `"b":[null]`, `"c":` + strings.Repeat("[", 20), `"d":tru`}
	var many []string // one key more than allowed, in front of a frame's own
	for i := range wire.MaxKeys + 1 {
		many = append(many, fmt.Sprintf(`"k%d":0`, i))
	}
	mistakes = append(mistakes, strings.Join(many, ","))
	for _, first := range mistakes {
		for _, second := range mistakes {
			for n := range 3 { // with as many keys as allowed, one less and one more
				short := strings.Join(many[:wire.MaxKeys-2+n], ",")
				checkDecoders(t, []byte(`{"type":"ping",`+short+`}`))
				checkDecoders(t, []byte(`{"x":{`+short+`},`+first+`,`+second+`}`))
			}
			checkDecoders(t, []byte(`[{`+first+`},{`+second+`}]`))
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range vectors(f, "client.json") {
		f.Add([]byte(v.Frame))
	}
	for _, frame := range []string{`{"message":"hi"}`, `{"text":"hi","nonce":"n"}`} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checkDecoders(t, data)
		req, err := wire.Decode(data)
		if err != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("accepted what is not JSON")
		}
		again, err := wire.Decode(wire.EncodeRequest(req.Ref, req.Frame))
		if err != nil || !cmp.Equal(req, again) {
			t.Fatalf("%+v was written and read as %+v, %v", req, again, err)
		}
	})
}

// pieces are what JSON strings escape, and what stands next to it.
var pieces = []string{
	"", "a", "茶馆", "🍵", "<b>&amp;", `"`, `\`, "/", "\b\f\n\r\t", "\x00", "\x1f", "\x7f", "\u0080",
	"\u2027", "\u2028", "\u2029", "\u202a", "\ufffd", "\xff", "\xc2", "\xe2\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\U0010ffff",
}

// fill draws all that a frame holds.
func fill(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 5).Draw(t, "text"), ""))
	case reflect.Int, reflect.Int64:
		v.SetInt(rapid.OneOf(rapid.Just[int64](0), rapid.Int64()).Draw(t, "integer"))
	case reflect.Float64:
		v.SetFloat(rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64)).Draw(t, "float"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "flag"))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, "given") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(t, v.Elem())
		}
	case reflect.Slice:
		if n := rapid.IntRange(-1, 3).Draw(t, "length"); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(t, v.Index(i))
			}
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[wire.Time]() {
			v.Set(reflect.ValueOf(moment(t)))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i))
		}
	default:
		t.Fatalf("frames hold no %s so far", v.Kind())
	}
}

// moment draws a time of any year and zone.
func moment(t *rapid.T) wire.Time {
	const longest = 400_000_000_000 // seconds, more than 12,000 years
	zone := time.FixedZone("", rapid.IntRange(-14*3600, 14*3600).Draw(t, "zone"))
	seconds := rapid.Int64Range(-longest, longest).Draw(t, "seconds")
	return wire.Time{Time: time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).In(zone)}
}

// frames are all of this package.
var frames = []wire.Frame{
	wire.Hello{}, wire.Join{}, wire.Leave{}, wire.Post{}, wire.History{}, wire.Typing{}, wire.Who{}, wire.Rename{}, wire.Ping{},
	wire.Welcome{}, wire.Joined{}, wire.Left{}, wire.Messages{}, wire.MessageFrame{}, wire.Ack{}, wire.HistoryPage{},
	wire.TypingFrame{}, wire.Here{}, wire.Renamed{}, wire.Pong{}, wire.ErrorFrame{},
}

// checkEncoders compares all writers on what t draws.
func checkEncoders(t *rapid.T) {
	v := reflect.New(reflect.TypeOf(rapid.SampledFrom(frames).Draw(t, "frame"))).Elem()
	fill(t, v)
	f := v.Interface().(wire.Frame)
	if diff := cmp.Diff(string(refEncode(f.FrameType(), "", f)), string(wire.Encode(f))); diff != "" {
		t.Errorf("Encode of %+v (-reference +got)\n%s", f, diff)
	}
	var ref string
	fill(t, reflect.ValueOf(&ref).Elem())
	if diff := cmp.Diff(string(refEncode(f.FrameType(), ref, f)), string(wire.EncodeRequest(ref, f))); diff != "" {
		t.Errorf("EncodeRequest of %+v under %q (-reference +got)\n%s", f, ref, diff)
	}
	var plain wire.PlainMessage
	fill(t, reflect.ValueOf(&plain).Elem())
	if diff := cmp.Diff(string(refEncodePlain(plain)), string(wire.EncodePlain(plain))); diff != "" {
		t.Errorf("EncodePlain of %+v (-reference +got)\n%s", plain, diff)
	}
	at := moment(t)
	got, err := at.MarshalJSON()
	if want := at.UTC().Format(`"` + wire.TimeFormat + `"`); err != nil || string(got) != want {
		t.Errorf("MarshalJSON of %v: %s, %v; want %s", at.Time, got, err, want)
	}
}

func TestEncodersDoWhatTheReferenceDoes(t *testing.T) { rapid.Check(t, checkEncoders) }

func TestEveryCharacterIsWrittenAsTheReferenceDoes(t *testing.T) {
	var texts []string
	for c := range 256 {
		texts = append(texts, "a"+string([]byte{byte(c)})+"b") // not UTF-8 from 128 on
	}
	for r := rune(0); r <= utf8.MaxRune; r += 256 {
		var row []rune
		for i := range rune(256) {
			row = append(row, r+i)
		}
		texts = append(texts, string(row))
	}
	for _, s := range texts {
		if got, want := wire.Encode(wire.Rename{Name: s}), refEncode(wire.TypeRename, "", wire.Rename{Name: s}); string(got) != string(want) {
			t.Fatalf("got %s, want %s", got, want)
		}
		m := wire.PlainMessage{Message: s}
		if got, want := wire.EncodePlain(m), refEncodePlain(m); string(got) != string(want) {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func FuzzEncode(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkEncoders)) }
