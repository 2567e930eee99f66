package wire

import (
	"strconv"
	"unicode/utf8"
)

// Error is a mistake in a client's frame, with what an ErrorFrame needs.
type Error struct {
	Code    string
	Message string // one sentence that says what to do
	Ref     string // of the frame, when it could be read
	Room    string // of a post, when it could be read
	Nonce   string // of a post, when it could be read
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Frame is the answer to the client that made the mistake.
func (e *Error) Frame() ErrorFrame {
	return ErrorFrame{Ref: e.Ref, Code: e.Code, Message: e.Message, Room: e.Room, Nonce: e.Nonce}
}

func fail(code, message string) *Error { return &Error{Code: code, Message: message} }

// Request is a client frame with its ref.
type Request struct {
	Ref   string
	Frame Frame // Hello, Join, Leave, Post, History, Typing, Who, Rename or Ping
}

// usualFields is how many fields an object may have without costing an allocation.
const usualFields = 8

// Decode reads a client frame strictly. It checks shape and types; whether a
// room, name, nonce or text is good is for the domain to say. The error is an
// *Error. The request keeps nothing of data.
func Decode(data []byte) (Request, error) {
	var space [usualFields]field
	fields, bad := parseObject(data, space[:0])
	if bad != nil {
		return Request{}, bad
	}
	r := reader{fields: fields, bad: &bad}
	req := Request{Ref: r.text("ref")}
	if utf8.RuneCountInString(req.Ref) > MaxRef {
		r.note(CodeBadType, "Field ref is longer than 64 characters.")
	}
	if bad != nil {
		return Request{}, bad
	}
	if !r.has("type") {
		r.note(CodeBadEnvelope, "The frame has no type.")
	}
	if typ := r.raw("type"); bad == nil {
		req.Frame = r.frame(string(typ))
	}
	if bad != nil {
		bad.Ref = req.Ref
		if post, ok := req.Frame.(Post); ok {
			bad.Room, bad.Nonce = post.Room, post.Nonce
		}
		return Request{}, bad
	}
	return req, nil
}

// reader reads the fields of one frame and remembers the first mistake.
type reader struct {
	fields []field // fixed
	bad    **Error // of the caller; inside the reader it would drag fields to the heap
}

// frame reads a frame of the given type.
func (r *reader) frame(typ string) Frame {
	switch typ {
	case TypePost:
		return r.post()
	case TypeTyping:
		return Typing{Room: r.need("room")}
	case TypeHello:
		return Hello{Client: r.text("client"), Locale: r.text("locale"), Token: r.text("token"), Epoch: r.text("epoch")}
	case TypeJoin:
		return Join{Room: r.need("room"), After: r.integer("after"), Limit: r.limit(), Epoch: r.text("epoch"), All: r.flag("all")}
	case TypeLeave:
		return Leave{Room: r.need("room")}
	case TypeHistory:
		return r.history()
	case TypeWho:
		return Who{Room: r.need("room"), After: r.text("after")}
	case TypeRename:
		return Rename{Name: r.need("name")}
	case TypePing:
		return Ping{}
	}
	r.note(CodeUnknownType, "The server does not know this type of frame.")
	return nil
}

func (r *reader) post() Post {
	r.demand("room")
	// A nonce that is missing is the domain's bad_nonce, like an empty one.
	room, nonce := r.raw("room"), r.raw("nonce")
	// Both are short where the domain lets them live on, so they share memory:
	// posts are the frames that come by the thousand.
	both := string(room) + " " + string(nonce)
	return Post{Room: both[:len(room)], Nonce: both[len(room)+1:], Text: r.need("text")}
}

func (r *reader) history() History {
	h := History{Room: r.need("room"), Limit: r.limit()}
	h.Before, h.After, h.Around = r.integer("before"), r.integer("after"), r.integer("around")
	given := 0
	for _, p := range []*int64{h.Before, h.After, h.Around} {
		if p != nil {
			given++
		}
	}
	if given > 1 {
		r.note(CodeBadQuery, "Give only one of before, after and around.")
	}
	return h
}

func (r *reader) note(code, message string) {
	if *r.bad == nil {
		*r.bad = fail(code, message)
	}
}

// value is a field as it stands in the frame, nil when absent.
func (r *reader) value(key string) []byte {
	for i := range r.fields {
		if string(r.fields[i].key) == key {
			return r.fields[i].value
		}
	}
	return nil
}

func (r *reader) has(key string) bool { return r.value(key) != nil }

func (r *reader) demand(key string) {
	if !r.has(key) {
		r.note(CodeBadType, "Field "+key+" is missing.")
	}
}

// raw is a string field, perhaps as a part of the frame; absent is empty.
func (r *reader) raw(key string) []byte {
	value := r.value(key)
	if value == nil {
		return nil
	}
	if value[0] != '"' {
		r.note(CodeBadType, "Field "+key+" must be a string.")
		return nil
	}
	text, whole := unquote(value)
	if !whole {
		r.note(CodeBadText, "Field "+key+" holds U+0000 or half a character.")
		return nil
	}
	return text
}

func (r *reader) text(key string) string { return string(r.raw(key)) }

func (r *reader) need(key string) string {
	r.demand(key)
	return r.text(key)
}

// flag reads true or false; absent is false.
func (r *reader) flag(key string) bool {
	switch value := r.value(key); string(value) {
	case "", "false":
		return false
	case "true":
		return true
	}
	r.note(CodeBadType, "Field "+key+" must be true or false.")
	return false
}

// integer reads a whole number of at least 0; absent is nil. Numbers beyond
// 2^53 are refused, since other languages cannot hold them.
func (r *reader) integer(key string) *int64 {
	value := r.value(key)
	if value == nil {
		return nil
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	switch {
	case err != nil:
		r.note(CodeBadType, "Field "+key+" must be a whole number.")
		return nil
	case n < 0 || n > 1<<53:
		r.note(CodeBadSeq, "Field "+key+" is out of range.")
		return nil
	}
	return &n
}

// limit is a page size: 50 when absent, clamped to MaxHistory.
func (r *reader) limit() int {
	n := r.integer("limit")
	if n == nil || *n == 0 {
		return 50
	}
	return int(min(*n, MaxHistory))
}
