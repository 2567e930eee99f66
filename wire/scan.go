package wire

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// field is a key of a JSON object with its value.
type field struct {
	key   []byte // without quotes and escapes
	value []byte // as it stands in the frame
}

// parseObject reads one JSON object strictly: depth at most MaxDepth, keys at
// most MaxKeys per object and none twice, no null among the elements of an array:
// encoding/json would let all of that pass. The fields point into data; they are
// appended to space, an empty slice of the caller's.
//
// Of several mistakes depth is told first, then grammar, then whatever stands first.
func parseObject(data []byte, space []field) ([]field, *Error) {
	s := scanner{data: data}
	fields, ok := s.document(space)
	switch {
	case ok && utf8.Valid(data):
		return fields, s.bad
	case tooDeep(data):
		return nil, fail(CodeTooDeep, "This is nested too deeply; send flat objects.")
	default:
		return nil, fail(CodeBadJSON, "This is not JSON; send one JSON object.")
	}
}

// tooDeep counts brackets outside strings, in frames that are refused: whatever
// else is wrong with them, the depth is what their maker should hear about.
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

// scanner goes over a frame once, by the grammar of RFC 8259. Its methods stop
// and return false where the grammar is broken or the depth exceeded.
type scanner struct {
	data  []byte // fixed
	pos   int
	depth int    // of the object or array around pos
	bad   *Error // first breach of this protocol's own rules; the grammar is checked to the end
}

func (s *scanner) note(code, message string) {
	if s.bad == nil {
		s.bad = fail(code, message)
	}
}

// document reads all of the frame and returns the fields of its one object.
func (s *scanner) document(space []field) (fields []field, ok bool) {
	if s.next() == '{' {
		fields, ok = s.object(space)
	} else {
		s.note(CodeBadEnvelope, "This is not a JSON object.")
		ok = s.value()
	}
	s.next()
	return fields, ok && s.pos == len(s.data)
}

// next passes over white space and returns the byte at pos, 0 at the end. No
// token begins with the byte 0.
func (s *scanner) next() byte {
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// enter passes over the bracket at pos.
func (s *scanner) enter() bool {
	s.pos++
	s.depth++
	return s.depth <= MaxDepth
}

// leave passes over the bracket at pos.
func (s *scanner) leave() {
	s.pos++
	s.depth--
}

// object reads the object at pos and appends its fields.
func (s *scanner) object(fields []field) ([]field, bool) {
	if !s.enter() {
		return nil, false
	}
	if s.next() == '}' {
		s.leave()
		return fields, true
	}
	for {
		if s.next() != '"' {
			return nil, false
		}
		start := s.pos
		if !s.text() {
			return nil, false
		}
		key, _ := unquote(s.data[start:s.pos])
		s.checkKey(fields, key)
		if s.next() != ':' {
			return nil, false
		}
		s.pos++
		s.next()
		start = s.pos
		if !s.value() {
			return nil, false
		}
		if s.bad == nil { // so there are never more than MaxKeys to compare with
			fields = append(fields, field{key, s.data[start:s.pos]})
		}
		switch s.next() {
		case ',':
			s.pos++
		case '}':
			s.leave()
			return fields, true
		default:
			return nil, false
		}
	}
}

// checkKey checks a key against those before it in its object.
func (s *scanner) checkKey(before []field, key []byte) {
	for i := range before {
		if string(before[i].key) == string(key) {
			s.note(CodeBadJSON, "A key stands twice in one object.")
		}
	}
	if len(before) == MaxKeys {
		s.note(CodeBadEnvelope, "An object has too many keys.")
	}
}

func (s *scanner) array() bool {
	if !s.enter() {
		return false
	}
	if s.next() == ']' {
		s.leave()
		return true
	}
	for {
		if s.next() == 'n' {
			s.note(CodeBadType, "An array holds null.")
		}
		if !s.value() {
			return false
		}
		switch s.next() {
		case ',':
			s.pos++
		case ']':
			s.leave()
			return true
		default:
			return false
		}
	}
}

// value passes over the value at pos.
func (s *scanner) value() bool {
	switch s.next() {
	case '"':
		return s.text()
	case '{':
		_, ok := s.object(nil)
		return ok
	case '[':
		return s.array()
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

func (s *scanner) literal(word string) bool {
	ok := bytes.HasPrefix(s.data[s.pos:], []byte(word))
	s.pos += len(word)
	return ok
}

// number is section 6 of the RFC.
func (s *scanner) number() bool {
	s.skip("-")
	if !s.skip("0") && !s.digits() {
		return false
	}
	if s.skip(".") && !s.digits() {
		return false
	}
	if s.skip("eE") {
		s.skip("+-")
		return s.digits()
	}
	return true
}

// skip passes over one byte if it is among set.
func (s *scanner) skip(set string) bool {
	if s.pos < len(s.data) && strings.IndexByte(set, s.data[s.pos]) >= 0 {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) digits() bool {
	start := s.pos
	for s.pos < len(s.data) && s.data[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos > start
}

// text passes over the string at pos, section 7 of the RFC. Whether its bytes
// are UTF-8 is checked for the whole frame at once.
func (s *scanner) text() bool {
	data := s.data
	for i := s.pos + 1; i < len(data); i++ {
		if special[data[i]]&always == 0 {
			continue
		}
		switch data[i] {
		case '"':
			s.pos = i + 1
			return true
		case '\\':
			n := escapeLen(data[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		default: // a control character
			return false
		}
	}
	return false
}

// escapeLen is the length of the escape that b begins with, 0 when it is not one.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex4(b[2:]) >= 0 {
			return 6
		}
	}
	return 0
}

// unquote is the text of a string that the scanner has passed over. whole is
// false when it holds U+0000 or half of a surrogate pair, which becomes U+FFFD.
// The text is part of quoted when nothing in it is escaped.
func unquote(quoted []byte) (text []byte, whole bool) {
	raw := quoted[1 : len(quoted)-1]
	i := bytes.IndexByte(raw, '\\')
	if i < 0 {
		return raw, true
	}
	text, whole = append(make([]byte, 0, len(raw)), raw[:i]...), true
	for i < len(raw) {
		if raw[i] != '\\' {
			text = append(text, raw[i])
			i++
			continue
		}
		r, n := unescape(raw[i:])
		i += n
		if r <= 0 {
			whole = false
		}
		text = utf8.AppendRune(text, r) // -1 becomes U+FFFD
	}
	return text, whole
}

// unescape reads the escape, or the two of a surrogate pair, that b begins
// with, and its length. Half a pair is -1.
func unescape(b []byte) (r rune, n int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default: // " \ /
		return rune(b[1]), 2
	}
	r = hex4(b[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(b[8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return -1, 6
}

// hex4 is the number that b begins with in four hexadecimal digits, -1 when it does not.
func hex4(b []byte) rune {
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
