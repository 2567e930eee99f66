package redis

import (
	"errors"
	"fmt"
	"strings"

	"github.com/teahouse-chat/teahouse/channels"
)

// outgoing is the map of an event that may be sent to Django processes.
func outgoing(e channels.Event) (map[string]any, error) {
	if err := checkType(e.Type); err != nil {
		return nil, err
	}
	m, err := e.Map()
	if err != nil {
		return nil, err
	}
	if _, taken := m[keyDest]; taken {
		return nil, fmt.Errorf("the key %s of an event is reserved", keyDest)
	}
	return m, nil
}

// incoming is the event of a map that was decoded; it takes m over.
func incoming(m map[string]any) (channels.Event, error) {
	delete(m, keyDest)
	e, err := channels.EventFromMap(m)
	if err != nil {
		return channels.Event{}, fmt.Errorf("%w: %w", errBody, err)
	}
	if err := checkType(e.Type); err != nil {
		return channels.Event{}, fmt.Errorf("%w: %w", errBody, err)
	}
	return e, nil
}

// checkType refuses the types that would end a Django consumer, or be taken
// there for what its client sent. Dots and underscores are equal.
func checkType(typ string) error {
	name := strings.ReplaceAll(typ, ".", "_")
	switch {
	case name == "":
		return errors.New("an event needs a type")
	case name[0] == '_':
		return fmt.Errorf("an event's type may not begin with a period or an underscore, as %.64q does", typ)
	case strings.HasPrefix(name, "websocket_"), strings.HasPrefix(name, "http_"):
		return fmt.Errorf("an event of type %.64q would be taken for what a client sent", typ)
	}
	return nil
}
