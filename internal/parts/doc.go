// Package parts starts, for tests, the real programs that Teahouse works with:
// Redis, NATS, PostgreSQL, and processes in Python that speak for Django. It is
// support for tests and no part of the server.
//
// Its nouns: a Process is one program, run again and again with the same
// arguments; a RedisServer and a NATSServer are one at an address of its own; a
// PostgresServer is one with a folder of its own; a PythonPeer is one that answers
// calls in JSON lines.
//
// Each part has a fresh folder and a free port, belongs to one test, and is
// killed, by the process that was started, at that test's end; then its log is
// shown if the test failed. What is not installed skips the test with a sentence
// that names it, and fails it when TEAHOUSE_REQUIRE=1.
//
// The methods that take no context may wait up to Patience; those that need
// the test to fail belong to the test's goroutine, unless they say otherwise.
package parts
