package peer

import (
	"bytes"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// Chat is the protocol of the small servers of this module: GET /ws/{room}
// joins, the first frame is {"joined"}, and posts are {"message": …}. It serves
// the limit, the hub and the loop.
type Chat struct{ name string }

// Name implements load.Protocol.
func (c Chat) Name() string { return c.name }

// JoinsSilently implements load.Protocol.
func (Chat) JoinsSilently() bool { return false }

// Handshake implements load.Protocol.
func (Chat) Handshake(m *load.Member) (string, []string) { return "/ws/" + m.Room, nil }

// Open implements load.Protocol.
func (Chat) Open(*load.Member) [][]byte { return nil }

// AppendPost implements load.Protocol.
func (Chat) AppendPost(dst []byte, m *load.Member, number uint32, text []byte) []byte {
	return load.Plain{}.AppendPost(dst, m, number, text)
}

// Read implements load.Protocol. A frame may hold several messages.
func (Chat) Read(_ *load.Member, frame []byte, s *load.Seen) {
	if bytes.Equal(frame, []byte(`{"joined"}`)) {
		s.Joined = true
		return
	}
	readTexts(frame, s)
}

// readTexts takes every text of the generator in a frame.
func readTexts(frame []byte, s *load.Seen) {
	for {
		text, rest, ok := load.NextText(frame)
		if !ok {
			return
		}
		s.Deliveries = append(s.Deliveries, load.Delivery{Text: text})
		frame = rest
	}
}

// Channels is the plain protocol as the original application speaks it: the
// same paths and frames as load.Plain, and no numbers.
type Channels struct{ load.Plain }

// Name implements load.Protocol.
func (Channels) Name() string { return "django channels" }

// Read implements load.Protocol.
func (Channels) Read(_ *load.Member, frame []byte, s *load.Seen) { readTexts(frame, s) }
