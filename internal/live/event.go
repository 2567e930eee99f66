package live

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// Types of the events in a room's group. The payload of an event is the wire
// frame itself, made once by who publishes it, in a shared when other processes
// get it too.
const (
	eventMessage = "chat.message" // wire.MessageFrame; Seq is the message's
	eventTyping  = "chat.typing"  // wire.TypingFrame, of this process alone
	eventHere    = "chat.here"    // wire.Here, of this process alone
	eventRenamed = "chat.renamed" // wire.Renamed, of this process alone
)

// shared is a frame on its way to every process of the chat.
type shared struct{ frame wire.Frame }

// keyFrame is the key of the frame's JSON text in what a broker carries.
const keyFrame = "frame"

// Map implements channels.Portable.
func (s shared) Map() map[string]any { return map[string]any{keyFrame: string(wire.Encode(s.frame))} }

// groupName names the groups of rooms. The store's epoch is in the names: chats
// with stores of their own may share a broker and never hear each other.
type groupName string

// groups is the names for the store of an epoch.
func groups(epoch string) groupName { return groupName(groupPrefix + epoch) }

// groupPrefix is what the groups of all rooms begin with.
const groupPrefix = "teahouse."

// of is the name of a room's group: legal for every broker as it is, and never
// one that the original application would use, whose consumers cannot handle
// what is sent here.
func (g groupName) of(room string) string {
	for i := range len(room) {
		if c := room[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			sum := sha256.Sum256([]byte(room))
			return string(g) + ".hash." + hex.EncodeToString(sum[:16])
		}
	}
	return string(g) + ".room." + room
}

// Publish tells the members of a room of a message that is stored now:
// chat.Options.Publish. A server alone with its log tells them in the order of the
// calls; of several, each brings its members the messages of all in the order of
// the log.
func (s *Server) Publish(room string, m chat.Message) {
	group := s.groups.of(room)
	if s.tails != nil {
		s.tails.publish(room, group, m)
		return
	}
	e := channels.Event{Type: eventMessage, Seq: m.Seq, Payload: shared{wire.MessageFrame{Room: room, Message: message(m)}}}
	if err := s.layer.GroupSend(context.Background(), group, e); err != nil {
		// The message is stored; members find it when they resume.
		s.log.Error("publish message", "room", room, "seq", m.Seq, "err", err)
	}
}

func person(u chat.User) wire.Person {
	return wire.Person{ID: u.ID.String(), Name: u.Name, Tag: u.ID.Tag()}
}

func message(m chat.Message) wire.Message {
	return wire.Message{Seq: m.Seq, Author: person(m.Author), Text: m.Text, At: wire.Time{Time: m.At}, Nonce: m.Nonce}
}

func messages(ms []chat.Message) []wire.Message {
	out := make([]wire.Message, len(ms))
	for i, m := range ms {
		out[i] = message(m)
	}
	return out
}

// frame is a wire frame on its way to one socket.
func frame(f wire.Frame) channels.Frame { return channels.TextFrame(wire.Encode(f)) }

// received reads a frame that another process sent, of the type T. Nothing it
// sent is trusted to be whole: an error is counted and the event ignored.
func received[T wire.Frame](e channels.Event) (f T, text string, err error) {
	payload, _ := e.Payload.(map[string]any)
	text, ok := payload[keyFrame].(string)
	if !ok || !utf8.ValidString(text) {
		return f, "", fmt.Errorf("an event %q of another process has no frame", e.Type)
	}
	any, err := wire.DecodeServer([]byte(text))
	if err != nil {
		return f, "", fmt.Errorf("an event %q of another process: %w", e.Type, err)
	}
	if f, ok = any.(T); !ok {
		return f, "", fmt.Errorf("an event %q of another process has a frame of type %.64q", e.Type, frameType(any))
	}
	return f, text, nil
}

func frameType(f wire.Frame) string {
	if f == nil {
		return ""
	}
	return f.FrameType()
}

// renderOwn renders what is never sent to other processes.
func renderOwn(e channels.Event) (channels.Frame, error) {
	f, ok := e.Payload.(wire.Frame)
	if !ok {
		return channels.Frame{}, fmt.Errorf("an event %q does not come from another process", e.Type)
	}
	return frame(f), nil
}

func renderNothing(channels.Event) (channels.Frame, error) { return channels.Frame{}, nil }

// renderMessage renders messages. Those of other servers have come by a tail.
func renderMessage(e channels.Event) (channels.Frame, error) {
	switch p := e.Payload.(type) {
	case shared:
		return frame(p.frame), nil
	case sealed:
		return frame(p.frame), nil
	case opened:
		return channels.TextFrame([]byte(p.text)), nil
	}
	return channels.Frame{}, errUnsealed
}

func renderPlain(e channels.Event) (channels.Frame, error) {
	m, err := plainly(e)
	if err != nil {
		return channels.Frame{}, err
	}
	return channels.TextFrame(wire.EncodePlain(wire.PlainMessage{
		Message: m.Text, Username: m.Author.Name, Seq: m.Seq,
	})), nil
}

func plainly(e channels.Event) (wire.MessageFrame, error) {
	switch p := e.Payload.(type) {
	case shared:
		return p.frame.(wire.MessageFrame), nil
	case sealed:
		return p.frame, nil
	case opened:
		return p.frame, nil
	}
	return wire.MessageFrame{}, errUnsealed
}

type renderers = map[string]func(channels.Event) (channels.Frame, error)

// richRender and plainRender are fixed.
var (
	richRender = renderers{
		eventMessage: renderMessage, eventTyping: renderOwn, eventHere: renderOwn, eventRenamed: renderOwn,
	}
	plainRender = renderers{
		eventMessage: renderPlain, eventTyping: renderNothing, eventHere: renderNothing, eventRenamed: renderNothing,
	}
)
