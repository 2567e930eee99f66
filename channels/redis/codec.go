package redis

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/internal/pack"
)

const maxBody = channels.MaxEvent // bytes, before encryption

// errBody is what all errors of decoding are: the body is no event of ours.
var errBody = pack.ErrBody

// keyDest is, in the core format, the channels of the process a body is for.
const keyDest = pack.KeyLast

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
	enc := pack.AppendMsgpack
	if c.json {
		enc = pack.AppendJSON
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
	dec := pack.DecodeMsgpack
	if c.json {
		dec = pack.DecodeJSON
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
