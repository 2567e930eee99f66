package load

import (
	"bytes"
	"strconv"

	"github.com/teahouse-chat/teahouse/wire"
)

// Rich is Teahouse's protocol teahouse.v1.
type Rich struct{}

// Name implements Protocol.
func (Rich) Name() string { return "rich" }

// JoinsSilently implements Protocol.
func (Rich) JoinsSilently() bool { return false }

// Handshake implements Protocol.
func (Rich) Handshake(*Member) (string, []string) {
	return "/ws", []string{"Sec-WebSocket-Protocol: " + wire.Subprotocol}
}

// Open implements Protocol.
func (Rich) Open(m *Member) [][]byte {
	join := wire.Join{Room: m.Room, Epoch: m.Epoch}
	if m.Epoch != "" {
		join.After = &m.After
	}
	return [][]byte{wire.EncodeRequest("", wire.Hello{Client: "teahouse-bench/1"}), wire.EncodeRequest("", join)}
}

// AppendPost implements Protocol.
func (Rich) AppendPost(dst []byte, m *Member, number uint32, text []byte) []byte {
	dst = append(dst, `{"type":"post","room":"`...)
	dst = append(dst, m.Room...)
	dst = append(dst, `","nonce":"`...)
	dst = strconv.AppendUint(dst, uint64(number), 10)
	dst = append(dst, `","text":"`...)
	dst = append(dst, text...)
	return append(dst, `"}`...)
}

const (
	richMessage  = `{"type":"message","room":"`
	richMessages = `{"type":"messages",`
	richAfter    = `","seq":`
)

// Read implements Protocol.
func (Rich) Read(m *Member, frame []byte, s *Seen) {
	switch {
	case bytes.HasPrefix(frame, []byte(richMessage)):
		// The room's name has no escapes, so the place of seq is known.
		at := len(richMessage) + len(m.Room)
		if len(frame) > at+len(richAfter) && string(frame[at:at+len(richAfter)]) == richAfter {
			readDelivery(frame[at+len(richAfter):], s)
		}
	case bytes.HasPrefix(frame, []byte(richMessages)):
		for {
			at := bytes.Index(frame, []byte(`"seq":`))
			if at < 0 {
				return
			}
			frame = readDelivery(frame[at+len(`"seq":`):], s)
		}
	case bytes.HasPrefix(frame, []byte(`{"type":"here"`)):
	default:
		readRich(frame, s)
	}
}

// readDelivery reads a message from the digits of its seq on.
func readDelivery(frame []byte, s *Seen) (rest []byte) {
	seq, n := int64(0), 0
	for n < len(frame) && n < 18 && frame[n] >= '0' && frame[n] <= '9' {
		seq = seq*10 + int64(frame[n]-'0')
		n++
	}
	text, rest, ok := NextText(frame[n:])
	if !ok {
		return nil
	}
	s.Deliveries = append(s.Deliveries, Delivery{Seq: seq, Text: text})
	return rest
}

// refusedReset is what a member is refused that has missed too much to be sent
// all of it.
const refusedReset = "reset"

// readRich reads the frames that come once.
func readRich(frame []byte, s *Seen) {
	f, err := wire.DecodeServer(frame)
	if err != nil {
		s.Refused = "a frame that is not of the protocol"
		return
	}
	switch f := f.(type) {
	case wire.Welcome:
		s.Epoch = f.Epoch
	case wire.Joined:
		s.Joined, s.Last = true, f.Last
		if f.Reset {
			s.Refused = refusedReset
		}
	case wire.ErrorFrame:
		s.Refused = f.Code
	}
}

// Plain is Teahouse's plain protocol, that of the original application.
type Plain struct{}

// Name implements Protocol.
func (Plain) Name() string { return "plain" }

// JoinsSilently implements Protocol.
func (Plain) JoinsSilently() bool { return true }

// Handshake implements Protocol.
func (Plain) Handshake(m *Member) (string, []string) { return "/ws/chat/" + m.Room + "/", nil }

// Open implements Protocol.
func (Plain) Open(*Member) [][]byte { return nil }

// AppendPost implements Protocol.
func (Plain) AppendPost(dst []byte, _ *Member, _ uint32, text []byte) []byte {
	dst = append(dst, `{"message":"`...)
	dst = append(dst, text...)
	return append(dst, `"}`...)
}

// Read implements Protocol. The seq is the last thing in the frame.
func (Plain) Read(_ *Member, frame []byte, s *Seen) {
	text, _, ok := NextText(frame)
	if !ok {
		return
	}
	from := bytes.LastIndexByte(frame, ':') + 1
	seq := int64(0)
	for _, c := range frame[from:] {
		if c < '0' || c > '9' {
			break
		}
		seq = seq*10 + int64(c-'0')
	}
	s.Deliveries = append(s.Deliveries, Delivery{Seq: seq, Text: text})
}
