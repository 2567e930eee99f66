// Package channels is a toolkit for servers that talk with many browsers at
// once: every connection is a consumer, consumers join groups, and an event sent
// to a group reaches every member. It is the model of Django Channels, for
// net/http; docs/channels.md shows both side by side, and examples has programs.
//
//	layer := channels.NewLayer(nil)
//	http.Handle("/ws/chat/{room}/", channels.Handler(
//		func() channels.Consumer { return new(Chat) }, // Connect, Receive, Disconnect
//		&channels.Options{Layer: layer},
//	))
//
// Its nouns are few. A [Consumer] is the program's side of one connection, a
// [Conn]. A [Frame] goes between a client and the server. An [Event] goes
// through a [Layer]: to a channel, which is one receiver with a name, or to a
// group, which is any number of channels and connections. An [Endpoint] is the
// http.Handler that makes consumers of requests. An ordinary handler that waits
// for events uses [Layer.Subscribe]; background work has package worker, tests
// have package channelstest.
//
// A [Broker] joins the layers of several processes: package redis has those for
// the Redis of a Django site. [Node], [Delivery], [Queuer], [Enroller] and
// [EventFromMap] are for who writes another one.
//
// # Two ways of an event
//
// An event that looks the same to everybody is rendered to a frame once, by the
// function in [Options].Render for its type, and the same bytes are written to
// every member: that is the way to send to thousands. An event of another type,
// or one sent to a connection's own channel, is handed to each consumer's Event
// ([EventHandler]), which may look at its own state and send what it likes;
// [Router] chooses a function by type. Events never reach a consumer's Receive,
// nor frames its Event.
//
// # Promises
//
// Isolation: methods of one consumer never run at once, Disconnect runs exactly
// once, and a panic or an error ends that connection alone.
//
// Order: all members of a group see its events in one order, and those of one
// sender in the order sent. A join or a leave stands between the same two events
// for everybody: a member gets exactly what was sent after its join returned
// and before its leave was called, and no more once [Conn.GroupDiscard] has
// returned. A [Hold] keeps that exact while a log is replayed. There is no
// order between groups, nor between what a group is sent and what a consumer
// sends by itself, except that a frame sent before joining or Release comes first.
//
// Back-pressure: nobody waits for a slow client. What its socket does not take
// goes to a backlog of its own, and beyond [Options].Backlog that connection is
// closed with [CloseTooSlow]; when all backlogs pass [LayerOptions].Backlog, so
// are the largest until they fit. A client is slowed down by its consumer's
// Receive, since nothing is read meanwhile; a sender, by a group that has 4 MiB of
// events not yet written. Channels, and the events waiting for a consumer, are
// bounded by [LayerOptions].Capacity and never wait.
//
// Loss: events are delivered at most once and are gone with the process. What is
// not delivered is counted by cause in [Stats], logged, and told:
// [ErrChannelFull] to the sender to one channel, [LossHandler] to the consumer
// that did not keep up, [ErrMissed] to a subscription, CloseTooSlow to the client,
// [ErrUnpublished] to the sender whose event did not leave the process, and
// [GapHandler] when the connection between processes was lost.
//
// Stopping: [Endpoint].Shutdown closes all connections, Drain over a time; a
// [Finisher] is asked first.
//
// Ownership: an event and what its payload refers to is never changed once sent.
// Data given to Receive is valid only during the call; data given to Send may be
// reused when it returns.
//
// Cost: a connection at rest has one goroutine, parked without a buffer. A group
// writes in rounds: all events that wait become one run of bytes, written by one
// system call for each member; what arrives meanwhile is the next round.
package channels
