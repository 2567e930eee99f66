package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

var errUTF8 = errors.New("a text that is not UTF-8 cannot be sent; use []byte")

// AppendMsgpack writes v as upstream's msgpack does: the shortest heads, 64-bit
// floats, and neither extensions nor keys that are no text.
func AppendMsgpack(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, 0xc0), nil
	case bool:
		if v {
			return append(b, 0xc3), nil
		}
		return append(b, 0xc2), nil
	case int:
		return appendInt(b, int64(v)), nil
	case int64:
		return appendInt(b, v), nil
	case uint64:
		return appendUint(b, v), nil
	case float64:
		if math.IsNaN(v) {
			return append(b, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0), nil // of the many, the one of C
		}
		return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(v)), nil
	case string:
		if !utf8.ValidString(v) {
			return nil, errUTF8
		}
		return append(appendHead(b, len(v), heads{fix: 0xa0, fixMax: 31, u8: 0xd9, u16: 0xda, u32: 0xdb}), v...), nil
	case []byte:
		return append(appendHead(b, len(v), heads{fixMax: -1, u8: 0xc4, u16: 0xc5, u32: 0xc6}), v...), nil
	case []any:
		return appendMsgpackList(b, v, depth)
	case map[string]any:
		return appendMsgpackMap(b, v, depth)
	}
	p, err := plain(v)
	if err != nil {
		return nil, err
	}
	return AppendMsgpack(b, p, depth)
}

