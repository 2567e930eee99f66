package wire

// Frame is one of the frames of this package, of either direction.
type Frame interface {
	FrameType() string // the value of "type"

	encode(ref string) []byte // the frame as JSON, with a ref unless empty
}

// Hello is the first frame of a client, due within 10 s of the handshake.
type Hello struct {
	Client string `json:"client,omitempty"` // name and version of the client, for the log
	Locale string `json:"locale,omitempty"` // BCP 47 language of generated names; empty is Accept-Language
	Token  string `json:"token,omitempty"`  // identity of a client that has no cookie, from an earlier Welcome
	Epoch  string `json:"epoch,omitempty"`  // epoch the client's positions belong to; empty when it has none
}

// Join asks for a room's live messages. After says what the client has.
type Join struct {
	Room  string `json:"room"`
	After *int64 `json:"after,omitempty"` // last seq the client holds; nil asks for the newest page
	Limit int    `json:"limit,omitempty"` // size of that newest page, at most MaxHistory; 0 is 50
	Epoch string `json:"epoch,omitempty"` // as in Hello, for this room
	All   bool   `json:"all,omitempty"`   // replay all that follows After, however much, in place of a reset
}

// Leave ends a room's live messages.
type Leave struct {
	Room string `json:"room"`
}

// Post says Text in Room. The nonce makes it repeatable: the same nonce from
// the same author is one message for ever.
type Post struct {
	Room  string `json:"room"`
	Nonce string `json:"nonce"`
	Text  string `json:"text"`
}

// History asks for a page; at most one of Before, After and Around is set, and
// none asks for the newest page. After 0 is the beginning.
type History struct {
	Room   string `json:"room"`
	Before *int64 `json:"before,omitempty"`
	After  *int64 `json:"after,omitempty"`
	Around *int64 `json:"around,omitempty"`
	Limit  int    `json:"limit,omitempty"` // messages, clamped to MaxHistory; 0 is 50
}

// Typing says that the client's person is writing in Room; good for 6 s.
type Typing struct {
	Room string `json:"room"`
}

// Who asks for the people in a room, in pages of 100, after the given id.
type Who struct {
	Room  string `json:"room"`
	After string `json:"after,omitempty"`
}

// Rename changes the name of the client's person.
type Rename struct {
	Name string `json:"name"`
}

// Ping asks for a Pong, for clients that cannot send WebSocket pings.
type Ping struct{}

// FrameType implements Frame.
func (Hello) FrameType() string { return TypeHello }

// FrameType implements Frame.
func (Join) FrameType() string { return TypeJoin }

// FrameType implements Frame.
func (Leave) FrameType() string { return TypeLeave }

// FrameType implements Frame.
func (Post) FrameType() string { return TypePost }

// FrameType implements Frame.
func (History) FrameType() string { return TypeHistory }

// FrameType implements Frame.
func (Typing) FrameType() string { return TypeTyping }

// FrameType implements Frame.
func (Who) FrameType() string { return TypeWho }

// FrameType implements Frame.
func (Rename) FrameType() string { return TypeRename }

// FrameType implements Frame.
func (Ping) FrameType() string { return TypePing }
