package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// object is a JSON object whose values are still raw. It exists because
// encoding/json accepts what this protocol must refuse: duplicate keys, keys of
// another case, null for a string, any depth, lone surrogates.
type object map[string]json.RawMessage

// parseObject reads one JSON object strictly: depth at most MaxDepth, keys at
// most MaxKeys per object and none twice, no null among the elements of an array.
func parseObject(data []byte) (object, *Error) {
	if tooDeep(data) {
		return nil, fail(CodeTooDeep, "This is nested too deeply; send flat objects.")
	}
	if !utf8.Valid(data) || !json.Valid(data) {
		return nil, fail(CodeBadJSON, "This is not JSON; send one JSON object.")
	}
	w := walker{data: bytes.TrimSpace(data)}
	if w.data[0] != '{' {
		return nil, fail(CodeBadEnvelope, "This is not a JSON object.")
	}
	o := make(object)
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
			if depth++; depth > MaxDepth {
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
func (w *walker) object(o object) *Error {
	seen := o
	if seen == nil {
		seen = make(object)
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
			return fail(CodeBadJSON, "A key stands twice in one object.")
		}
		if len(seen) == MaxKeys {
			return fail(CodeBadEnvelope, "An object has too many keys.")
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

func (w *walker) array() *Error {
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
			return fail(CodeBadType, "An array holds null.")
		}
		if err := w.value(); err != nil {
			return err
		}
	}
}

func (w *walker) value() *Error {
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
func (o object) text(key string) (string, bool, *Error) {
	raw, ok := o[key]
	if !ok {
		return "", false, nil
	}
	if raw[0] != '"' {
		return "", true, fail(CodeBadType, "Field "+key+" must be a string.")
	}
	if !wholeText(raw) {
		return "", true, fail(CodeBadText, "Field "+key+" holds U+0000 or half a character.")
	}
	return decodeString(raw), true, nil
}

// integer reads a whole number of at least 0; absent is nil. Numbers beyond
// 2^53 are refused, since other languages cannot hold them.
func (o object) integer(key string) (*int64, *Error) {
	raw, ok := o[key]
	if !ok {
		return nil, nil
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return nil, fail(CodeBadType, "Field "+key+" must be a whole number.")
	}
	if n < 0 || n > 1<<53 {
		return nil, fail(CodeBadSeq, "Field "+key+" is out of range.")
	}
	return &n, nil
}
