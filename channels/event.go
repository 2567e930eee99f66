package channels

import (
	"context"
	"fmt"
	"maps"
	"math"
	"strings"
)

// Event is what goes through a Layer: to a channel, or to every member of a
// group. It is never changed once sent, nor is anything its Payload refers to,
// since many goroutines read it.
type Event struct {
	// Type chooses the renderer or the handler. Dots and underscores are
	// equal: "chat.message" is "chat_message".
	Type string

	// Seq is the event's position in the log of its group, rising from event
	// to event; 0 is an event without one. Only Hold.Release looks at it.
	Seq int64

	// Payload is any value in one process. What a Broker can carry is a
	// map[string]any of strings, numbers, booleans, nil, []byte, lists and maps,
	// or a Portable.
	Payload any
}

// Portable is a Payload that a Broker can carry: Map makes what arrives in
// other processes. The sender's own process keeps the value itself.
type Portable interface {
	Map() map[string]any
}

// Keys of Event.Map that are not the payload's.
const (
	mapType    = "type"
	mapSeq     = "__seq__"          // unknown to Django Channels, whose handlers ignore it
	mapChannel = "__asgi_channel__" // where Django Channels writes an event's destination
)

// Map is the event as Brokers write it, and Django Channels with them: its
// payload with the type among it and, unless it is 0, the Seq as "__seq__". It
// is a new map, but the values are the payload's.
//
// A type that would harm the consumers of Django Channels is an error: none, one
// that begins with a period or an underscore, or one of their protocols, such as
// websocket.receive. So is "__seq__" or "__asgi_channel__" in the payload.
func (e Event) Map() (map[string]any, error) {
	if !legalType(e.Type) {
		return nil, fmt.Errorf("channels: the type %.64q is not for events", e.Type)
	}
	var payload map[string]any
	switch p := e.Payload.(type) {
	case nil:
	case map[string]any:
		payload = p
	case Portable:
		payload = p.Map()
	default:
		return nil, fmt.Errorf("channels: an event of type %.64q has a payload of %T, which no broker can carry: give it a map[string]any, or the type a Map method", e.Type, p)
	}
	for _, key := range [...]string{mapSeq, mapChannel} {
		if _, taken := payload[key]; taken {
			return nil, fmt.Errorf("channels: an event of type %.64q has a payload with the reserved key %q", e.Type, key)
		}
	}
	m := make(map[string]any, len(payload)+2)
	maps.Copy(m, payload)
	m[mapType] = e.Type
	if e.Seq != 0 {
		m[mapSeq] = e.Seq
	}
	return m, nil
}

// EventFromMap is the reverse of Event.Map. It takes m over. A map without a
// type, or with one that is no text, is an error.
func EventFromMap(m map[string]any) (Event, error) {
	typ, ok := m[mapType].(string)
	if !ok || typ == "" {
		return Event{}, fmt.Errorf("channels: an event without a type")
	}
	e := Event{Type: typ, Payload: m}
	switch seq := m[mapSeq].(type) { // by whatever decoder
	case int64:
		e.Seq = seq
	case uint64:
		e.Seq = int64(min(seq, math.MaxInt64))
	case float64:
		if seq == math.Trunc(seq) && math.Abs(seq) < 1<<53 {
			e.Seq = int64(seq)
		}
	}
	delete(m, mapType)
	delete(m, mapSeq)
	return e, nil
}

// handlerName is the canonical spelling of an event type, the key of handlers.
func handlerName(typ string) string { return strings.ReplaceAll(typ, ".", "_") }

// legalType tells whether a type is one for events: not that of a private method,
// nor of what a server tells a consumer of Django Channels about its client.
func legalType(typ string) bool {
	if typ == "" || typ[0] == '.' || typ[0] == '_' {
		return false
	}
	for _, protocol := range [...]string{"websocket", "http"} {
		if rest, ok := strings.CutPrefix(typ, protocol); ok && rest != "" && (rest[0] == '.' || rest[0] == '_') {
			return false
		}
	}
	return true
}

// EventHandler is for consumers that answer events one connection at a time:
// those of a type Options.Render does not name, and those sent to the
// connection's own channel. Event never runs at the same time as another
// method of its consumer. An error ends the connection as one of Receive does,
// except ErrNoHandler, which is counted and logged and no more: a consumer that
// is stricter with unknown types returns an error of its own in its place.
type EventHandler interface {
	Event(ctx context.Context, c *Conn, e Event) error
}

// GapHandler is for consumers that want to know when the connection between the
// processes was lost: events of other processes to these groups of theirs may be
// missing. Gap is called like Event, once for each such time, and its error ends
// the connection as one of Event does.
type GapHandler interface {
	Gap(ctx context.Context, c *Conn, groups []string) error
}

// LossHandler is for consumers that want to know when events for them were
// dropped because they did not keep up. Lost is called before the next Event
// with the number dropped since the last call.
type LossHandler interface {
	Lost(ctx context.Context, c *Conn, n int)
}

// Router hands events to functions by type, for consumers of type C. Build it
// once with On; from then on it is read only and shared by all consumers.
type Router[C any] struct {
	handlers map[string]func(C, context.Context, *Conn, Event) error
}

// On registers f for events of a type; method expressions such as
// (*Chat).Message fit. Registering a type twice, dots and underscores being
// equal, or one that Event.Map refuses, panics: it is a mistake in the program.
func (r *Router[C]) On(typ string, f func(C, context.Context, *Conn, Event) error) *Router[C] {
	name := handlerName(typ)
	if !legalType(typ) || f == nil {
		panic(fmt.Sprintf("channels: Router.On: needs a function and a type for events, not %q", typ))
	}
	if _, twice := r.handlers[name]; twice {
		panic(fmt.Sprintf("channels: Router.On: %q registered twice", typ))
	}
	if r.handlers == nil {
		r.handlers = make(map[string]func(C, context.Context, *Conn, Event) error)
	}
	r.handlers[name] = f
	return r
}

// Dispatch calls the function registered for the type of e, or returns an error
// that is ErrNoHandler. Types are looked up, never reflected on, so no method
// can be reached that was not registered.
func (r *Router[C]) Dispatch(ctx context.Context, consumer C, c *Conn, e Event) error {
	f, ok := r.handlers[handlerName(e.Type)]
	if !ok {
		return fmt.Errorf("%w of type %.64q", ErrNoHandler, e.Type)
	}
	return f(consumer, ctx, c, e)
}
