package channels

import (
	"context"
	"fmt"
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
	// map[string]any of strings, numbers, booleans, nil, []byte, lists and maps.
	Payload any
}

// handlerName is the canonical spelling of an event type, the key of handlers.
func handlerName(typ string) string { return strings.ReplaceAll(typ, ".", "_") }

// EventHandler is for consumers that answer events one connection at a time:
// those of a type Options.Render does not name, and those sent to the
// connection's own channel. Event never runs at the same time as another
// method of its consumer. An error ends the connection as one of Receive does,
// except ErrNoHandler, which is counted and logged and no more.
type EventHandler interface {
	Event(ctx context.Context, c *Conn, e Event) error
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
// equal, panics: it is a mistake in the program.
func (r *Router[C]) On(typ string, f func(C, context.Context, *Conn, Event) error) *Router[C] {
	name := handlerName(typ)
	if name == "" || f == nil {
		panic("channels: Router.On needs a type and a function")
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
