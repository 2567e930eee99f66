package nats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/internal/pack"
)

// A message is a head of 21 bytes, and behind it, if it is an event, Event.Map in
// MessagePack, for a process with its channels as pack.KeyLast.
//
//	0      its kind
//	1..16  the sender's process
//	17..20 the sender's connection, counted from 1, big endian
//
// The sender is there although servers do not give messages back: one that was
// halted may give those of a connection that is over to the next. For the same
// reason the connection is there: what comes late, behind a later connection's,
// would be out of order.
const (
	processSize = 16
	headSize    = 1 + processSize + 4
)

// kind is what a message says. Others are for later versions.
type kind byte

const (
	kindEvent kind = 1
	kindGap   kind = 2 // events of the sender on this subject may be lost
)

type processID [processSize]byte

// message is one that has come, or is about to go.
type message struct {
	kind       kind
	sender     processID
	connection uint32
	body       []byte
}

// appendHead writes what stands before the body.
func (m message) appendHead(b []byte) []byte {
	b = append(b, byte(m.kind))
	b = append(b, m.sender[:]...)
	return binary.BigEndian.AppendUint32(b, m.connection)
}

var errMessage = errors.New("not a message of this layer")

// parseMessage takes a message apart; body is not copied.
func parseMessage(b []byte) (message, error) {
	if len(b) < headSize || len(b) > channels.MaxEvent {
		return message{}, fmt.Errorf("%w: %d bytes", errMessage, len(b))
	}
	m := message{kind: kind(b[0]), sender: processID(b[1:]), connection: binary.BigEndian.Uint32(b[1+processSize:]), body: b[headSize:]}
	switch {
	case m.kind != kindEvent && m.kind != kindGap:
		return message{}, fmt.Errorf("%w: of kind %d", errMessage, m.kind)
	case m.connection == 0:
		return message{}, fmt.Errorf("%w: of no connection", errMessage)
	case m.kind == kindGap && len(m.body) > 0:
		return message{}, fmt.Errorf("%w: a gap with a body", errMessage)
	}
	return m, nil
}

// encode writes an event behind room for its head; to are the channels of a
// process that it is for, if any.
func encode(e channels.Event, to []string) ([]byte, error) {
	m, err := e.Map()
	if err != nil {
		return nil, err
	}
	if len(to) > 0 {
		list := make([]any, len(to))
		for i, c := range to {
			list[i] = []byte(c) // it may be any bytes
		}
		m[pack.KeyLast] = list
	}
	b, err := pack.AppendMsgpack(make([]byte, headSize, 256), m, 0)
	if err != nil {
		return nil, fmt.Errorf("encode an event of type %.64q: %w", e.Type, err)
	}
	if len(b) > channels.MaxEvent {
		return nil, fmt.Errorf("%w: %d bytes", channels.ErrTooLarge, len(b))
	}
	return b, nil
}

// decode reads the body of an event, and the channels it is for.
func decode(body []byte) (e channels.Event, to []string, err error) {
	v, err := pack.DecodeMsgpack(body)
	if err != nil {
		return channels.Event{}, nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return channels.Event{}, nil, fmt.Errorf("%w: not a map", errMessage)
	}
	if list, ok := m[pack.KeyLast].([]any); ok {
		for _, c := range list {
			if c, ok := c.([]byte); ok {
				to = append(to, string(c))
			}
		}
	}
	delete(m, pack.KeyLast)
	e, err = channels.EventFromMap(m)
	if err != nil {
		return channels.Event{}, nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return e, to, nil
}

// onlyOf keeps the channels of one process, of those that a message names.
func onlyOf(process string, to []string) []string {
	return slices.DeleteFunc(to, func(channel string) bool {
		of, err := processOf(channel)
		return err != nil || of != process
	})
}
