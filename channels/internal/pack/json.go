package pack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendJSON writes v as Python's json.dumps does: ", " and ": " between, ASCII
// alone, floats that stay floats.
func AppendJSON(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case uint64:
		return strconv.AppendUint(b, v, 10), nil
	case float64:
		return appendJSONFloat(b, v), nil
	case string:
		return appendJSONText(b, v)
	case []byte:
		return nil, errors.New("a []byte cannot be sent in the format json")
	case []any:
		return appendJSONList(b, v, depth)
	case map[string]any:
		return appendJSONMap(b, v, depth)
	}
	p, err := plain(v)
	if err != nil {
		return nil, err
	}
	return AppendJSON(b, p, depth)
}

func appendJSONList(b []byte, list []any, depth int) ([]byte, error) {
	if depth >= MaxDepthEncode {
		return nil, errDeep
	}
	b = append(b, '[')
	var err error
	for i, e := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, err = AppendJSON(b, e, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendJSONMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	if depth >= MaxDepthEncode {
		return nil, errDeep
	}
	b = append(b, '{')
	var err error
	for i, k := range keyOrder(m, depth) {
		if i > 0 {
			b = append(b, ", "...)
		}
		if b, err = appendJSONText(b, k); err != nil {
			return nil, err
		}
		b = append(b, ": "...)
		if b, err = AppendJSON(b, m[k], depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendJSONFloat writes f as Python's repr.
func appendJSONFloat(b []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(b, "NaN"...)
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	case f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16):
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	if bytes.IndexByte(b[start:], '.') < 0 {
		b = append(b, ".0"...)
	}
	return b
}

func appendJSONText(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errUTF8
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		case strings.ContainsRune(shortEscapes, r):
			b = append(b, '\\', "nrtbf"[strings.IndexRune(shortEscapes, r)])
		case r <= 0xffff:
			b = appendEscape(b, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = appendEscape(appendEscape(b, high), low)
		}
	}
	return append(b, '"'), nil
}

const (
	shortEscapes = "\n\r\t\b\f"
	hexDigits    = "0123456789abcdef"
)

func appendEscape(b []byte, r rune) []byte {
	return append(b, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// DecodeJSON reads one value that takes up all of b: JSON as Python's json.loads
// takes it, with NaN and Infinity, in UTF-8.
func DecodeJSON(b []byte) (any, error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("%w: json: it is not UTF-8", ErrBody)
	}
	d := jsonReader{rest: b}
	v, err := d.value(0)
	if d.peek(); err == nil && len(d.rest) > 0 {
		err = errors.New("text follows it")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: json: %w", ErrBody, err)
	}
	return v, nil
}

// jsonReader finds where values are; encoding/json reads strings. That package
// alone would refuse NaN, and make floats of integers or text of floats.
type jsonReader struct{ rest []byte }

var errSyntax = errors.New("it is no JSON")

// peek skips white space and is the byte that follows, or 0.
func (d *jsonReader) peek() byte {
	d.rest = bytes.TrimLeft(d.rest, " \t\r\n")
	if len(d.rest) == 0 {
		return 0
	}
	return d.rest[0]
}

// next takes c if it is what follows.
func (d *jsonReader) next(c byte) bool {
	if d.peek() != c || c == 0 {
		return false
	}
	d.rest = d.rest[1:]
	return true
}

func (d *jsonReader) value(depth int) (any, error) {
	if depth > MaxDepthDecode {
		return nil, fmt.Errorf("nested more than %d deep", MaxDepthDecode)
	}
	switch c := d.peek(); {
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.array(depth)
	case c == '"':
		return d.text()
	default:
		return d.word()
	}
}

func (d *jsonReader) object(depth int) (any, error) {
	m := map[string]any{}
	for d.next('{'); !d.next('}'); {
		if len(m) > 0 && !d.next(',') || d.peek() != '"' {
			return nil, errSyntax
		}
		k, err := d.text()
		if err != nil {
			return nil, err
		}
		if !d.next(':') {
			return nil, errSyntax
		}
		if m[k], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (d *jsonReader) array(depth int) (any, error) {
	list := []any{}
	for d.next('['); !d.next(']'); {
		if len(list) > 0 && !d.next(',') {
			return nil, errSyntax
		}
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (d *jsonReader) text() (string, error) {
	end := 1
	for end < len(d.rest) && d.rest[end] != '"' {
		if d.rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(d.rest) {
		return "", errSyntax
	}
	var s string
	err := json.Unmarshal(d.rest[:end+1], &s)
	d.rest = d.rest[end+1:]
	return s, err
}

// word reads a number, or one of the names that are values.
func (d *jsonReader) word() (any, error) {
	end := bytes.IndexAny(d.rest, " \t\r\n,]}:")
	if end < 0 {
		end = len(d.rest)
	}
	w := d.rest[:end]
	d.rest = d.rest[end:]
	switch s := string(w); s {
	case "null":
		return nil, nil
	case "true", "false":
		return s == "true", nil
	case "NaN":
		return math.NaN(), nil
	case "Infinity":
		return math.Inf(1), nil
	case "-Infinity":
		return math.Inf(-1), nil
	}
	if !json.Valid(w) {
		return nil, errSyntax
	}
	if !bytes.ContainsAny(w, ".eE") {
		if n, err := strconv.ParseInt(string(w), 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(string(w), 10, 64); err == nil {
			return n, nil
		}
	}
	f, err := strconv.ParseFloat(string(w), 64) // what is too large is infinite, as in Python
	if err != nil && !math.IsInf(f, 0) {
		return nil, err
	}
	return f, nil
}
