// Package websocket is the server's side of RFC 6455 for many connections that
// mostly wait: a strict handshake and frame reader, and writes that never wait
// for a slow client. It knows nothing of what is said over a connection.
//
// Its nouns are few. A [Conn] is one connection. A frame is one WebSocket frame
// as it goes over the wire; a run is one or more whole server frames, made with
// [AppendFrame], in one slice of bytes. A message is what the peer said: one
// frame or several fragments, handed whole to the [Handler]. [Options] are the
// limits of one endpoint, and also hold what its connections share.
//
// # Life of a connection
//
// [Begin] checks the handshake and returns a Conn that is corked: Write fills
// its backlog and nothing goes out. [Conn.Open] answers 101 and sends what was
// corked behind it ([Conn.Refuse] answers otherwise); [Conn.Start] begins to
// read. Whatever ends the connection, [Handler.Closed] is the last call, once.
//
//	c, err := websocket.Begin(w, r, options)
//	if err != nil {
//		return // already answered
//	}
//	if err := c.Open("", nil); err != nil {
//		return // already answered, or the client is gone
//	}
//	c.Start(handler)
//
// # Promises
//
// Order: the peer sees runs in the order of the calls of Write and WriteWait,
// each whole and none twice, up to the end of the connection. Answers to pings
// and the close frame take their place in the same order.
//
// Back-pressure, outwards: Write tries the socket once and never waits. What
// the socket does not take is copied to the connection's backlog, which a
// flusher goroutine empties; it lives only as long as there is a backlog. When
// the backlog would pass [Options.Backlog] the connection is cut with 4408.
// WriteWait waits for the backlog to drain instead, for bulk such as history.
// When all backlogs together would pass [Options.Budget], the largest are cut
// with 4408, one after the other until they fit; endpoints can share a [Budget].
// Beside the backlog the kernel keeps what is on its way to the client, and on
// Linux about 128 KiB that is not: without that bound it keeps megabytes.
//
// Back-pressure, inwards: the handler is called by the reader, so while
// Handler.Message runs nothing more is read and the client's own sends fill up.
// Pings and the peer's close wait as long, and the keepalive leaves the
// connection alone meanwhile.
//
// Ownership: a run given to Write belongs to the caller, is never changed and
// never kept, so one run may be written to many connections at once. Bytes
// given to Handler.Message belong to the package and are valid only during
// the call.
//
// Isolation: a panic in a handler closes its own connection with 1011.
//
// # Cost
//
// A connection at rest is one parked goroutine without a buffer and a Conn of
// 208 bytes: 5.2 KB of resident memory behind net/http on 64-bit Linux, before
// its first message and after, because a stack that a handler has made grow is
// given back within 2 s (go test -bench Idle). At rest it has no timer: one
// goroutine per Options, running while there are connections, looks after pings
// and unfinished messages. TLS over a bare socket does the same and costs
// 13.4 KB, most of it that of crypto/tls. Other connections (net.Pipe, wrapped
// ones) hold a small read buffer and the stack they have; all writes of these,
// and of TLS, go through the flusher. A wrapper that is only needed until the
// upgrade may have a method Unwatched() net.Conn returning the socket: Open then
// takes that.
package websocket
