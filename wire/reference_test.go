package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/teahouse-chat/teahouse/wire"
)

// The reference: readers and writers of frames made of encoding/json in several
// passes. It is slow and easy to believe; what the package does in one pass is
// compared with it, error texts and all.

func fail(code, message string) *wire.Error { return &wire.Error{Code: code, Message: message} }

// rawObject is a JSON object whose values are still raw. It exists because
// encoding/json accepts what this protocol must refuse: duplicate keys, keys of
// another case, null for a string, any depth, lone surrogates.
type rawObject map[string]json.RawMessage

// parseObject reads one JSON object strictly: depth at most wire.MaxDepth, keys at
// most wire.MaxKeys per object and none twice, no null among the elements of an array.
func parseObject(data []byte) (rawObject, *wire.Error) {
	if tooDeep(data) {
		return nil, fail(wire.CodeTooDeep, "This is nested too deeply; send flat objects.")
	}
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, fail(wire.CodeBadJSON, "This is not JSON; send one JSON object.")
	}
	w := walker{data: bytes.TrimSpace(data)}
	if w.data[0] != '{' {
		return nil, fail(wire.CodeBadEnvelope, "This is not a JSON object.")
	}
	o := make(rawObject)
	if err := w.object(o); err != nil {
		return nil, err
	}
	return o, nil
}

// tooDeep counts brackets outside strings, so that a frame of a million
// brackets costs one pass and no stack.
func tooDeep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > wire.MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// walker steps through bytes that json.Valid has accepted.
type walker struct {
	data []byte
	pos  int
}

// object reads the object at pos into o, or only checks it when o is nil.
func (w *walker) object(o rawObject) *wire.Error {
	seen := o
	if seen == nil {
		seen = make(rawObject)
	}
	w.pos++ // {
	for {
		w.space()
		if w.data[w.pos] == '}' {
			w.pos++
			return nil
		}
		if w.data[w.pos] == ',' {
			w.pos++
			w.space()
		}
		key := decodeString(w.string())
		if _, twice := seen[key]; twice {
			return fail(wire.CodeBadJSON, "A key stands twice in one object.")
		}
		if len(seen) == wire.MaxKeys {
			return fail(wire.CodeBadEnvelope, "An object has too many keys.")
		}
		w.space()
		w.pos++ // :
		w.space()
		start := w.pos
		if err := w.value(); err != nil {
			return err
		}
		seen[key] = w.data[start:w.pos]
	}
}

func (w *walker) array() *wire.Error {
	w.pos++ // [
	for {
		w.space()
		switch w.data[w.pos] {
		case ']':
			w.pos++
			return nil
		case ',':
			w.pos++
			w.space()
		}
		if w.data[w.pos] == 'n' {
			return fail(wire.CodeBadType, "An array holds null.")
		}
		if err := w.value(); err != nil {
			return err
		}
	}
}

func (w *walker) value() *wire.Error {
	switch w.data[w.pos] {
	case '{':
		return w.object(nil)
	case '[':
		return w.array()
	case '"':
		w.string()
	default: // number, true, false, null
		for !ends(w.data[w.pos]) { // inside an object there is an end
			w.pos++
		}
	}
	return nil
}

func (w *walker) string() []byte {
	start := w.pos
	for w.pos++; w.data[w.pos] != '"'; w.pos++ {
		if w.data[w.pos] == '\\' {
			w.pos++
		}
	}
	w.pos++
	return w.data[start:w.pos]
}

func (w *walker) space() {
	for isSpace(w.data[w.pos]) {
		w.pos++
	}
}

// isSpace and ends know the bytes of RFC 8259, section 2.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func ends(c byte) bool { return c == ',' || c == ']' || c == '}' || isSpace(c) }

// decodeString unquotes a valid JSON string; lone surrogates become U+FFFD.
func decodeString(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]) // as nearly all are
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return "" // cannot be: raw came out of json.Valid
	}
	return s
}

