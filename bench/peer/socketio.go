package peer

import (
	"bytes"

	"github.com/teahouse-chat/teahouse/internal/load"
)

// SocketIO is Socket.IO's protocol (version 5) over Engine.IO's (version 4) on a
// WebSocket: the first digit of a frame is Engine.IO's packet type, the second
// Socket.IO's, then comes JSON.
type SocketIO struct{}

// Name implements load.Protocol.
func (SocketIO) Name() string { return "socket.io" }

// JoinsSilently implements load.Protocol.
func (SocketIO) JoinsSilently() bool { return false }

// Handshake implements load.Protocol.
func (SocketIO) Handshake(*load.Member) (string, []string) {
	return "/socket.io/?EIO=4&transport=websocket", nil
}

// Packets, as the beginning of a frame.
const (
	enginePing     = "2"
	enginePong     = "3"
	socketConnect  = "40"
	socketEvent    = "42"
	socketRefusal  = "44"
	socketJoined   = `42["joined"]`
	socketMessages = `42["message",`
)

// Open implements load.Protocol.
func (SocketIO) Open(*load.Member) [][]byte { return [][]byte{[]byte(socketConnect)} }

// AppendPost implements load.Protocol.
func (SocketIO) AppendPost(dst []byte, m *load.Member, _ uint32, text []byte) []byte {
	dst = append(dst, socketEvent+`["post","`...)
	dst = append(dst, m.Room...)
	dst = append(dst, `","`...)
	dst = append(dst, text...)
	return append(dst, `"]`...)
}

// Read implements load.Protocol.
func (SocketIO) Read(m *load.Member, frame []byte, s *load.Seen) {
	switch {
	case bytes.HasPrefix(frame, []byte(socketMessages)):
		readTexts(frame, s)
	case string(frame) == enginePing:
		s.Reply = []byte(enginePong)
	case string(frame) == socketJoined:
		s.Joined = true
	case bytes.HasPrefix(frame, []byte(socketConnect)):
		s.Reply = []byte(socketEvent + `["join","` + m.Room + `"]`)
	case bytes.HasPrefix(frame, []byte(socketRefusal)):
		s.Refused = string(frame)
	}
}
