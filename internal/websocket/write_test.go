package websocket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// chain makes frames each of which holds the hash of the one before: loss,
// doubling and reordering all break it.
type chain struct {
	last [32]byte
	rng  *rand.Rand
}

func newChain() *chain { return &chain{rng: rand.New(rand.NewPCG(1, 2))} }

// run returns n frames of changing sizes.
func (ch *chain) run(n int) (run []byte) {
	for range n {
		p := make([]byte, 32+ch.rng.IntN(300))
		copy(p, ch.last[:])
		ch.last = sha256.Sum256(p)
		run = AppendFrame(run, OpBinary, p)
	}
	return run
}

// check reads n frames and verifies the chain.
func (ch *chain) check(t *testing.T, c *client, n int) {
	t.Helper()
	for i := range n {
		op, p, err := c.next()
		if err != nil || op != OpBinary || !bytes.HasPrefix(p, ch.last[:]) {
			t.Fatalf("frame %d of %d: opcode %d, %v, or the chain is broken", i, n, op, err)
		}
		ch.last = sha256.Sum256(p)
	}
}

// narrow makes the kernel's buffers small, so that writes are partial.
func narrow(t *testing.T, c *client, p *peer) {
	t.Helper()
	if err := p.nc.(*net.TCPConn).SetWriteBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	if err := c.Conn.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
}

func TestASlowReaderThatCatchesUpLosesNothing(t *testing.T) {
	s := newServer(t, &Options{Backlog: 64 << 20}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	out, in := newChain(), newChain()
	const rounds, per = 400, 7
	for range rounds {
		run := out.run(per)
		before := bytes.Clone(run)
		if err := p.Write(run); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(run, before) {
			t.Fatal("Write changed its run")
		}
		clear(run) // Write must not have kept it
	}
	if p.Buffered() == 0 {
		t.Fatal("nothing was backlogged: this tests nothing")
	}
	in.check(t, c, rounds*per)
	// The same with runs that are torn inside of frames.
	for range 3 {
		_ = p.Write(out.run(3000))
	}
	in.check(t, c, 9000)
	// Having caught up, it is written to directly again.
	for range 3 {
		_ = p.Write(out.run(1))
		in.check(t, c, 1)
	}
	if n := p.Buffered(); n != 0 {
		t.Errorf("%d bytes still buffered", n)
	}
}

func TestTheBacklogsBoundCutsOneConnectionAndNoOther(t *testing.T) {
	s := newServer(t, &Options{Backlog: 256 << 10}, nil)
	slow, slowPeer := s.connect(t)
	narrow(t, slow, slowPeer)
	other, otherPeer := s.connect(t)
	run := AppendFrame(nil, OpText, bytes.Repeat([]byte("x"), 1000))
	var err error
	writes := 0
	for ; err == nil && writes < 100000; writes++ {
		if n := slowPeer.Buffered(); n > 256<<10 {
			t.Fatalf("%d bytes buffered", n)
		}
		err = slowPeer.Write(run)
		if otherErr := otherPeer.Write(run); otherErr != nil {
			t.Fatal(otherErr)
		}
		other.expect(OpText, string(run[4:]))
	}
	if !errors.Is(err, ErrTooSlow) {
		t.Fatalf("got %v after %d writes", err, writes)
	}
	if err := slowPeer.Write(run); !errors.Is(err, ErrClosed) {
		t.Errorf("a later Write returned %v", err)
	}
	if e := slowPeer.ended(t); e.code != codeTooSlow {
		t.Errorf("Closed was told %v", e)
	}
	other.send(OpText, "fine")
	other.expect(OpText, "fine")
}

func TestWhoseBacklogIsFullIsGoneWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := pipePair(t, &Options{Backlog: 64 << 10}, nil)
		run := AppendFrame(nil, OpText, make([]byte, 1000))
		var err error
		for err == nil {
			err = p.Write(run)
		}
		if !errors.Is(err, ErrTooSlow) {
			t.Fatal(err)
		}
		full := time.Now()
		e := <-p.closed
		if took := time.Since(full); e.code != codeTooSlow || took > time.Second {
			t.Errorf("Closed was told %v after %v", e, took)
		}
		c.Close()
	})
}

func TestAClientThatReadsAgainInTimeIsTold4408BetweenWholeFrames(t *testing.T) {
	for _, readFirst := range []int{0, 1000, 1500, 2000} {
		t.Run(fmt.Sprintf("having read %d frames", readFirst), func(t *testing.T) { told4408(t, readFirst) })
	}
}

