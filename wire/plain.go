package wire

// The plain protocol is the one of the original chat application: one socket
// per room, {"message": text} in both directions and nothing else.

// PlainMessage is the one frame of the plain protocol, from the server.
type PlainMessage struct {
	Message  string `json:"message"`
	Username string `json:"username"`
	Seq      int64  `json:"seq"`
}

// EncodePlain writes a frame of the plain protocol. Its pages may put what they
// get into HTML, so <, > and & are escaped.
func EncodePlain(m PlainMessage) []byte {
	o := append(make(object, 0, 64+len(m.Message)+len(m.Username)), '{')
	o = appendQuoted(o.key("message"), m.Message, always|inHTML)
	o = appendQuoted(o.key("username"), m.Username, always|inHTML)
	return o.integer("seq", m.Seq).close()
}

// DecodePlain reads the text of a plain client's frame; fields other than
// "message" are ignored. The error is an *Error.
func DecodePlain(data []byte) (string, error) {
	var space [usualFields]field
	fields, bad := parseObject(data, space[:0])
	if bad != nil {
		return "", bad
	}
	r := reader{fields: fields, bad: &bad}
	text := r.text("message")
	if !r.has("message") {
		r.note(CodeBadEnvelope, "The frame has no message.")
	}
	if bad != nil {
		return "", bad
	}
	return text, nil
}

// DecodePost reads the body of a post over HTTP, {"text","nonce"}, where the
// nonce may be missing. The error is an *Error.
func DecodePost(data []byte) (text, nonce string, err error) {
	var space [usualFields]field
	fields, bad := parseObject(data, space[:0])
	if bad != nil {
		return "", "", bad
	}
	r := reader{fields: fields, bad: &bad}
	text, nonce = r.need("text"), r.text("nonce")
	if bad != nil {
		return "", "", bad
	}
	return text, nonce, nil
}
