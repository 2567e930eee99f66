package websocket

import (
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// source waits for bytes of a connection. What next returns is valid until
// release, and nothing is held in between but what waiting takes.
type source interface {
	next() ([]byte, error)
	release()
}

// run is the reader. When a handler panics, or ends the goroutine, another
// goroutine takes the connection to its end.
func (c *Conn) run() {
	returned := false
	defer func() {
		if returned {
			return
		}
		if v := recover(); v != nil {
			c.logPanic(v)
		}
		c.fail(codePanic, "internal error")
		c.hs, c.in = nil, nil
		go c.run()
	}()
	over := c.read()
	returned = true
	if over {
		c.finish()
		return
	}
	c.deep, c.talked = false, false
	go c.run()
}

// read hands over messages until there is nothing more to expect, or until it
// is better to go on with a fresh goroutine.
func (c *Conn) read() (over bool) {
	if c.hs != nil {
		early := c.hs.early
		c.hs = nil
		if c.take(early) {
			return true
		}
	}
	from := c.source()
	for {
		b, err := from.next()
		if c.waiting && errors.Is(err, os.ErrDeadlineExceeded) && c.state.Load() != stateDead {
			from.release()
			if c.waited() {
				return false
			}
			continue
		}
		if err != nil || c.state.Load() == stateDead {
			from.release()
			return true
		}
		c.seen.Store(c.o.wheel.now.Load())
		done := c.take(b)
		from.release()
		if done {
			return true
		}
	}
}

// quiet is how long a goroutine that has called the handler waits for more. The
// handler may have made its stack grow, and it would stay so: thousands of
// people who said something once would hold several kilobytes each. After quiet
// a fresh goroutine waits in its place.
const quiet = time.Second

// limitWait makes sure that a goroutine with a grown stack does not wait long.
// It is for sources whose connection survives the timeout of a read.
func (c *Conn) limitWait() {
	if c.deep && !c.waiting {
		c.waiting = true
		_ = c.nc.SetReadDeadline(time.Now().Add(quiet))
	}
}

// waited is called when that time is over, and says whether nothing came in it.
func (c *Conn) waited() bool {
	c.waiting = false
	_ = c.nc.SetReadDeadline(time.Time{})
	silent := c.deep && !c.talked
	c.talked, c.dry = false, silent
	return silent
}

// take feeds what has come to the parser and reports whether reading is over.
func (c *Conn) take(b []byte) (done bool) {
	if c.state.Load() == stateFailed {
		return false
	}
	in, err := parse(c.o, c.in, b, c)
	if err == nil {
		if in != c.in {
			c.in = in
			began := uint32(0)
			if in != nil {
				began = c.o.wheel.now.Load()
			}
			c.began.Store(began)
		}
		return false
	}
	c.in = nil
	c.began.Store(0)
	var why *closeError
	if !errors.As(err, &why) {
		why = &closeError{code: codePanic}
	}
	if why.peer {
		c.answerClose(why)
		return true
	}
	if c.state.Load() != stateOpen {
		return true // a mistake while saying goodbye
	}
	c.fail(why.code, why.reason)
	return false
}

// message implements sink.
func (c *Conn) message(op Opcode, p []byte) {
	if c.state.Load() != stateOpen {
		return
	}
	if c.began.Load() != 0 {
		c.began.Store(0) // this one is finished
	}
	c.seen.Store(seenReading)
	c.deep = true
	c.h.Message(op, p)
	c.talked = true
	c.seen.Store(c.o.wheel.now.Load())
}

// control implements sink.
func (c *Conn) control(op Opcode, p []byte) error {
	if op == OpClose {
		return parseClose(p)
	}
	second := uint32(time.Since(c.o.wheel.start) / time.Second)
	if second != c.ctlSecond {
		c.ctlSecond, c.ctlCount = second, 0
	}
	if c.ctlCount++; int(c.ctlCount) > c.o.MaxPings {
		return &closeError{code: codeTooManyPing, reason: "too many pings; retry_ms=1000"}
	}
	if op == OpPing {
		var pong [2 + maxControl]byte
		_ = c.Write(AppendFrame(pong[:0], OpPong, p)) // an end shows on the next read
	}
	return nil
}

// source chooses how to wait.
func (c *Conn) source() source {
	if c.fd >= 0 {
		if raw, err := c.nc.(syscall.Conn).SyscallConn(); err == nil {
			s := &rawSource{c: c, raw: raw}
			s.try = s.tryRead
			return s
		}
	}
	if s := c.tlsSource(); s != nil {
		return s
	}
	return &plainSource{c: c}
}

// rawSource waits for the socket to become readable without a buffer.
type rawSource struct {
	c   *Conn
	raw syscall.RawConn
	try func(fd uintptr) bool // tryRead, bound once
	buf *readBuffer
	n   int
	err error
}

func (s *rawSource) next() ([]byte, error) {
	s.c.limitWait()
	if err := s.raw.Read(s.try); err != nil {
		return nil, err
	}
	if s.n == 0 && s.err == nil {
		s.err = io.EOF
	}
	if s.err != nil {
		return nil, s.err
	}
	return s.buf[:s.n], nil
}

// tryRead borrows a buffer and keeps it only if there was something to read.
func (s *rawSource) tryRead(fd uintptr) bool {
	s.buf = s.c.o.buffers.Get().(*readBuffer)
	var ok bool
	s.n, ok, s.err = tryRead(fd, s.buf[:])
	if !ok {
		s.release()
	}
	return ok
}

func (s *rawSource) release() {
	if s.buf != nil {
		s.c.o.buffers.Put(s.buf)
		s.buf = nil
	}
}

// plainSource reads with a small buffer of its own, and with a borrowed one
// in the middle of a message.
type plainSource struct {
	c     *Conn
	small [256]byte
	buf   *readBuffer
}

func (s *plainSource) next() ([]byte, error) {
	b := s.small[:]
	if s.c.in != nil {
		s.buf = s.c.o.buffers.Get().(*readBuffer)
		b = s.buf[:]
	}
	n, err := s.c.nc.Read(b)
	if n > 0 {
		return b[:n], nil // an error will be there again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return nil, err
}

func (s *plainSource) release() {
	if s.buf != nil {
		s.c.o.buffers.Put(s.buf)
		s.buf = nil
	}
}
