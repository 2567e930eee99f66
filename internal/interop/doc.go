// Package interop tests channels/redis beside Django's own channels_redis, on
// the same Redis: what one side sends, the other gets. It holds no code that
// runs in the server.
//
// A Python process (peer.py) is the Django side, with Debian's channels_redis and
// nothing of ours; it does what it is called for and keeps what it received. The
// Go side are layers and their brokers, as programs have them. Redis is a server
// for each test, or several for shards.
//
// The tests are named after the behaviour they are about, and grouped by it:
// both ways (both_test.go), names and members (members_test.go), order and loads
// (load_test.go), what dies and comes back (outage_test.go), what is malformed
// (hostile_test.go), and browsers' sockets (socket_test.go). The benchmarks count
// round trips and processor time of both sides doing the same.
package interop
