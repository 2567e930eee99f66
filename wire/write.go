package wire

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// object is a JSON object being written: each method appends a field and
// returns the longer object, so that a frame is written in one allocation. The
// bytes are those of encoding/json without its HTML escapes, which these frames
// do not need: they are never put into HTML.
type object []byte

// open begins a frame whose fields will take about size bytes; too small a
// size costs copies.
func open(typ, ref string, size int) object {
	o := make(object, 0, len(`{"type":"","ref":""}`)+len(typ)+len(ref)+size)
	o = append(o, `{"type":"`...)
	o = append(o, typ...)
	o = append(o, '"')
	if ref != "" {
		o = appendQuoted(o.key("ref"), ref, always|inHTML) // as clients have always written it
	}
	return o
}

// close ends a frame.
func (o object) close() []byte { return append(o, '}') }

func (o object) key(name string) object {
	if o[len(o)-1] != '{' {
		o = append(o, ',')
	}
	o = append(o, '"')
	o = append(o, name...)
	return append(o, '"', ':')
}

func (o object) text(key, s string) object { return appendQuoted(o.key(key), s, always) }

// given is text that is left out when empty.
func (o object) given(key, s string) object {
	if s == "" {
		return o
	}
	return o.text(key, s)
}

func (o object) integer(key string, n int64) object {
	return strconv.AppendInt(o.key(key), n, 10)
}

// nonzero is an integer that is left out when 0.
func (o object) nonzero(key string, n int64) object {
	if n == 0 {
		return o
	}
	return o.integer(key, n)
}

// position is an integer that is left out when nil.
func (o object) position(key string, n *int64) object {
	if n == nil {
		return o
	}
	return o.integer(key, *n)
}

func (o object) flag(key string, is bool) object { return strconv.AppendBool(o.key(key), is) }

// mark is a flag that is left out when false.
func (o object) mark(key string, is bool) object {
	if !is {
		return o
	}
	return o.flag(key, is)
}

func (o object) time(key string, t Time) object { return appendTime(o.key(key), t.Time) }

func (o object) person(key string, p Person) object {
	return append(p.fields(append(o.key(key), '{')), '}')
}

// element is a Person or a Message.
type element interface {
	fields(object) object
	size() int // about how many bytes the fields take
}

// sizes is about how many bytes a list takes.
func sizes[E element](all []E) int {
	n := 0
	for _, e := range all {
		n += e.size() + len("{},")
	}
	return n
}

// list writes an array of objects.
func list[E element](o object, key string, all []E) object {
	o = o.key(key)
	if all == nil {
		return append(o, "null"...)
	}
	o = append(o, '[')
	for i, e := range all {
		if i > 0 {
			o = append(o, ',')
		}
		o = append(e.fields(append(o, '{')), '}')
	}
	return append(o, ']')
}

// strings writes an array of strings that is left out when empty.
func (o object) strings(key string, all []string) object {
	if len(all) == 0 {
		return o
	}
	o = append(o.key(key), '[')
	for i, s := range all {
		if i > 0 {
			o = append(o, ',')
		}
		o = appendQuoted(o, s, always)
	}
	return append(o, ']')
}

// Classes of bytes in JSON strings, for special.
const (
	always = 1 << iota // the quote, the backslash and controls: never stand for themselves
	inHTML             // what encoding/json escapes for HTML too
	beyond             // part of a character beyond ASCII
)

// special is fixed. Most bytes of most texts have no class.
var special = func() (class [256]byte) {
	for c := range class {
		switch {
		case c < ' ', c == '"', c == '\\':
			class[c] = always
		case c == '<', c == '>', c == '&':
			class[c] = inHTML
		case c >= utf8.RuneSelf:
			class[c] = beyond
		}
	}
	return class
}()

// appendQuoted writes s as a JSON string, escaping the given classes of bytes,
// the line ends of JavaScript, and what is not UTF-8 as U+FFFD.
func appendQuoted(b []byte, s string, escape byte) []byte {
	escape |= beyond
	b = append(b, '"')
	done := 0 // what is written of s
	for i := 0; i < len(s); {
		if special[s[i]]&escape == 0 {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if n == 1 || r == '\u2028' || r == '\u2029' {
			b = appendEscaped(append(b, s[done:i]...), r)
			done = i + n
		}
		i += n
	}
	return append(append(b, s[done:]...), '"')
}

// appendEscaped writes a character of the Basic Multilingual Plane as an escape.
func appendEscaped(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// appendTime writes a time as a JSON string in TimeFormat. It is built on
// time.RFC3339, for which package time has a faster way than for layouts at large.
func appendTime(b []byte, t time.Time) []byte {
	b = t.UTC().AppendFormat(append(b, '"'), time.RFC3339)
	b = b[:len(b)-len("Z")]
	ms := t.Nanosecond() / int(time.Millisecond)
	return append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z', '"')
}
