package live

import (
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// Nodes with the same log tell each other who is where. A node calls the roll of
// a room: all who are on it, in one event in the room's group, at most once a
// second, and only when another node has somebody in that room. A node whose
// first person comes into a room asks the others for theirs with its own.
//
// Rolls may be lost. What repairs that is the beat, an event of a node to all
// others every few seconds: the rooms it has people in and the version of each
// roll. Who finds that it holds another version, or none, asks in the room. A
// node that is not heard for a while is not there, and one that stops says so.
//
// No clock of another node is believed, and nothing is kept of rooms that nobody
// is in here. What comes must be sealed, and said lately by a node that hears this
// one, see peer; it is checked and bounded all the same.
const (
	eventRoll    = "chat.roll"    // roll, in the group of a room
	eventTypists = "chat.typists" // typists, in the group of a room
	eventBeat    = "chat.beat"    // beat, in the group of all nodes
	eventName    = "chat.name"    // naming, in the group of all nodes
)

const (
	joinDelay   = 100 * time.Millisecond // a roll waits so long for others to come, and digestEvery for who leaves to come back
	beatEvery   = 3 * time.Second
	forgetAfter = 12 * time.Second // people are forgotten when their node is silent for longer, and what was said before does not count
	tickEvery   = time.Second      // of looking at the two

	rollPeople = 200     // listed in a roll; of more it has the first by id
	rollNodes  = 64      // other nodes that are listened to
	beatRooms  = 1024    // in one beat; more go into another
	listedMax  = 1 << 18 // people of others that are held; beyond it a roll only counts
	countMax   = 1 << 24 // people that a node can have
)

// carriedMax bounds the text of a roll or a beat, in bytes. The longest that
// there is are beatRooms names of 64 characters.
const carriedMax = 512 << 10

// roll is who is in a room on one node.
type roll struct {
	Node    string     `json:"node"` // random, new with each start
	Sent    int64      `json:"sent"` // number of what the node says, see crowd.next
	Room    string     `json:"room"`
	Version int64      `json:"version"` // not that of any other roll of the node unless they are the same
	Count   int        `json:"count"`   // 0 says that the node has left the room
	People  []attender `json:"people,omitempty"`
	Ask     int64      `json:"ask,omitempty"` // unless 0, the others shall call theirs; each is another number
}

// attender is somebody on a roll.
type attender struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// beat says that a node is alive.
type beat struct {
	Node  string           `json:"node"`
	Sent  int64            `json:"sent"`
	Heard map[string]int64 `json:"heard,omitempty"` // numbers of the last beats of others
	Ask   bool             `json:"ask,omitempty"`   // it is new, or has missed something: the others shall beat
	Bye   bool             `json:"bye,omitempty"`   // it stops
	Rooms map[string]int64 `json:"rooms,omitempty"` // where it has people, or some of these rooms, and the version of the roll it called last there
}

// typists is who is typing in a room on one node.
type typists struct {
	Node   string     `json:"node"`
	Sent   int64      `json:"sent"`
	Room   string     `json:"room"`
	People []attender `json:"people"` // at most typingNames
}

// naming is somebody's new name.
type naming struct {
	Node string `json:"node"`
	Sent int64  `json:"sent"`
	attender
}

// carried is the JSON text of a roll, typists, a beat or a name, on its way to other nodes.
type carried struct{ text, seal string }

// Map implements channels.Portable.
func (c carried) Map() map[string]any { return map[string]any{keyFrame: c.text, keySeal: c.seal} }

// carry makes the event that tells v.
func (s *seal) carry(typ string, v any) channels.Event {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("live: %v", err)) // they are strings and numbers
	}
	return channels.Event{Type: typ, Payload: carried{string(text), s.of(typ + " " + string(text))}}
}

