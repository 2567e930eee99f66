// Package check holds what people lived through in a chat against what it
// promises: nothing acknowledged is lost, nothing is there twice, one order for
// all, no silent gap.
//
// Its nouns: a Post is one attempt to say something, a Read one look at a room's
// end, a View what one reader was told of a room, a Log what a server or its
// database has in the end. A History is all of them of one run, with times of one
// clock. What may have happened or not is Unknown, never failed.
//
// Check takes time in proportion to the history. Linear decides the same by
// another way, a search for one order of all operations, for one room at a time
// and at most MaxOperations of them.
package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

// Outcome is what its sender knows of a Post.
type Outcome int

const (
	Unknown  Outcome = iota // it may be in the log, now or later
	Stored                  // it was acknowledged, as Seq
	Refused                 // this attempt is not in the log and never will be
	Conflict                // the nonce stands for another text
)

// Post is one attempt to say something; attempts with the same room, author and
// nonce are one message.
type Post struct {
	Room, Author, Nonce, Text string
	Other                     bool // the nonce stands for another text already: it is to be a Conflict

	Node     string        // where it was tried
	Sent     time.Duration // since the beginning of the run
	Answered time.Duration // nothing when no answer came
	Outcome  Outcome
	Seq      int64
	Code     string // of the error frame that came in place of an acknowledgement
}

// Read is the newest message of a room as a node told it; Last is 0 for none.
type Read struct {
	Room, Node    string
	Asked, Told   time.Duration
	Last          int64
	Author, Nonce string // of the message
}

// View is what one reader was told of a room, from its beginning, in the order of
// telling.
type View struct {
	Who, Room string
	Seen      []Seen
	Chain     guest.Chain // folded by the reader as it was told
	Stopped   bool        // the reader stopped before the end, at a violation that is told already
}

// Seen is a message when it was told.
type Seen struct {
	wire.Message
	At time.Duration
}

// Log is all of a room, as From has it when everything is over.
type Log struct {
	From, Room string
	Messages   []wire.Message
}

// History is one run. Each room that something is said in has Logs; the first is
// the one that all else is held against.
type History struct {
	Posts []Post
	Reads []Read
	Views []View
	Logs  []Log
}

// Violation is a promise that was broken.
type Violation struct {
	Promise string // a few words, the same for each of its kind
	What    string
}

func (v Violation) String() string { return v.Promise + ": " + v.What }

// The promises, as Violation has them.
const (
	Lost       = "lost"                 // acknowledged and not in the log
	Twice      = "twice"                // one nonce, several messages
	Dense      = "numbers"              // not 1, 2, 3, ...
	Intact     = "text"                 // not what was said
	Invented   = "invented"             // nobody said it
	Order      = "order"                // against the order of real time
	Gap        = "gap"                  // a reader misses something, or got it twice or early
	Agreement  = "agreement"            // two have different logs
	Clock      = "time"                 // a message is older than the one above it
	Stale      = "stale"                // a read is behind what was acknowledged before
	Linearized = "linearizable"         // no order of all operations explains them
	Undecided  = "undecided"            // the search for one took too long
	Unhealed   = "healed"               // faults are over, and it does not work again
	Severed    = "cut off from the log" // acknowledged by who cannot know
	Unserved   = "cut off from others"  // a node that has the log does not serve
	Unsaid     = "unavailable"          // a node that has no log does not say so
)

// found collects violations.
type found []Violation

func (f *found) add(promise, format string, args ...any) {
	*f = append(*f, Violation{promise, fmt.Sprintf(format, args...)})
}

// Check returns all violations in a history but what Linear finds, by room.
func Check(h History) []Violation {
	var f found
	for _, room := range h.rooms() {
		r := h.only(room)
		log := r.logs(&f)
		r.posts(&f, log)
		r.order(&f, log)
		r.views(&f, log)
	}
	return f
}

// rooms that anything is said of, sorted.
func (h History) rooms() []string {
	var all []string
	for _, p := range h.Posts {
		all = append(all, p.Room)
	}
	for _, l := range h.Logs {
		all = append(all, l.Room)
	}
	for _, v := range h.Views {
		all = append(all, v.Room)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// room is the part of a history about one room.
type room struct {
	name string
	History
}

func (h History) only(name string) room {
	r := room{name: name}
	for _, p := range h.Posts {
		if p.Room == name {
			r.Posts = append(r.Posts, p)
		}
	}
	for _, x := range h.Reads {
		if x.Room == name {
			r.Reads = append(r.Reads, x)
		}
	}
	for _, v := range h.Views {
		if v.Room == name {
			r.Views = append(r.Views, v)
		}
	}
	for _, l := range h.Logs {
		if l.Room == name {
			r.Logs = append(r.Logs, l)
		}
	}
	return r
}

// key is what a nonce is unique for in a room.
type key struct{ author, nonce string }

func keyOf(m wire.Message) key { return key{m.Author.ID, m.Nonce} }