func told4408(t *testing.T, readFirst int) {
	s := newServer(t, &Options{Backlog: 256 << 10}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	out, in := newChain(), newChain()
	// Only a run larger than what the kernel takes at once is torn in a frame:
	// by the first write, and again by the flusher after the client has read.
	err := p.Write(out.run(4000))
	in.check(t, c, readFirst)
	for err == nil {
		err = p.Write(out.run(5))
	}
	for {
		op, b, err := c.next()
		if err != nil {
			t.Fatalf("no close frame: %v", err)
		}
		if op == OpClose {
			if code := int(binary.BigEndian.Uint16(b)); code != codeTooSlow {
				t.Fatalf("close %d", code)
			}
			break
		}
		if !bytes.HasPrefix(b, in.last[:]) {
			t.Fatal("the frames before the close are not the first ones")
		}
		in.last = sha256.Sum256(b)
	}
	c.send(OpClose, closePayload(4408, ""))
	c.expectEnd()
	if e := p.ended(t); e.code != codeTooSlow {
		t.Errorf("Closed was told %v", e)
	}
}

func TestWriteWaitNeverCutsAndKeepsOrder(t *testing.T) {
	const bound = 64 << 10
	s := newServer(t, &Options{Backlog: bound}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	out, in := newChain(), newChain()
	const rounds, per = 200, 40
	var writer sync.WaitGroup
	writer.Go(func() {
		for range rounds {
			if err := p.WriteWait(t.Context(), out.run(per)); err != nil {
				t.Error(err)
				return
			}
			if n := p.Buffered(); n > bound {
				t.Errorf("%d bytes buffered", n)
			}
		}
	})
	in.check(t, c, rounds*per)
	writer.Wait()
}

func TestWriteWaitTakesAFrameLargerThanTheBound(t *testing.T) {
	s := newServer(t, &Options{Backlog: 16 << 10}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	big := AppendFrame(nil, OpBinary, make([]byte, 1<<20))
	var writer sync.WaitGroup
	writer.Go(func() {
		for range 3 {
			if err := p.WriteWait(t.Context(), big); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		c.expect(OpBinary, string(make([]byte, 1<<20)))
	}
	writer.Wait()
}

func TestWriteWaitEndsWithItsContextAndWithTheConnection(t *testing.T) {
	s := newServer(t, &Options{Backlog: 16 << 10}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	fill := AppendFrame(nil, OpBinary, make([]byte, 8<<20))
	if err := p.Write(fill); err != nil { // one run is taken whatever its size
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	results := make(chan error)
	go func() { results <- p.WriteWait(ctx, fill) }()
	cancel(why)
	if err := <-results; !errors.Is(err, why) {
		t.Errorf("got %v, want the cause", err)
	}
	go func() { results <- p.WriteWait(t.Context(), fill) }()
	p.Cut()
	if err := <-results; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	p.ended(t)
}

func TestManyWritersLoseNothingOfTheirOwnOrder(t *testing.T) {
	s := newServer(t, &Options{Backlog: 64 << 20}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	const writers, each = 8, 2000
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				b := binary.BigEndian.AppendUint32([]byte{byte(w)}, uint32(i))
				if err := p.Write(AppendFrame(nil, OpBinary, b)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var seen [writers]uint32
	for range writers * each {
		_, b, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if i := binary.BigEndian.Uint32(b[1:]); i != seen[b[0]] {
			t.Fatalf("writer %d: got %d, want %d", b[0], i, seen[b[0]])
		}
		seen[b[0]]++
	}
	all.Wait()
}

func TestAConnectionWithoutDescriptorLosesNothingEither(t *testing.T) {
	c, p := pipePair(t, &Options{Backlog: 64 << 20}, nil)
	out, in := newChain(), newChain()
	for range 100 {
		if err := p.Write(out.run(3)); err != nil {
			t.Fatal(err)
		}
	}
	in.check(t, c, 300)
	c.send(OpText, "echo")
	c.expect(OpText, "echo")
	c.send(OpClose, closePayload(1000, ""))
	c.expectClose(1000)
	p.ended(t)
}

func TestAWriteTimeoutWithoutProgressCutsWith4408(t *testing.T) {
	s := newServer(t, &Options{WriteTimeout: 50 * time.Millisecond, Backlog: 64 << 20}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	if err := p.Write(AppendFrame(nil, OpBinary, make([]byte, 8<<20))); err != nil {
		t.Fatal(err)
	}
	if e := p.ended(t); e.code != codeTooSlow {
		t.Errorf("Closed was told %v", e)
	}
	_, _ = io.Copy(io.Discard, c)
}

// sealed is like a TLS connection: Close may wait to say goodbye on the
// connection inside.
type sealed struct {
	net.Conn
	innerClosed chan struct{}
	t           *testing.T
}

func (s *sealed) NetConn() net.Conn { return innerConn{s.Conn, s.innerClosed} }

func (s *sealed) Close() error {
	select {
	case <-s.innerClosed:
	default:
		s.t.Error("the outer connection was closed first")
	}
	return nil
}

type innerConn struct {
	net.Conn
	closed chan struct{}
}

func (c innerConn) Close() error { close(c.closed); return c.Conn.Close() }

func TestCutDoesNotWaitForAGoodbyeOverTLS(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	c, err := Begin(&pipeWriter{nc: &sealed{ours, make(chan struct{}), t}}, upgradeTo("/"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Open("", nil); err != nil {
		t.Fatal(err)
	}
	p := &peer{Conn: c, closed: make(chan ending, 2)}
	c.Start(p)
	c.Cut()
	p.ended(t)
}
