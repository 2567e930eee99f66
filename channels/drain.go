package channels

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	finishWithin = time.Second           // for Finish, before its connection is closed all the same
	finishing    = 512                   // connections that finish at the same time
	paceStep     = 10 * time.Millisecond // connections due within it are closed together
)

// Finisher is for consumers with something to finish before Shutdown or Drain of
// their endpoint closes the connection, such as answers that are on their way:
// what is sent before Finish returns goes before the close frame. It never runs at
// the same time as another method, and after it only Disconnect is called. ctx
// ends with the connection, which is closed after a second in any case.
type Finisher interface {
	Finish(ctx context.Context, c *Conn) error
}

// Shutdown refuses new clients with 503, closes all connections with a code and
// a reason each, such as one that says when to come back (nil: none; several
// goroutines may call it at once), and waits for every Disconnect. When ctx ends first, the rest is cut and the error says
// how many they were; their Disconnect follows.
func (e *Endpoint) Shutdown(ctx context.Context, code int, reason func() string) error {
	return e.Drain(ctx, 0, code, reason)
}

// Drain is Shutdown that takes its time: the connections are closed one after
// the other, evenly over the time given, so that whoever serves their clients
// next sees them come in a steady stream. Those not yet closed live on.
func (e *Endpoint) Drain(ctx context.Context, over time.Duration, code int, reason func() string) error {
	e.mu.Lock()
	if !e.closing {
		e.closing = true
		if e.active == 0 {
			close(e.drained)
		}
	}
	conns := e.snapshot()
	e.mu.Unlock()
	e.closeAll(ctx, conns, over, func(c *Conn) {
		text := ""
		if reason != nil {
			text = reason()
		}
		c.Close(code, text)
	})
	select {
	case <-e.drained:
		return nil
	case <-ctx.Done():
	}
	e.mu.Lock()
	conns, left := e.snapshot(), e.active-e.held
	e.mu.Unlock()
	for _, c := range conns {
		c.cancel()
		c.sock.Cut()
	}
	return fmt.Errorf("channels: shutdown with %d connections left: %w", left, ctx.Err())
}

func (e *Endpoint) snapshot() []*Conn {
	conns := make([]*Conn, 0, len(e.conns))
	for c := range e.conns {
		conns = append(conns, c)
	}
	return conns
}

// closeAll closes connections evenly over a time, or until ctx ends.
func (e *Endpoint) closeAll(ctx context.Context, conns []*Conn, over time.Duration, closeConn func(*Conn)) {
	start, turns := time.Now(), make(chan struct{}, finishing)
	for i, c := range conns {
		due := time.Duration(float64(over) * float64(i) / float64(len(conns)))
		if wait := due - time.Since(start); wait > 0 && !sleep(ctx, max(wait, paceStep)) {
			return
		}
		f, finishes := c.consumer.(Finisher)
		if !finishes {
			closeConn(c)
			continue
		}
		select {
		case turns <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if !e.hold(c) {
			<-turns
			continue
		}
		turn := sync.OnceFunc(func() { <-turns })
		go func() { // drained waits for it
			defer e.letGo()
			defer turn()
			c.finishAndClose(f, func() {
				closeConn(c)
				turn() // though its method may go on, the next need not wait for that
			})
		}()
	}
}

// sleep waits, and says whether ctx let it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// hold counts something in that goes on for a connection, as enter does; false
// says that the connection has ended.
func (e *Endpoint) hold(c *Conn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, lives := e.conns[c]
	if lives {
		e.active++
		e.held++
	}
	return lives
}

// letGo ends what hold began.
func (e *Endpoint) letGo() {
	e.mu.Lock()
	e.held--
	e.mu.Unlock()
	e.exit(nil)
}

// finishAndClose lets the consumer finish and closes the connection before
// another of its methods runs; when that takes too long, it is closed first.
func (c *Conn) finishAndClose(f Finisher, closeIt func()) {
	late := time.AfterFunc(finishWithin, closeIt)
	defer late.Stop()
	err := c.consume(func() error {
		defer closeIt()
		if !c.connected || c.closing.Load() {
			return nil
		}
		return f.Finish(c.ctx, c)
	})
	if err != nil {
		c.fail("finish", err)
	}
}