// uncarried reads what carry made on another node.
func uncarried[T any](s *seal, e channels.Event) (v T, err error) {
	payload, _ := e.Payload.(map[string]any)
	text, ok := payload[keyFrame].(string)
	mark, _ := payload[keySeal].(string)
	switch {
	case !ok || !utf8.ValidString(text):
		return v, fmt.Errorf("an event %q of another process has no text", e.Type)
	case len(text) > carriedMax:
		return v, fmt.Errorf("an event %q of another process has %d bytes", e.Type, len(text))
	case !hmac.Equal([]byte(mark), []byte(s.of(e.Type+" "+text))):
		return v, fmt.Errorf("%w: %q", errForged, e.Type)
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("an event %q of another process: %w", e.Type, err)
	}
	return v, nil
}

// nodeIDLen is that of crypto/rand.Text.
const nodeIDLen = 26

var (
	errBadNode   = errors.New("the id of a node has 26 characters")
	errBadCount  = errors.New("the roll counts fewer than it lists, or too many")
	errBadOrder  = errors.New("the roll is not in the order of ids, each once")
	errBadName   = errors.New("that is a name that nobody can have")
	errManyTypes = errors.New("too many people are typing")
	errManyRooms = errors.New("the beat has too many rooms, or has heard too many nodes")
	errManyNodes = errors.New("there are too many nodes")
)

// readRoll reads a roll, and the people listed in it, ascending by id.
func readRoll(s *seal, e channels.Event) (roll, []chat.User, error) {
	r, err := uncarried[roll](s, e)
	switch {
	case err != nil:
		return r, nil, err
	case len(r.Node) != nodeIDLen:
		return r, nil, errBadNode
	case len(r.People) > rollPeople || r.Count < len(r.People) || r.Count > countMax:
		return r, nil, errBadCount
	}
	people, err := users(r.People)
	for i := 1; i < len(people); i++ {
		if people[i].ID <= people[i-1].ID {
			return r, nil, errBadOrder
		}
	}
	return r, people, err
}

// readTypists reads who is typing.
func readTypists(s *seal, e channels.Event) (typists, []chat.User, error) {
	t, err := uncarried[typists](s, e)
	switch {
	case err != nil:
		return t, nil, err
	case len(t.People) > typingNames:
		return t, nil, errManyTypes
	}
	people, err := users(t.People)
	return t, people, err
}

// readName reads a new name.
func readName(s *seal, e channels.Event) (naming, chat.User, error) {
	n, err := uncarried[naming](s, e)
	if err != nil {
		return n, chat.User{}, err
	}
	u, err := n.user()
	return n, u, err
}

// attenders is people on their way to other nodes.
func attenders(people []wire.Person) []attender {
	as := make([]attender, len(people))
	for i, p := range people {
		as[i] = attender{p.ID, p.Name}
	}
	return as
}

// users is attenders backwards.
func users(as []attender) ([]chat.User, error) {
	people := make([]chat.User, len(as))
	for i, a := range as {
		var err error
		if people[i], err = a.user(); err != nil {
			return nil, err
		}
	}
	return people, nil
}

// user is less strict with names than chat.UserName: a node of another version
// may know other rules.
func (a attender) user() (chat.User, error) {
	if a.Name == "" || utf8.RuneCountInString(a.Name) > chat.MaxName || strings.IndexFunc(a.Name, unicode.IsControl) >= 0 {
		return chat.User{}, errBadName
	}
	id, err := chat.ParseUserID(a.ID)
	return chat.User{ID: id, Name: a.Name}, err
}

func readBeat(s *seal, e channels.Event) (beat, error) {
	b, err := uncarried[beat](s, e)
	switch {
	case err != nil:
		return b, err
	case len(b.Node) != nodeIDLen:
		return b, errBadNode
	case len(b.Rooms) > beatRooms || len(b.Heard) > rollNodes:
		return b, errManyRooms
	}
	return b, nil
}

// nodes is the name of the group of all nodes, which no room's is.
func (g groupName) nodes() string { return string(g) + ".nodes" }
