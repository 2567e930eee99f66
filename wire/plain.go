package wire

import "encoding/json"

// The plain protocol is the one of the original chat application: one socket
// per room, {"message": text} in both directions and nothing else.

// PlainMessage is the one frame of the plain protocol, from the server.
type PlainMessage struct {
	Message  string `json:"message"`
	Username string `json:"username"`
	Seq      int64  `json:"seq"`
}

// EncodePlain writes a frame of the plain protocol.
func EncodePlain(m PlainMessage) []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("wire: plain message: " + err.Error()) // strings and a number always marshal
	}
	return b
}

// DecodePlain reads the text of a plain client's frame; fields other than
// "message" are ignored. The error is an *Error.
func DecodePlain(data []byte) (string, error) {
	o, bad := parseObject(data)
	if bad != nil {
		return "", bad
	}
	text, ok, bad := o.text("message")
	if bad == nil && !ok {
		bad = fail(CodeBadEnvelope, "The frame has no message.")
	}
	if bad != nil {
		return "", bad
	}
	return text, nil
}

// DecodePost reads the body of a post over HTTP, {"text","nonce"}, where the
// nonce may be missing. The error is an *Error.
func DecodePost(data []byte) (text, nonce string, err error) {
	o, bad := parseObject(data)
	if bad != nil {
		return "", "", bad
	}
	f := fields{object: o}
	text, nonce = f.need("text"), f.text("nonce")
	if f.bad != nil {
		return "", "", f.bad
	}
	return text, nonce, nil
}
