package live

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// Types of the events in a room's group. The payload of an event is the wire
// frame itself, made once by who publishes it.
const (
	eventMessage = "chat.message" // wire.MessageFrame; Seq is the message's
	eventTyping  = "chat.typing"  // wire.TypingFrame
	eventHere    = "chat.here"    // wire.Here
	eventRenamed = "chat.renamed" // wire.Renamed
)

// group is the name of a room's group, as in the original application.
func group(room string) string { return "chat_" + room }

// Publisher gives chat.Service its way into the layer: each stored message
// becomes an event of its room.
func Publisher(layer *channels.Layer, log *slog.Logger) func(room string, m chat.Message) {
	return func(room string, m chat.Message) {
		e := channels.Event{Type: eventMessage, Seq: m.Seq, Payload: wire.MessageFrame{Room: room, Message: message(m)}}
		if err := layer.GroupSend(context.Background(), group(room), e); err != nil {
			// The message is stored; members find it when they resume.
			log.Error("publish message", "room", room, "seq", m.Seq, "err", err)
		}
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

func renderFrame(e channels.Event) (channels.Frame, error) {
	return frame(e.Payload.(wire.Frame)), nil
}

func renderNothing(channels.Event) (channels.Frame, error) { return channels.Frame{}, nil }

func renderPlain(e channels.Event) (channels.Frame, error) {
	m := e.Payload.(wire.MessageFrame)
	return channels.TextFrame(wire.EncodePlain(wire.PlainMessage{
		Message: m.Text, Username: m.Author.Name, Seq: m.Seq,
	})), nil
}

type renderers = map[string]func(channels.Event) (channels.Frame, error)

// richRender and plainRender are fixed.
var (
	richRender = renderers{
		eventMessage: renderFrame, eventTyping: renderFrame, eventHere: renderFrame, eventRenamed: renderFrame,
	}
	plainRender = renderers{
		eventMessage: renderPlain, eventTyping: renderNothing, eventHere: renderNothing, eventRenamed: renderNothing,
	}
)

// restartSpread is over how long the clients of a stopping server come back.
const restartSpread = 5 * time.Second

// restartReason is the close reason of one socket of a stopping server.
func restartReason() string {
	return retryReason("restart", 500*time.Millisecond+rand.N(restartSpread))
}
