// Package chat is the domain: rooms that are logs, the people who speak in
// them, the rules (Service) and what a place to keep them must do (Store). It
// knows no network, no SQL and no JSON.
//
// A room is a log of entries numbered 1, 2, 3, ... without holes. The number,
// seq, is given in the transaction that stores the entry; it is the permalink,
// the resume cursor and the order. Nothing is published before it is stored.
//
// Order: one per room, the same for everybody; what one goroutine submits to a
// room is stored in that order. Back-pressure: a bounded queue stands before
// the one writer; when it is full Submit blocks, then refuses. Ownership: a
// Service owns its writer and ends it in Shutdown; the Store is its maker's.
package chat

import (
	"context"
	"time"
)

// UserID names a person for ever. It is random and public.
type UserID int64

// User is a person: here always a guest.
type User struct {
	ID   UserID
	Name string
}

// Message is what a person said.
type Message struct {
	Seq    int64
	Author User
	Nonce  string // unique per room and author, for ever
	Text   string
	At     time.Time // UTC, whole milliseconds, never before the message above it
}

// Room is a log with a name.
type Room struct {
	Slug    string // canonical spelling, see RoomSlug
	LastSeq int64  // seq of the newest entry; 0 when there is none
	LastAt  time.Time
}

// Login is a way a person comes back: the hash of a secret only they hold.
type Login struct {
	Hash    [32]byte // SHA-256 of the secret
	User    User
	Created time.Time
	Seen    time.Time
	New     bool // not stored yet; stores neither keep nor set it
}

// Draft is a message on its way into the log, already checked by Service.
type Draft struct {
	Room   string // canonical
	Author User
	Login  *Login // stored together with the author when the author is new; nil for none
	Nonce  string
	Text   string
	At     time.Time
	Create bool // create the room when there is none, else ErrNoRoom
}

// Appended is what became of one Draft.
type Appended struct {
	Message   Message // as stored, also for a repeated nonce
	Duplicate bool    // the nonce was there already with the same text
	Err       error   // ErrNoRoom or ErrNonceConflict; the others of the batch stand
}

// Range selects a page of a room's log. At most one of Before, After and Around
// is set (>= 0); all three < 0 is the newest page. After: 0 is the beginning.
type Range struct {
	Before, After, Around int64
	Limit                 int // messages, >= 1
}

// Newest is the Range of the newest limit messages.
func Newest(limit int) Range { return Range{Before: -1, After: -1, Around: -1, Limit: limit} }

// Page is part of a log in ascending order.
type Page struct {
	Messages []Message
	First    bool  // nothing is older
	Last     bool  // nothing is newer; false when the page is empty and the room is not at its end
	LastSeq  int64 // newest seq of the room when the page was read
}

// Store keeps rooms, messages, people and logins. Every method may be called
// by many goroutines, and reads see all appends that have returned. Errors
// other than those named are failures of the store: the caller cannot know
// whether an Append that failed so was stored, unless the error is an
// ErrNotStored, and may repeat it. A call ends when ctx does, or soon after.
type Store interface {
	// Append stores a batch in one durable transaction, in order, giving each
	// draft the next seq of its room, and returns one result per draft. A
	// repeated nonce takes no number. At is raised to the room's newest time.
	// An author not yet known is stored with their login; a known author's
	// stored name is the one in the result. An empty batch is written too, though
	// nothing is to be seen of it: its error tells whether others would be.
	Append(ctx context.Context, batch []Draft) ([]Appended, error)

	// Messages reads a page. An unknown room is an empty page, First and Last.
	Messages(ctx context.Context, room string, r Range) (Page, error)

	// Find returns those of the named rooms that exist, in any order; names may
	// be thousands, and none is there twice.
	Find(ctx context.Context, slugs ...string) ([]Room, error)

	// Rooms returns the rooms with the most recent talk first.
	Rooms(ctx context.Context, limit int) ([]Room, error)

	// Login finds a login by its hash, or ErrNoLogin.
	Login(ctx context.Context, hash [32]byte) (Login, error)

	// SaveUser stores a person's name, and the person and login when new.
	// Seen of a known login is raised.
	SaveUser(ctx context.Context, u User, l *Login) error

	// Settings are small values set once per store, made by the store when it
	// is new: the epoch, and the key that signs identities.
	Settings(ctx context.Context) (Settings, error)

	// Close ends the store; later calls fail.
	Close() error
}

// Settings of a store.
type Settings struct {
	Epoch string   // changes when a backup is restored; 16 hexadecimal digits
	Key   [32]byte // random; signs guests' tokens
}
