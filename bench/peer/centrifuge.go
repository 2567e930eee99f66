package peer

import (
	"bytes"
	"strconv"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// Centrifuge is the JSON protocol of Centrifuge: commands with an id, replies
// with the same id, pushes without one. A frame may hold several, separated by
// line feeds; an empty reply is the server's ping.
type Centrifuge struct{}

// Name implements load.Protocol.
func (Centrifuge) Name() string { return "centrifuge" }

// JoinsSilently implements load.Protocol.
func (Centrifuge) JoinsSilently() bool { return false }

// Handshake implements load.Protocol.
func (Centrifuge) Handshake(*load.Member) (string, []string) { return "/connection/websocket", nil }

// Ids of the commands before the first post.
const (
	centrifugeConnect = iota + 1
	centrifugeSubscribe
)

// Open implements load.Protocol.
func (Centrifuge) Open(m *load.Member) [][]byte {
	return [][]byte{
		[]byte(`{"id":1,"connect":{}}`),
		[]byte(`{"id":2,"subscribe":{"channel":"` + m.Room + `"}}`),
	}
}

// AppendPost implements load.Protocol.
func (Centrifuge) AppendPost(dst []byte, m *load.Member, number uint32, text []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendUint(dst, centrifugeSubscribe+uint64(number), 10)
	dst = append(dst, `,"publish":{"channel":"`...)
	dst = append(dst, m.Room...)
	dst = append(dst, `","data":"`...)
	dst = append(dst, text...)
	return append(dst, `"}}`...)
}

// Read implements load.Protocol.
func (Centrifuge) Read(_ *load.Member, frame []byte, s *load.Seen) {
	for len(frame) > 0 {
		var line []byte
		line, frame, _ = bytes.Cut(frame, []byte{'\n'})
		switch {
		case bytes.HasPrefix(line, []byte(`{"push":{"channel"`)):
			readTexts(line, s)
		case bytes.Equal(line, []byte(`{}`)):
			s.Reply = []byte(`{}`)
		case bytes.Contains(line, []byte(`"error":`)):
			s.Refused = string(line)
		case bytes.HasPrefix(line, []byte(`{"id":2,"subscribe"`)):
			s.Joined = true
		}
	}
}
