// Package nats joins the layers of several processes through NATS, with nothing
// but its core: no stream is needed, and none is made. [ParseURL] reads what to
// connect to, [New] makes the broker.
//
//	o, err := nats.ParseURL("nats://user:password@nats-1:4222,nats-2:4222")
//	broker, err := nats.New(o)
//	layer := channels.NewLayer(&channels.LayerOptions{Broker: broker})
//	...
//	layer.Close()
//	broker.Close()
//
// Its nouns: a subject is where NATS delivers, made of the prefix and a group, a
// process or a channel of no process; a message is an event, or a gap, with its
// sender and that one's connection. A process has one connection, to one of the
// servers.
//
// # Promises
//
// Servers that cannot be reached close no connection and fail no join: what was
// followed stays so, and is told as a gap when there is one again. Publishing
// meanwhile is an error at once. The time between attempts to connect grows to
// about 5 s, with jitter, and they never end, whatever the error: a password may
// be put right at the server.
//
// Publish does not wait for the server: what was published just before a Follow
// of another process may come there, too.
//
// Order: the events of one process to one group arrive in the order in which
// their Publish was called. Nothing arrives twice, nor at its own sender. What a
// server held back until its sender had another connection, by which something
// came in the last 15 s, is dropped and told as a gap, not delivered late.
//
// Losses: NATS delivers at most once and answers to nothing that is published.
// But every second a process makes sure that the server has read what was sent;
// after a connection that was lost before, whoever follows the groups in doubt is
// told a gap by the sender's next. What is lost between the servers of a cluster
// nobody is told of.
//
// Back-pressure: what arrives waits for its Node's Deliver in bounded memory.
// What does not fit is counted, and told as a gap.
//
// Limits: an event may have the max_payload of the server, if that is less than
// 1 MiB. Users with permissions need to publish and subscribe to the prefix and
// all below, "teahouse.>"; one that is missing counts as no connection. Nobody
// else should be able to publish there: messages are not signed, and one that
// pretends to be of a process can have that one's taken for late, for 15 s.
//
// Ownership: a broker owns its connection and goroutines; Close ends them and
// waits. Close the layer first.
package nats
