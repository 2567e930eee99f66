package wire

import (
	"encoding/json"
	"fmt"
)

// Encode writes a frame as one JSON object with "type" first. It does not fail:
// every frame of this package can be written.
func Encode(f Frame) []byte { return f.encode("") }

// EncodeRequest writes a client frame that asks for an answer under ref.
func EncodeRequest(ref string, f Frame) []byte { return f.encode(ref) }

// DecodeServer reads a frame that a server sent. A type this package does not
// know is nil without an error, since newer servers may send more.
func DecodeServer(data []byte) (Frame, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read server frame: %w", err)
	}
	decode, known := serverFrames[head.Type]
	if !known {
		return nil, nil
	}
	f, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("read %s frame: %w", head.Type, err)
	}
	return f, nil
}

// serverFrames is fixed.
var serverFrames = map[string]func([]byte) (Frame, error){
	TypeWelcome:  as[Welcome],
	TypeJoined:   as[Joined],
	TypeLeft:     as[Left],
	TypeMessages: as[Messages],
	TypeMessage:  as[MessageFrame],
	TypeAck:      as[Ack],
	TypeHistory:  as[HistoryPage],
	TypeTyping:   as[TypingFrame],
	TypeHere:     as[Here],
	TypeRenamed:  as[Renamed],
	TypePong:     as[Pong],
	TypeError:    as[ErrorFrame],
}

func as[T Frame](data []byte) (Frame, error) {
	var f T
	err := json.Unmarshal(data, &f)
	return f, err
}
