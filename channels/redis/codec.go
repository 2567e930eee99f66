package redis

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Limits of bodies. Upstream's encoder goes 511 deep, its decoder 1024.
const (
	maxBody        = channels.MaxEvent // bytes, before encryption
	maxDepthEncode = 100
	maxDepthDecode = 512
)

// errBody is what all errors of decoding are: the body is no event of ours.
var errBody = errors.New("not a body of this layer")

// Keys that have a meaning in a body.
const (
	keyType = "type"
	keyDest = "__asgi_channel__" // core: the channels of this process it is for
)

// codec turns maps into bodies and back: encoded, then encrypted, then with
// bytes that tell it apart in front. It may be used by any goroutine.
type codec struct {
	// fixed
	json   bool
	prefix int           // bytes in front
	keys   []fernetKey   // the first encrypts
	maxAge time.Duration // of an encrypted body; 0 stands for any. Set before use.
	now    func() time.Time

	count atomic.Uint64 // bodies made, for the bytes in front
}

func newCodec(s settings) *codec {
	c := &codec{json: s.Format == formatJSON, prefix: s.RandomPrefix, now: time.Now}
	for _, k := range s.Keys {
		c.keys = append(c.keys, newFernetKey(k))
	}
	return c
}

// encode makes a body. Its keys are sorted, but for the type, which is first, and
// the destination, which is last. A map that Redis or a Django process could not
// take is an error.
func (c *codec) encode(m map[string]any) ([]byte, error) {
	b, err := c.marshal(m)
	if err != nil {
		return nil, err
	}
	return c.wrap(b), nil
}

// marshal is the first step of encode, and wrap the second.
func (c *codec) marshal(m map[string]any) ([]byte, error) {
	enc := appendMsgpack
	if c.json {
		enc = appendJSON
	}
	b, err := enc(make([]byte, 0, 256), m, 0)
	if err != nil {
		return nil, err
	}
	if n := c.size(b); n > maxBody {
		return nil, fmt.Errorf("%w: %d bytes", channels.ErrTooLarge, n)
	}
	return b, nil
}

// size is that of an encoded event for its limit. In JSON an escaped character
// counts as 3 bytes, not 6, or only half as much could be said in Chinese.
func (c *codec) size(b []byte) int {
	if c.json {
		return len(b) - 3*bytes.Count(b, []byte(`\u`))
	}
	return len(b)
}

func (c *codec) wrap(b []byte) []byte {
	if len(c.keys) > 0 {
		var iv [16]byte
		_, _ = rand.Read(iv[:]) // never fails
		b = c.keys[0].seal(b, c.now(), iv)
	}
	body := make([]byte, c.prefix, c.prefix+len(b))
	c.distinguish(body)
	return append(body, b...)
}

// distinguish fills the bytes in front: half of them count, and come first, for
// Redis orders what has one score by its bytes; the others are random.
func (c *codec) distinguish(b []byte) {
	if len(b) == 0 {
		return
	}
	_, _ = rand.Read(b)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], c.count.Add(1))
	half := min(len(b)/2, 8)
	copy(b[:half], n[8-half:])
}

// decode is the reverse. Numbers are int64, uint64 above its range, or float64;
// keys that are numbers, booleans or nil become their JSON text. It does not
// keep b. Its errors are errBody.
func (c *codec) decode(b []byte) (map[string]any, error) {
	if len(b) < c.prefix {
		return nil, fmt.Errorf("%w: shorter than its random prefix", errBody)
	}
	b = b[c.prefix:]
	if len(b) > 3*maxBody { // encrypted, and escaped
		return nil, fmt.Errorf("%w: larger than 1 MiB", errBody)
	}
	if len(c.keys) > 0 {
		var err error
		if b, err = c.decrypt(b); err != nil {
			return nil, err
		}
	}
	if c.size(b) > maxBody {
		return nil, fmt.Errorf("%w: larger than 1 MiB", errBody)
	}
	dec := decodeMsgpack
	if c.json {
		dec = decodeJSON
	}
	v, err := dec(b)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: not a map", errBody)
	}
	return m, nil
}

func (c *codec) decrypt(b []byte) ([]byte, error) {
	for _, k := range c.keys {
		body, at, ok := k.open(b)
		if !ok {
			continue
		}
		if age := c.now().Sub(at); c.maxAge > 0 && (age > c.maxAge || age < -time.Minute) {
			return nil, fmt.Errorf("%w: encrypted %s ago", errBody, age.Round(time.Second))
		}
		return body, nil
	}
	return nil, fmt.Errorf("%w: encrypted with none of our keys", errBody)
}

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
	move(keyType, func(rest []string) []string { return slices.Insert(rest, 0, keyType) })
	move(keyDest, func(rest []string) []string { return append(rest, keyDest) })
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

var errDeep = fmt.Errorf("nested more than %d deep", maxDepthEncode)