// wholeText reports whether a valid JSON string holds Unicode text without
// U+0000: encoding/json would hide a lone surrogate behind U+FFFD.
func wholeText(raw []byte) bool {
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		switch r := hex4(raw[i+1:]); {
		case r == 0, r >= 0xDC00 && r <= 0xDFFF:
			return false
		case r >= 0xD800 && r <= 0xDBFF:
			low := raw[i+5:]
			if len(low) < 6 || low[0] != '\\' || low[1] != 'u' || hex4(low[2:]) < 0xDC00 || hex4(low[2:]) > 0xDFFF {
				return false
			}
			i += 6
		}
		i += 4
	}
	return true
}

func hex4(b []byte) uint64 {
	r, err := strconv.ParseUint(string(b[:4]), 16, 32)
	if err != nil {
		return 0 // cannot be: JSON demands four hexadecimal digits
	}
	return r
}

// text reads a string field; absent is "" and false.
func (o rawObject) text(key string) (string, bool, *wire.Error) {
	raw, ok := o[key]
	if !ok {
		return "", false, nil
	}
	if raw[0] != '"' {
		return "", true, fail(wire.CodeBadType, "Field "+key+" must be a string.")
	}
	if !wholeText(raw) {
		return "", true, fail(wire.CodeBadText, "Field "+key+" holds U+0000 or half a character.")
	}
	return decodeString(raw), true, nil
}

// integer reads a whole number of at least 0; absent is nil. Numbers beyond
// 2^53 are refused, since other languages cannot hold them.
func (o rawObject) integer(key string) (*int64, *wire.Error) {
	raw, ok := o[key]
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return nil, fail(wire.CodeBadType, "Field "+key+" must be a whole number.")
	}
	if n < 0 || n > 1<<53 {
		return nil, fail(wire.CodeBadSeq, "Field "+key+" is out of range.")
	}
	return &n, nil
}

// refDecode is what wire.Decode must do.
func refDecode(data []byte) (wire.Request, error) {
	o, bad := parseObject(data)
	if bad != nil {
		return wire.Request{}, bad
	}
	f := fields{rawObject: o}
	req := wire.Request{Ref: f.text("ref")}
	if utf8.RuneCountInString(req.Ref) > wire.MaxRef {
		return wire.Request{}, fail(wire.CodeBadType, "Field ref is longer than 64 characters.")
	}
	if f.bad != nil {
		return wire.Request{}, f.bad
	}
	typ, ok, bad := o.text("type")
	if bad == nil && !ok {
		bad = fail(wire.CodeBadEnvelope, "The frame has no type.")
	}
	read := refClientFrames[typ]
	if bad == nil && read == nil {
		bad = fail(wire.CodeUnknownType, "The server does not know this type of frame.")
	}
	if bad == nil {
		req.Frame = read(&f)
		bad = f.bad
	}
	if bad != nil {
		bad.Ref = req.Ref
		if post, ok := req.Frame.(wire.Post); ok {
			bad.Room, bad.Nonce = post.Room, post.Nonce
		}
		return wire.Request{}, bad
	}
	return req, nil
}

// refClientFrames is fixed.
var refClientFrames = map[string]func(*fields) wire.Frame{
	wire.TypeHello: func(f *fields) wire.Frame {
		return wire.Hello{Client: f.text("client"), Locale: f.text("locale"), Token: f.text("token"), Epoch: f.text("epoch")}
	},
	wire.TypeJoin: func(f *fields) wire.Frame {
		return wire.Join{Room: f.need("room"), After: f.integer("after"), Limit: f.limit(), Epoch: f.text("epoch"), All: f.flag("all")}
	},
	wire.TypeLeave: func(f *fields) wire.Frame { return wire.Leave{Room: f.need("room")} },
	wire.TypePost: func(f *fields) wire.Frame {
		// A nonce that is missing is the domain's bad_nonce, like an empty one.
		return wire.Post{Room: f.need("room"), Nonce: f.text("nonce"), Text: f.need("text")}
	},
	wire.TypeHistory: func(f *fields) wire.Frame {
		h := wire.History{Room: f.need("room"), Limit: f.limit()}
		h.Before, h.After, h.Around = f.integer("before"), f.integer("after"), f.integer("around")
		given := 0
		for _, p := range []*int64{h.Before, h.After, h.Around} {
			if p != nil {
				given++
			}
		}
		if given > 1 {
			f.note(fail(wire.CodeBadQuery, "Give only one of before, after and around."))
		}
		return h
	},
	wire.TypeTyping: func(f *fields) wire.Frame { return wire.Typing{Room: f.need("room")} },
	wire.TypeWho:    func(f *fields) wire.Frame { return wire.Who{Room: f.need("room"), After: f.text("after")} },
	wire.TypeRename: func(f *fields) wire.Frame { return wire.Rename{Name: f.need("name")} },
	wire.TypePing:   func(*fields) wire.Frame { return wire.Ping{} },
}

