// Package load measures chat servers: it is the load generator behind
// "teahouse bench". It holds many thousands of WebSocket connections with one
// goroutine per processor, and checks every delivery.
//
// Its nouns: a Plan says what to do; a Protocol is how a server is spoken to; a
// member is one connection that has joined a room; a poster is a member that
// also posts; a delivery is one message that reached one member; a Result is
// what was measured, and whether it may be believed.
//
// What it promises:
//   - Nothing is sampled. Each delivery is checked for its content, its number
//     in the room where the protocol has one, and its place: all members of a
//     room must have received the same sequence, and a poster must have received
//     its own posts once each, in the order sent. Whatever is missing, double,
//     changed or out of order makes the result invalid.
//   - At a fixed rate the loop is open: a post has a time at which it is due,
//     whether or not earlier ones have arrived, and latency counts from then. So
//     a server that stalls cannot make the generator wait politely and hide it.
//   - A result is invalid when the generator was the bottleneck: when it used
//     nearly all the processor time it may use, or sent posts late.
//   - The server's cost is its processor time as the kernel counts it, divided by
//     deliveries, and its resident memory, both from /proc.
//
// Ownership: every connection belongs to one loop, which is one goroutine around
// one epoll; the scenario runs on the caller's goroutine and changes a loop's
// connections only by functions that the loop runs. Run waits for all loops.
//
// A Protocol other than the two of Teahouse drives other servers the same way.
package load
