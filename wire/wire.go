// Package wire is the rich chat protocol "teahouse.v1" as Go types: the frames
// that go between a client and the server, and the codes they carry.
//
// A frame is one WebSocket text message holding one JSON object with a "type".
// Client frames may carry a "ref" (at most 64 characters), which the answer or
// the error repeats. Fields the receiver does not know are ignored; a type the
// server does not know is answered by an error frame. The protocol in prose is
// docs/protocol.md; the files in testdata are the vectors that both this
// package and the JavaScript client run.
//
// Positions are "seq" numbers: the entries of a room are numbered 1, 2, 3, ...
// without holes, and a client that sees any other step has missed something.
// Times are RFC 3339 in UTC with milliseconds; they are for showing, never for
// ordering.
package wire

import "time"

// Subprotocol is the value of Sec-WebSocket-Protocol that selects this protocol.
const Subprotocol = "teahouse.v1"

// Sizes that a client must keep within, also told in Limits of the welcome.
const (
	MaxFrame   = 64 << 10 // bytes of one client frame
	MaxText    = 8000     // code points of one message after cleaning
	MaxNonce   = 64       // characters of a nonce
	MaxRef     = 64       // characters of a ref
	MaxHistory = 200      // messages in one page of history
	MaxReplay  = 500      // missed messages replayed on a join; more is a reset
	MaxRooms   = 64       // rooms joined by one socket
	MaxDepth   = 16       // nesting of a client frame's JSON
	MaxKeys    = 64       // keys in one JSON object of a client frame
)

// Types of frames sent by clients.
const (
	TypeHello   = "hello"
	TypeJoin    = "join"
	TypeLeave   = "leave"
	TypePost    = "post"
	TypeHistory = "history" // also the type of the answer
	TypeTyping  = "typing"  // also the type of the server's frame
	TypeWho     = "who"
	TypeRename  = "rename"
	TypePing    = "ping"
)

// Types of frames sent by the server.
const (
	TypeWelcome  = "welcome"
	TypeJoined   = "joined"
	TypeLeft     = "left"
	TypeMessages = "messages"
	TypeMessage  = "message"
	TypeAck      = "ack"
	TypeHere     = "here"
	TypeRenamed  = "renamed"
	TypePong     = "pong"
	TypeError    = "error"
)

// Person is somebody in a room. Names may be shared, ids never are; Tag is a
// short mark made from the id that tells two people of one name apart.
type Person struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Tag  string `json:"tag"`
}

// Message is what a person said, as it stands in a room's log.
type Message struct {
	Seq    int64  `json:"seq"`
	Author Person `json:"author"`
	Text   string `json:"text"`
	At     Time   `json:"at"`
	Nonce  string `json:"nonce,omitempty"`
}

// Time is a time.Time written as RFC 3339 in UTC with exactly three decimals.
type Time struct{ time.Time }

// TimeFormat is the layout of Time for time.Time.Format.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// AppendText implements encoding.TextAppender, which encoding/json uses.
func (t Time) AppendText(b []byte) ([]byte, error) {
	return t.UTC().AppendFormat(b, TimeFormat), nil
}

// MarshalText implements encoding.TextMarshaler.
func (t Time) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// MarshalJSON keeps the embedded time.Time from choosing its own format.
func (t Time) MarshalJSON() ([]byte, error) {
	b, err := t.AppendText([]byte{'"'})
	return append(b, '"'), err
}

// Client frames.

// Hello is the first frame of a client, due within 10 s of the handshake.
type Hello struct {
	Client string // name and version of the client, for the log
	Locale string // BCP 47 language of generated names; empty is Accept-Language
	Token  string // identity of a client that has no cookie, from an earlier Welcome
	Epoch  string // epoch the client's positions belong to; empty when it has none
}

// Join asks for a room's live messages. Position says what the client has.
type Join struct {
	Room  string
	After *int64 // last seq the client holds; nil asks for the newest page
	Limit int    // size of that newest page, at most MaxHistory; 0 is 50
	Epoch string // as in Hello; overrides it for this room
}

// Leave ends a room's live messages.
type Leave struct{ Room string }

// Post says Text in Room. The nonce makes it repeatable: the same nonce from
// the same author is one message for ever.
type Post struct {
	Room  string
	Nonce string
	Text  string
}

// History asks for a page; exactly one of Before, After, Around is set, or none
// for the newest page.
type History struct {
	Room   string
	Before *int64
	After  *int64
	Around *int64
	Limit  int
}

// Typing says that the client's person is writing in Room; good for 6 s.
type Typing struct{ Room string }

// Who asks for the people in a room, in pages of 100, after the given id.
type Who struct {
	Room  string
	After string
}

// Rename changes the name of the client's person.
type Rename struct{ Name string }

// Ping asks for a Pong, for clients that cannot send WebSocket pings.
type Ping struct{}

// Server frames. Encode writes them; "type" comes first.

// Welcome answers Hello.
type Welcome struct {
	Ref    string `json:"ref,omitempty"`
	You    Person `json:"you"`
	Epoch  string `json:"epoch"`
	Server string `json:"server"`          // "teahouse/" and a version
	Token  string `json:"token,omitempty"` // only for clients that came without a cookie
	Limits Limits `json:"limits"`
}

// Limits are what the server will refuse beyond. Rates are messages per second
// with a burst; 0 is no limit.
type Limits struct {
	Frame   int     `json:"frame"`   // bytes
	Text    int     `json:"text"`    // code points
	History int     `json:"history"` // messages per page
	Replay  int     `json:"replay"`  // messages
	Rooms   int     `json:"rooms"`   // joined per socket
	Rate    float64 `json:"rate"`    // messages per second
	Burst   int     `json:"burst"`   // messages
}

