package channels

import "context"

// Consumer is a program's side of one connection. There is one consumer for
// each connection, made by the function given to Handler, and its methods,
// those of the optional interfaces too, never run at once: it needs no lock of
// its own.
//
// An error of Receive or Event ends this connection alone: a *CloseError
// closes it with its code and reason, any other error with 1011, the error
// being logged and the client told nothing. So does a panic. After Close, such an
// error or a panic, neither Receive nor Event is called any more. An error that is
// ErrUnpublished ends nothing: that other processes are out of reach, which the
// layer has counted and logged, shall not close the sockets of this one.
type Consumer interface {
	// Connect decides about a client. nil accepts it, with the first
	// subprotocol both sides know, unless Conn.Accept has been called; an error
	// turns it away: a *Refusal with its status, another error with 500, and
	// with 503 when Connect took longer than Options.ConnectTimeout. Groups can
	// be joined and frames sent already; they follow the handshake.
	//
	// ctx is that of the request with the values middleware put there; it ends
	// when Connect returns. Conn.Context is what outlives it.
	Connect(ctx context.Context, c *Conn) error

	// Receive takes one frame from the client. f.Data is valid only during the
	// call. While it runs nothing further is read, so taking long is how a
	// consumer slows its client down. ctx ends with the connection.
	Receive(ctx context.Context, c *Conn, f Frame) error

	// Disconnect is called exactly once after a Connect that returned nil, as
	// the last method, whatever ended the connection; its groups have been left.
	// code is that of whichever side closed first, 1006 for neither. ctx does
	// not end with the connection.
	Disconnect(ctx context.Context, c *Conn, code int)
}

// Rechecker is for consumers whose client may lose the right to be connected, for
// example by logging out elsewhere. Recheck is called about once in
// Options.RecheckEvery, and never more than twice that after the last time; the
// calls for all connections are spread over that time. It never runs at the same
// time as another method, and an error ends the connection as one of Receive does.
type Rechecker interface {
	Recheck(ctx context.Context, c *Conn) error
}

// Base is a Consumer that accepts everyone and does nothing. Embed it to write
// only the methods that matter.
type Base struct{}

// Connect accepts.
func (Base) Connect(context.Context, *Conn) error { return nil }

// Receive ignores the frame.
func (Base) Receive(context.Context, *Conn, Frame) error { return nil }

// Disconnect does nothing.
func (Base) Disconnect(context.Context, *Conn, int) {}
