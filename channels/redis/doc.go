// Package redis joins the layers of several processes through Redis, in the two
// formats of channels_redis, so that Django Channels processes can be among
// them: the core format, sorted sets ([Core]), and the pub/sub format
// ([PubSub]). The two cannot hear each other; choose the one Django is
// configured with. [ParseURL] reads what to connect to, [New] makes the broker.
//
//	o, err := redis.ParseURL("redis+pubsub://localhost:6379/0?prefix=asgi")
//	broker, err := redis.New(o)
//	layer := channels.NewLayer(&channels.LayerOptions{Broker: broker})
//	...
//	layer.Close()
//	broker.Close()
//
// Its nouns: a host is one entry of [Options].Hosts, a Redis server or a group
// of Sentinels; names are dealt to the hosts by their CRC-32, so all processes
// must have the same hosts in the same order. A body is an event as it is
// written, encoded and possibly encrypted.
//
// # Promises
//
// A Redis that cannot be reached closes no connection and fails no join: what
// was followed stays so, and is told as a gap when the server is back.
// Publishing meanwhile is an error at once. The time between attempts to connect
// grows to about 5 s, with jitter.
//
// Order: the events of one process to one group arrive in the order in which
// their Publish was called. Nothing arrives twice, nor at its own sender.
//
// Back-pressure: what arrives waits for its Node's Deliver in bounded memory.
// What does not fit is counted, and told as a gap.
//
// Nothing is ever sent that would fail a Django process: an event without a
// type, or with one that names a private handler or a client's frame
// ("websocket.receive"), is an error of Publish. The same, received, is counted
// and ignored, like everything that cannot be decoded.
//
// Ownership: a broker owns its connections and goroutines; Close ends them and
// waits. Close the layer first.
package redis
