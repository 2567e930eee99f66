package live

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/wire"
)

// Farewell is how the sockets of a stopping server are closed.
type Farewell struct {
	// Over is the time over which they are closed, evenly: who is left goes on
	// meanwhile. The servers that take them over see them come as evenly.
	Over time.Duration

	// Others says that other servers have the same rooms, so that everybody may
	// come back at once. Without them all have to wait for the next process.
	Others bool
}

const (
	aloneSpread  = 5 * time.Second        // over how long clients come back to the next process
	othersSpread = 250 * time.Millisecond // and to other servers; the closing has spread them already
	suddenSpread = 2 * time.Second        // and when it has not
)

// Shutdown is Drain at once, of a server that is alone.
func (s *Server) Shutdown(ctx context.Context) error { return s.Drain(ctx, Farewell{}) }

// Drain refuses new sockets, closes all with 1012 and a time to come back of
// their own, and waits for them; when ctx ends first, the rest is cut. What a
// socket has posted is stored before it is closed, and the acknowledgement goes
// before the close, like all that was said until then: what the client has is
// where it resumes. A store that takes more than a second is not waited for.
func (s *Server) Drain(ctx context.Context, f Farewell) error {
	errs := make(chan error, 2)
	for _, e := range []*channels.Endpoint{s.rich, s.plain} {
		go func() { errs <- e.Drain(ctx, f.Over, wire.CloseRestart, f.reason) }()
	}
	err := <-errs
	if second := <-errs; err == nil {
		err = second
	}
	s.presence.stop()
	s.tails.close()
	return err
}

// reason is the close reason of one socket.
func (f Farewell) reason() string {
	least, spread := 500*time.Millisecond, aloneSpread
	if f.Others {
		least, spread = 50*time.Millisecond, othersSpread
		if f.Over == 0 {
			spread = suddenSpread
		}
	}
	return retryReason("restart", least+rand.N(spread))
}

// Finish implements channels.Finisher: what the socket has posted is answered,
// and what the rooms have heard so far is given to it.
func (r *rich) Finish(ctx context.Context, c *channels.Conn) error {
	answered := make(chan struct{})
	go func() { // ends with the log's answer at the latest
		defer close(answered)
		r.posts.Wait()
	}()
	select {
	case <-answered:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, room := range r.rooms {
		unshown := r.takeUnshown(room)
		if err := c.GroupDiscard(ctx, r.server.groups.of(room)); err != nil {
			return err
		}
		if err := sendAll(c, unshown); err != nil {
			return err
		}
	}
	return nil
}

// Finish implements channels.Finisher: the socket's own message, the last it
// has sent, comes back to it.
func (p *plain) Finish(ctx context.Context, c *channels.Conn) error {
	return c.GroupDiscard(ctx, p.server.groups.of(p.room))
}