// fields reads the fields of one frame and remembers the first mistake.
type fields struct {
	rawObject
	bad *wire.Error
}

func (f *fields) note(err *wire.Error) {
	if f.bad == nil {
		f.bad = err
	}
}

func (f *fields) text(key string) string {
	s, _, err := f.rawObject.text(key)
	if err != nil {
		f.note(err)
	}
	return s
}

func (f *fields) need(key string) string {
	if _, ok := f.rawObject[key]; !ok {
		f.note(fail(wire.CodeBadType, "Field "+key+" is missing."))
	}
	return f.text(key)
}

func (f *fields) integer(key string) *int64 {
	n, err := f.rawObject.integer(key)
	if err != nil {
		f.note(err)
	}
	return n
}

func (f *fields) flag(key string) bool {
	raw, ok := f.rawObject[key]
	if ok && string(raw) != "true" && string(raw) != "false" {
		f.note(fail(wire.CodeBadType, "Field "+key+" must be true or false."))
	}
	return string(raw) == "true"
}

// limit is a page size: 50 when absent, clamped to wire.MaxHistory.
func (f *fields) limit() int {
	n := f.integer("limit")
	if n == nil || *n == 0 {
		return 50
	}
	return int(min(*n, wire.MaxHistory))
}

// refDecodePlain is what wire.DecodePlain must do.
func refDecodePlain(data []byte) (string, error) {
	o, bad := parseObject(data)
	if bad != nil {
		return "", bad
	}
	text, ok, bad := o.text("message")
	if bad == nil && !ok {
		bad = fail(wire.CodeBadEnvelope, "The frame has no message.")
	}
	if bad != nil {
		return "", bad
	}
	return text, nil
}

// refDecodePost is what wire.DecodePost must do.
func refDecodePost(data []byte) (text, nonce string, err error) {
	o, bad := parseObject(data)
	if bad != nil {
		return "", "", bad
	}
	f := fields{rawObject: o}
	text, nonce = f.need("text"), f.text("nonce")
	if f.bad != nil {
		return "", "", f.bad
	}
	return text, nonce, nil
}

// refEncode is what wire.Encode and wire.EncodeRequest must do.
func refEncode(typ, ref string, f wire.Frame) []byte {
	var b bytes.Buffer
	b.WriteString(`{"type":"`)
	b.WriteString(typ)
	b.WriteByte('"')
	if ref != "" {
		quoted, err := json.Marshal(ref)
		if err != nil {
			panic(fmt.Sprintf("wire: ref: %v", err)) // a string always marshals
		}
		b.WriteString(`,"ref":`)
		b.Write(quoted)
	}
	start := b.Len()
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // these frames are never put into HTML
	if err := enc.Encode(f); err != nil {
		panic(fmt.Sprintf("wire: %T: %v", f, err)) // the types here hold only strings, numbers and times
	}
	b.Truncate(b.Len() - 1) // the encoder's newline
	out := b.Bytes()
	if out[start+1] == '}' { // no fields: {"type":"pong"}
		return append(out[:start], '}')
	}
	out[start] = ',' // {"type":"x" + ,"field":...}
	return out
}

// refEncodePlain is what wire.EncodePlain must do.
func refEncodePlain(m wire.PlainMessage) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("wire: plain message: " + err.Error())
	}
	return b
}
