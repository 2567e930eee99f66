package load

// Member is one connection and its place, as a Protocol sees it.
type Member struct {
	Room  string // letters, digits and hyphens: it needs no escaping anywhere
	ID    int    // different for every connection of a run
	After int64  // the member has everything up to this seq; 0 is nothing
	Epoch string // what After belongs to, from Seen; empty at first
}

// Protocol is how a server is spoken to over a WebSocket with text frames. It is
// used by several goroutines at once and keeps nothing between calls; everything
// it says about a frame stays valid only as long as the frame.
type Protocol interface {
	// Name is short, for reports.
	Name() string
	// Handshake is the request target, and further header lines ("Name: value").
	Handshake(m *Member) (target string, lines []string)
	// Open is the frames a client sends as soon as the socket is open; more can
	// follow by Seen.Reply.
	Open(m *Member) [][]byte
	// AppendPost appends the frame that posts text, the how manieth of the
	// member, in its room. The text needs no escaping.
	AppendPost(dst []byte, m *Member, number uint32, text []byte) []byte
	// Read says what a frame of the server means. s is empty.
	Read(m *Member, frame []byte, s *Seen)
	// JoinsSilently says that the server does not tell when a connection has
	// joined: it counts as joined when the socket is open.
	JoinsSilently() bool
}

// Delivery is one message as it reached a member.
type Delivery struct {
	Seq  int64 // the message's number in its room, 1, 2, 3, ...; 0 where there is none
	Text []byte
}

// Seen is what one frame of a server said.
type Seen struct {
	Joined     bool       // from now on the member gets what is posted
	Deliveries []Delivery // in their order
	Reply      []byte     // text frame to answer with, such as a heartbeat; nil is none
	Refused    string     // why the server will not do something; counted, and it makes the result invalid
	Epoch      string     // what positions belong to; empty says nothing new
	Last       int64      // with Joined: the number of the room's newest message
}
