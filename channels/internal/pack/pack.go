// Package pack writes events as bytes and reads them back: maps of plain values,
// in MessagePack, or in JSON as Python writes it. It is what brokers have in
// common; what stands around such bytes is theirs.
//
// Plain values are strings, numbers, booleans, nil, []byte (not in JSON), lists
// and maps with keys of text. What comes back has int64, uint64 above its range,
// or float64 for numbers, []any and map[string]any. Equal maps are equal bytes:
// keys are sorted, but for KeyFirst and KeyLast of the outermost map.
//
// Decoding is for bytes that anybody may have written: it takes memory in
// proportion to what is there, and ends before the stack does.
package pack

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
)

// How deep values may be nested. Django's encoder goes 511 deep, its decoder 1024.
const (
	MaxDepthEncode = 100
	MaxDepthDecode = 512
)

// Keys whose place is not by their order.
const (
	KeyFirst = "type"
	KeyLast  = "__asgi_channel__" // where Django Channels writes an event's destination
)

// ErrBody is what all errors of decoding are: the bytes are no event.
var ErrBody = errors.New("not a body of this layer")

// keyOrder is the order of the keys of a map at a depth.
func keyOrder(m map[string]any, depth int) []string {
	keys := slices.Sorted(maps.Keys(m))
	if depth > 0 {
		return keys
	}
	move := func(key string, to func(rest []string) []string) {
		if i := slices.Index(keys, key); i >= 0 {
			keys = to(slices.Delete(keys, i, i+1))
		}
	}
	move(KeyFirst, func(rest []string) []string { return slices.Insert(rest, 0, KeyFirst) })
	move(KeyLast, func(rest []string) []string { return append(rest, KeyLast) })
	return keys
}

// plain turns a value of a type that the encoders do not know into one they
// do: nil, bool, int64, uint64, float64, string, []byte, []any, map[string]any.
func plain(v any) (any, error) {
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.Bool:
		return r.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return r.Uint(), nil
	case reflect.Float32, reflect.Float64:
		return r.Float(), nil
	case reflect.String:
		return r.String(), nil
	case reflect.Slice:
		if r.Type().Elem().Kind() == reflect.Uint8 {
			return r.Bytes(), nil
		}
		list := make([]any, r.Len())
		for i := range list {
			list[i] = r.Index(i).Interface()
		}
		return list, nil
	case reflect.Map:
		if r.Type().Key().Kind() != reflect.String {
			return nil, fmt.Errorf("a %T, whose keys are not text, cannot be sent", v)
		}
		m := make(map[string]any, r.Len())
		for k, e := range r.Seq2() {
			m[k.String()] = e.Interface()
		}
		return m, nil
	}
	return nil, fmt.Errorf("a %T cannot be sent; what can are strings, numbers, booleans, nil, []byte, lists and maps", v)
}

// integer is the narrowest of the two types that hold all integers of a body.
func integer(u uint64) any {
	if u <= math.MaxInt64 {
		return int64(u)
	}
	return u
}

var errDeep = fmt.Errorf("nested more than %d deep", MaxDepthEncode)