func appendMsgpackList(b []byte, list []any, depth int) ([]byte, error) {
	if depth >= MaxDepthEncode {
		return nil, errDeep
	}
	b = appendHead(b, len(list), heads{fix: 0x90, fixMax: 15, u16: 0xdc, u32: 0xdd})
	var err error
	for _, e := range list {
		if b, err = AppendMsgpack(b, e, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendMsgpackMap(b []byte, m map[string]any, depth int) ([]byte, error) {
	if depth >= MaxDepthEncode {
		return nil, errDeep
	}
	b = AppendMapHead(b, len(m))
	var err error
	for _, k := range keyOrder(m, depth) {
		if b, err = AppendMsgpack(b, k, depth); err != nil {
			return nil, err
		}
		if b, err = AppendMsgpack(b, m[k], depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// AppendMapHead writes what stands before the n pairs of a map in MessagePack.
func AppendMapHead(b []byte, n int) []byte {
	return appendHead(b, n, heads{fix: 0x80, fixMax: 15, u16: 0xde, u32: 0xdf})
}

// heads are the first bytes of a family of values with a length; 0 is none.
type heads struct {
	fix, u8, u16, u32 byte
	fixMax            int
}

func appendHead(b []byte, n int, h heads) []byte {
	switch {
	case n <= h.fixMax:
		return append(b, h.fix|byte(n))
	case n <= math.MaxUint8 && h.u8 != 0:
		return append(b, h.u8, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, h.u16), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, h.u32), uint32(n))
}

func appendInt(b []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendUint(b, uint64(n))
	case n >= -32:
		return append(b, byte(n))
	case n >= math.MinInt8:
		return append(b, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
}

func appendUint(b []byte, n uint64) []byte {
	switch {
	case n <= 127:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

// DecodeMsgpack reads one value that takes up all of b. It is strict because
// any process on the server may write one: a few bytes reserve little memory,
// and nesting ends before the stack does, which would end this process.
func DecodeMsgpack(b []byte) (any, error) {
	d := msgpackReader{rest: b}
	v, err := d.value(0)
	if err == nil && len(d.rest) > 0 {
		err = errors.New("bytes follow it")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: msgpack: %w", ErrBody, err)
	}
	return v, nil
}

type msgpackReader struct{ rest []byte }

// reserved bounds the elements that memory is taken for before they are there:
// each of hundreds of lists, one in the other, may claim as many as bytes follow.
const reserved = 16

var errShort = errors.New("it ends too early")

// take is the next n bytes, which the caller must copy to keep.
func (d *msgpackReader) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.rest) {
		return nil, errShort
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, nil
}

// uint is the next 1<<size bytes as a number.
func (d *msgpackReader) uint(size byte) (uint64, error) {
	b, err := d.take(1 << size)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[8-len(b):], b)
	return binary.BigEndian.Uint64(full[:]), nil
}

func (d *msgpackReader) value(depth int) (any, error) {
	if depth > MaxDepthDecode {
		return nil, fmt.Errorf("nested more than %d deep", MaxDepthDecode)
	}
	first, err := d.take(1)
	if err != nil {
		return nil, err
	}
	switch h := first[0]; {
	case h <= 0x7f:
		return int64(h), nil
	case h >= 0xe0:
		return int64(int8(h)), nil
	case h <= 0x8f:
		return d.mapping(uint64(h&0x0f), depth)
	case h <= 0x9f:
		return d.list(uint64(h&0x0f), depth)
	case h <= 0xbf:
		return d.text(uint64(h & 0x1f))
	case h == 0xc0:
		return nil, nil
	case h == 0xc2, h == 0xc3:
		return h == 0xc3, nil
	case h >= 0xca && h <= 0xd3:
		return d.number(h)
	default:
		return d.sized(h, depth)
	}
}

func (d *msgpackReader) number(h byte) (any, error) {
	size := h & 3 // of uint8 to uint64, and of int8 to int64
	if h == 0xca || h == 0xcb {
		size = h - 0xca + 2
	}
	u, err := d.uint(size)
	if err != nil {
		return nil, err
	}
	switch {
	case h == 0xca:
		return float64(math.Float32frombits(uint32(u))), nil
	case h == 0xcb:
		return math.Float64frombits(u), nil
	case h <= 0xcf:
		return integer(u), nil
	}
	unused := 64 - 8<<size
	return int64(u<<unused) >> unused, nil
}

// sized reads the families whose length is a number of its own.
func (d *msgpackReader) sized(h byte, depth int) (any, error) {
	var size byte
	switch {
	case h >= 0xc4 && h <= 0xc6:
		size = h - 0xc4
	case h >= 0xd9 && h <= 0xdb:
		size = h - 0xd9
	case h >= 0xdc:
		size = h&1 + 1
	default: // 0xc1, which is nothing, and the extensions
		return nil, fmt.Errorf("it has the extension type %#x", h)
	}
	n, err := d.uint(size)
	switch {
	case err != nil:
		return nil, err
	case h <= 0xc6:
		b, err := d.take(int(n))
		return append([]byte{}, b...), err
	case h <= 0xdb:
		return d.text(n)
	case h <= 0xdd:
		return d.list(n, depth)
	}
	return d.mapping(n, depth)
}

func (d *msgpackReader) text(n uint64) (any, error) {
	b, err := d.take(int(n))
	if err == nil && !utf8.Valid(b) {
		err = errors.New("a text in it is not UTF-8")
	}
	return string(b), err
}

func (d *msgpackReader) list(n uint64, depth int) (any, error) {
	if n > uint64(len(d.rest)) {
		return nil, errShort
	}
	list := make([]any, 0, min(n, reserved))
	for range n {
		v, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (d *msgpackReader) mapping(n uint64, depth int) (any, error) {
	if n > uint64(len(d.rest))/2 {
		return nil, errShort
	}
	m := make(map[string]any, min(n, reserved))
	for range n {
		k, err := d.value(depth + 1)
		if err != nil {
			return nil, err
		}
		key, err := keyText(k)
		if err != nil {
			return nil, err
		}
		if m[key], err = d.value(depth + 1); err != nil { // of a key given twice, upstream takes the last
			return nil, err
		}
	}
	return m, nil
}

// keyText is a key of any simple type as text.
func keyText(k any) (string, error) {
	switch k := k.(type) {
	case string:
		return k, nil
	case []byte:
		if utf8.Valid(k) {
			return string(k), nil
		}
	case int64:
		return strconv.FormatInt(k, 10), nil
	case uint64:
		return strconv.FormatUint(k, 10), nil
	case float64:
		return strconv.FormatFloat(k, 'g', -1, 64), nil
	case bool:
		return strconv.FormatBool(k), nil
	case nil:
		return "null", nil
	}
	return "", fmt.Errorf("a key in it is a %T", k)
}
