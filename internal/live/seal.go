package live

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/wire"
)

// seal proves to servers with the same log that a message comes from one of them,
// and not from somebody else who can write to the broker. Its key is derived from
// that of the store's settings, which nobody else has.
type seal struct{ key []byte }

// keySeal is the key of a seal in what a broker carries, beside keyFrame.
const keySeal = "seal"

// sealBytes of the 32 that HMAC-SHA256 gives are sent.
const sealBytes = 16

// newSeal is the seal of an epoch: positions of another one are not those of this log.
func newSeal(key [32]byte, epoch string) *seal {
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte("teahouse: messages between servers, epoch " + epoch))
	return &seal{key: h.Sum(nil)}
}

// of is the seal of a frame's text.
func (s *seal) of(text string) string {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)[:sealBytes])
}

// sealed is a message on its way from this server to all that have the log.
type sealed struct {
	frame wire.MessageFrame
	seal  *seal
}

// Map implements channels.Portable.
func (s sealed) Map() map[string]any {
	text := string(wire.Encode(s.frame))
	return map[string]any{keyFrame: text, keySeal: s.seal.of(text)}
}

// opened is a message of another server, whose seal fits: its frame, and the text
// of that as it goes to the members.
type opened struct {
	frame wire.MessageFrame
	text  string
}

var (
	errUnsealed = errors.New("a message of another process was not expected here")
	errForged   = errors.New("a message of another process has not the seal of this chat's servers")
)

// open reads a message of another server.
func (s *seal) open(e channels.Event) (opened, error) {
	m, text, err := received[wire.MessageFrame](e)
	if err != nil {
		return opened{}, err
	}
	payload, _ := e.Payload.(map[string]any)
	mark, _ := payload[keySeal].(string)
	switch {
	case !hmac.Equal([]byte(s.of(text)), []byte(mark)):
		return opened{}, errForged
	case m.Seq <= 0 || m.Seq != e.Seq:
		return opened{}, fmt.Errorf("a message of another process has the positions %d and %d", m.Seq, e.Seq)
	}
	return opened{frame: m, text: text}, nil
}
