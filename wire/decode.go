package wire

import "unicode/utf8"

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

// Decode reads a client frame strictly. It checks shape and types; whether a
// room, name, nonce or text is good is for the domain to say. The error is an
// *Error.
func Decode(data []byte) (Request, error) {
	o, bad := parseObject(data)
	if bad != nil {
		return Request{}, bad
	}
	f := fields{object: o}
	req := Request{Ref: f.text("ref")}
	if utf8.RuneCountInString(req.Ref) > MaxRef {
		return Request{}, fail(CodeBadType, "Field ref is longer than 64 characters.")
	}
	if f.bad != nil {
		return Request{}, f.bad
	}
	typ, ok, bad := o.text("type")
	if bad == nil && !ok {
		bad = fail(CodeBadEnvelope, "The frame has no type.")
	}
	read := clientFrames[typ]
	if bad == nil && read == nil {
		bad = fail(CodeUnknownType, "The server does not know this type of frame.")
	}
	if bad == nil {
		req.Frame = read(&f)
		bad = f.bad
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

// clientFrames is fixed.
var clientFrames = map[string]func(*fields) Frame{
	TypeHello: func(f *fields) Frame {
		return Hello{Client: f.text("client"), Locale: f.text("locale"), Token: f.text("token"), Epoch: f.text("epoch")}
	},
	TypeJoin: func(f *fields) Frame {
		return Join{Room: f.need("room"), After: f.integer("after"), Limit: f.limit(), Epoch: f.text("epoch")}
	},
	TypeLeave: func(f *fields) Frame { return Leave{Room: f.need("room")} },
	TypePost: func(f *fields) Frame {
		// A nonce that is missing is the domain's bad_nonce, like an empty one.
		return Post{Room: f.need("room"), Nonce: f.text("nonce"), Text: f.need("text")}
	},
	TypeHistory: func(f *fields) Frame {
		h := History{Room: f.need("room"), Limit: f.limit()}
		h.Before, h.After, h.Around = f.integer("before"), f.integer("after"), f.integer("around")
		given := 0
		for _, p := range []*int64{h.Before, h.After, h.Around} {
			if p != nil {
				given++
			}
		}
		if given > 1 {
			f.note(fail(CodeBadQuery, "Give only one of before, after and around."))
		}
		return h
	},
	TypeTyping: func(f *fields) Frame { return Typing{Room: f.need("room")} },
	TypeWho:    func(f *fields) Frame { return Who{Room: f.need("room"), After: f.text("after")} },
	TypeRename: func(f *fields) Frame { return Rename{Name: f.need("name")} },
	TypePing:   func(*fields) Frame { return Ping{} },
}

// fields reads the fields of one frame and remembers the first mistake.
type fields struct {
	object
	bad *Error
}

func (f *fields) note(err *Error) {
	if f.bad == nil {
		f.bad = err
	}
}

func (f *fields) text(key string) string {
	s, _, err := f.object.text(key)
	if err != nil {
		f.note(err)
	}
	return s
}

func (f *fields) need(key string) string {
	if _, ok := f.object[key]; !ok {
		f.note(fail(CodeBadType, "Field "+key+" is missing."))
	}
	return f.text(key)
}

func (f *fields) integer(key string) *int64 {
	n, err := f.object.integer(key)
	if err != nil {
		f.note(err)
	}
	return n
}

// limit is a page size: 50 when absent, clamped to MaxHistory.
func (f *fields) limit() int {
	n := f.integer("limit")
	if n == nil || *n == 0 {
		return 50
	}
	return int(min(*n, MaxHistory))
}
