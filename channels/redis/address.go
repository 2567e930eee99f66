package redis

import (
	"encoding/binary"
	"fmt"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/internal/pack"
)

// addressed makes the blob of an event that was encoded without a destination. The
// same event goes to each process with another one, which is a map's last key:
// so the event is encoded once. A destination is a name, a list of names, or nil
// for none.
func (c *codec) addressed(bare []byte, destination any) ([]byte, error) {
	if destination == nil {
		return c.wrap(bare), nil
	}
	var err error
	b := make([]byte, 0, len(bare)+128)
	if c.json {
		b = append(b, bare[:len(bare)-1]...) // never empty: it has a type
		b = append(b, `, "`+keyDest+`": `...)
		if b, err = pack.AppendJSON(b, destination, 1); err == nil {
			b = append(b, '}')
		}
	} else {
		n, head := msgpackMap(bare)
		b = pack.AppendMapHead(b, n+1)
		b = append(b, bare[head:]...)
		b, _ = pack.AppendMsgpack(b, keyDest, 1)
		b, err = pack.AppendMsgpack(b, destination, 1)
	}
	if err != nil {
		return nil, fmt.Errorf("redis: write the destination of an event: %w", err)
	}
	if n := c.size(b); n > maxBody {
		return nil, fmt.Errorf("redis: an event of %d bytes with its destination: %w", n, channels.ErrTooLarge)
	}
	return c.wrap(b), nil
}

// msgpackMap is the length of a map, and that of its head.
func msgpackMap(b []byte) (n, head int) {
	switch b[0] {
	case 0xde:
		return int(binary.BigEndian.Uint16(b[1:])), 3
	case 0xdf:
		return int(binary.BigEndian.Uint32(b[1:])), 5
	}
	return int(b[0] & 0x0f), 1
}
