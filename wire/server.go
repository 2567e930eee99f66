package wire

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
// Messages frames, then the live ones. Those of a Join with All may go on in
// Messages frames for a while, with what was said during the replay.
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
// socket: the nonce was stored before, or the room is left.
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

// FrameType implements Frame.
func (Welcome) FrameType() string { return TypeWelcome }

// FrameType implements Frame.
func (Joined) FrameType() string { return TypeJoined }

// FrameType implements Frame.
func (Left) FrameType() string { return TypeLeft }

// FrameType implements Frame.
func (Messages) FrameType() string { return TypeMessages }

// FrameType implements Frame.
func (MessageFrame) FrameType() string { return TypeMessage }

// FrameType implements Frame.
func (Ack) FrameType() string { return TypeAck }

// FrameType implements Frame.
func (HistoryPage) FrameType() string { return TypeHistory }

// FrameType implements Frame.
func (TypingFrame) FrameType() string { return TypeTyping }

// FrameType implements Frame.
func (Here) FrameType() string { return TypeHere }

// FrameType implements Frame.
func (Renamed) FrameType() string { return TypeRenamed }

// FrameType implements Frame.
func (Pong) FrameType() string { return TypePong }

// FrameType implements Frame.
func (ErrorFrame) FrameType() string { return TypeError }