// Joined answers Join. The messages after After up to Last follow at once in
// Messages frames, then the live ones.
type Joined struct {
	Ref   string `json:"ref,omitempty"`
	Room  string `json:"room"` // canonical spelling: use it from here on
	After int64  `json:"after"`
	Last  int64  `json:"last"`            // newest seq of the room, 0 when empty
	First bool   `json:"first"`           // nothing is older than what follows
	Reset bool   `json:"reset,omitempty"` // the client must drop its copy of the room
	Here  Here   `json:"here"`
}

// Left answers Leave.
type Left struct {
	Ref  string `json:"ref,omitempty"`
	Room string `json:"room"`
}

// Messages carries part of a replay, in ascending order.
type Messages struct {
	Room     string    `json:"room"`
	Messages []Message `json:"messages"`
}

// MessageFrame is one live message. To its author the nonce is the
// acknowledgement: the message is stored for ever.
type MessageFrame struct {
	Room string `json:"room"`
	Message
}

// Ack acknowledges a post whose MessageFrame will not come (again) on this
// socket: the nonce was stored before.
type Ack struct {
	Ref   string `json:"ref,omitempty"`
	Room  string `json:"room"`
	Nonce string `json:"nonce"`
	Seq   int64  `json:"seq"`
	At    Time   `json:"at"`
}

// HistoryPage answers History, oldest first.
type HistoryPage struct {
	Ref      string    `json:"ref,omitempty"`
	Room     string    `json:"room"`
	Messages []Message `json:"messages"`
	First    bool      `json:"first"` // nothing is older
	Last     bool      `json:"last"`  // nothing is newer
}

// TypingFrame tells who has been writing in the last seconds; best effort.
type TypingFrame struct {
	Room   string   `json:"room"`
	People []Person `json:"people"` // at most 4
}

// Here tells who is in a room; best effort, at most one a second and room.
// In Joined and in the answer to Who, People is a page; in live frames Joined
// and Left are the changes, and More says that there were too many to list.
type Here struct {
	Ref    string   `json:"ref,omitempty"`
	Room   string   `json:"room,omitempty"`
	Count  int      `json:"count"` // people, not sockets
	People []Person `json:"people,omitempty"`
	Next   string   `json:"next,omitempty"` // id to give as After for the next page
	Joined []Person `json:"joined,omitempty"`
	Left   []string `json:"left,omitempty"` // ids
	More   bool     `json:"more,omitempty"`
}

// Renamed tells that a person has a new name, and answers Rename.
type Renamed struct {
	Ref    string `json:"ref,omitempty"`
	Person Person `json:"person"`
}

// Pong answers Ping.
type Pong struct {
	Ref string `json:"ref,omitempty"`
}

// ErrorFrame tells a client about a mistake or a failure; the socket stays open.
type ErrorFrame struct {
	Ref     string `json:"ref,omitempty"`
	Code    string `json:"code"`
	Message string `json:"message"` // one English sentence saying what to do
	Room    string `json:"room,omitempty"`
	Nonce   string `json:"nonce,omitempty"`    // of the post that failed
	RetryMS int64  `json:"retry_ms,omitempty"` // try again after this; 0 is not worth trying
}

// Error codes of ErrorFrame and of the HTTP API.
const (
	CodeBadJSON       = "bad_json"       // not one JSON value
	CodeBadEnvelope   = "bad_envelope"   // not an object, or no type
	CodeTooDeep       = "too_deep"       // nested deeper than MaxDepth
	CodeUnknownType   = "unknown_type"   // type the server does not know
	CodeBadType       = "bad_type"       // a field has the wrong JSON type
	CodeBadNonce      = "bad_nonce"      // missing, too long, or with controls
	CodeBadText       = "bad_text"       // U+0000 or not Unicode text
	CodeBadRoom       = "bad_room"       // not a room name
	CodeBadName       = "bad_name"       // not a name for a person
	CodeBadSeq        = "bad_seq"        // position the room has not reached
	CodeBadQuery      = "bad_query"      // before, after and around exclude each other
	CodeEmpty         = "empty"          // nothing visible in the text
	CodeTooLong       = "too_long"       // more than MaxText code points
	CodeNonceConflict = "nonce_conflict" // the nonce stands for another text
	CodeNotJoined     = "not_joined"     // join the room first
	CodeTooMany       = "too_many"       // too many rooms joined
	CodeAlready       = "already"        // hello was said before
	CodeRateLimited   = "rate_limited"   // come back after retry_ms
	CodeBusy          = "busy"           // come back after retry_ms
	CodeUnavailable   = "unavailable"    // the store failed; come back after retry_ms
	CodeNotFound      = "not_found"
	CodeForbidden     = "forbidden"
)

// Close codes of a socket (RFC 6455, section 7.4; 44xx are Teahouse's, with
// the last two digits of the HTTP analogue).
const (
	CloseNormal       = 1000
	CloseGoingAway    = 1001
	CloseRestart      = 1012 // the reason holds "retry_ms=N"
	CloseOverloaded   = 1013
	CloseBadEnvelopes = 4400 // ten bad frames in a row
	CloseSignedOut    = 4401 // no hello, or the login ended: not to be retried
	CloseRemoved      = 4403 // removed or banned: not to be retried
	CloseTooSlow      = 4408 // reconnect and resume
	CloseReplaced     = 4409 // a newer connection took this one's place
	CloseBadPosition  = 4410 // foreign epoch: reload everything
	CloseRateLimited  = 4429 // reconnect after retry_ms
)
