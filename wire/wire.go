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
	MaxReplay  = 500      // missed messages replayed on a join that does not say All; more is a reset
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

// MarshalJSON keeps the embedded time.Time from choosing its own format.
func (t Time) MarshalJSON() ([]byte, error) {
	return appendTime(nil, t.Time), nil
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
