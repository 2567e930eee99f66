// Package client is the Go client of Teahouse, for bots, bridges and tests. It
// speaks the rich protocol of docs/protocol.md, whose frames are package wire.
//
// Its nouns: a Client is one person, connected as often as it takes; a Room is
// a log that the client follows; a Message is what somebody said there; an
// Outbox keeps what was posted until the server has stored it.
//
// What it promises:
//   - Room.Next gives each message once, in ascending seq, without holes, however
//     often the connection breaks. It begins where Join said.
//   - Room.Post returns when the message is stored, or says that this is not
//     known yet. It posts again, with the same nonce, until it knows, so nothing
//     is stored twice. Posts that one goroutine makes one after the other are in
//     that order in the room, waited for or not: a room has one post on its way at
//     a time, and one that the server refuses for the moment is sent again, before
//     those behind it, when the server wants. So many goroutines that post into one
//     room are as fast as one; rooms do not wait for each other.
//   - After a lost connection it comes back by itself: after a random time
//     between 0 and 1 s, twice as much each time, at most 30 s, and not before
//     the server wants; when the server restarts, when it said. It does not come back when the server says not to; then
//     everything returns the same error, which Err has too.
//
// Back-pressure: a Room keeps up to 1,024 messages that Next has not given yet.
// What comes on top is left in the server's log and fetched from there when Next
// gets to it, so a slow reader costs no memory and holds up no other room. From.All
// holds the server up instead, except while a request or a post is unanswered.
//
// A Client and its Rooms may be used by several goroutines at once. Close ends
// all of it and waits for the client's own goroutines.
package client
