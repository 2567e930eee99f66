package websocket

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func TestEveryEndingIsToldOnceWithItsCause(t *testing.T) {
	type end struct {
		name string
		do   func(c *client, p *peer)
		want ending
	}
	abnormal := ending{codeAbnormal, ""}
	ends := []end{
		{"the peer closes", func(c *client, p *peer) { c.send(OpClose, closePayload(1001, "gone")) }, ending{1001, "gone"}},
		{"the peer hangs up", func(c *client, p *peer) { c.Close() }, abnormal},
		{"the peer resets", func(c *client, p *peer) { _ = c.Conn.(*net.TCPConn).SetLinger(0); c.Close() }, abnormal},
		{"the peer stops sending", func(c *client, p *peer) { _ = c.Conn.(*net.TCPConn).CloseWrite() }, abnormal},
		{"the peer stops in the middle of a frame", func(c *client, p *peer) { c.raw([]byte("\x81")); c.Close() }, abnormal},
		{"we close and the peer answers", func(c *client, p *peer) {
			p.Close(4403, "removed")
			c.expectClose(4403)
			c.send(OpClose, closePayload(4403, ""))
		}, ending{4403, "removed"}},
		{"we close and the peer answers with another code", func(c *client, p *peer) {
			p.Close(1012, "retry_ms=5")
			c.expectClose(1012)
			c.send(OpClose, closePayload(1000, "ok"))
		}, ending{1012, "retry_ms=5"}},
		{"we close and the peer only hangs up", func(c *client, p *peer) { p.Close(1000, ""); c.expectClose(1000); c.Close() }, ending{1000, ""}},
		{"we close and the peer answers nonsense", func(c *client, p *peer) {
			p.Close(1000, "")
			c.expectClose(1000)
			c.raw([]byte("\xff\xff"))
		}, ending{1000, ""}},
		{"we close twice", func(c *client, p *peer) { p.Close(4401, "first"); p.Close(4403, "second"); c.Close() }, ending{4401, "first"}},
		{"we cut", func(c *client, p *peer) { p.Cut() }, abnormal},
		{"we close, then cut", func(c *client, p *peer) { p.Close(4409, ""); p.Cut() }, ending{4409, ""}},
		{"both close at once", func(c *client, p *peer) {
			var both sync.WaitGroup
			both.Go(func() { p.Close(1000, "x") })
			c.send(OpClose, closePayload(1000, "x"))
			both.Wait()
		}, ending{1000, "x"}},
		{"a code that must not be sent", func(c *client, p *peer) { p.Close(1006, ""); c.expectClose(1011); c.Close() }, ending{1011, ""}},
	}
	s := newServer(t, &Options{}, nil)
	for _, e := range ends {
		t.Run(e.name, func(t *testing.T) {
			c, p := s.connect(t)
			e.do(c, p)
			if got := p.ended(t); got != e.want {
				t.Errorf("Closed was told %v, want %v", got, e.want)
			}
			if err := p.Write(pingFrame); err != ErrClosed {
				t.Errorf("Write after the end: %v", err)
			}
			p.Close(1000, "late")
			p.Cut()
		})
	}
}

func TestAReasonIsClippedAtACodePoint(t *testing.T) {
	s := newServer(t, &Options{}, nil)
	c, p := s.connect(t)
	p.Close(1000, strings.Repeat("茶", 100))
	if reason := c.expectClose(1000); reason != strings.Repeat("茶", 41) {
		t.Errorf("got %d bytes: %q", len(reason), reason)
	}
}

func TestMessagesAfterOurCloseAreDropped(t *testing.T) {
	s := newServer(t, &Options{}, func(p *peer, _ Opcode, b []byte) {
		if string(b) == "close" {
			p.Close(1000, "")
			return
		}
		t.Errorf("got %q after the close", b)
	})
	c, p := s.connect(t)
	c.raw([]byte(frames(fin|text, "close", fin|text, "one", fin|ping, "")))
	c.expectClose(1000)
	c.raw([]byte(frames(fin|text, "two", fin|clos, closePayload(1000, ""))))
	p.ended(t)
}

func TestAPanicOrGoexitEndsItsOwnConnectionWith1011(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	o := &Options{Logger: slog.New(slog.NewTextHandler(&lockedWriter{mu: &mu, w: &log}, nil))}
	s := newServer(t, o, func(p *peer, op Opcode, b []byte) {
		switch string(b) {
		case "panic":
			panic("spilled tea")
		case "goexit":
			runtime.Goexit()
		}
		_ = p.Write(AppendFrame(nil, op, b))
	})
	other, _ := s.connect(t)
	for _, how := range []string{"panic", "goexit"} {
		c, p := s.connect(t)
		c.raw([]byte(frames(fin|text, how, fin|text, "never")))
		c.expectClose(codePanic)
		c.expectEnd()
		c.Close()
		if e := p.ended(t); e.code != codePanic {
			t.Errorf("%s: Closed was told %v", how, e)
		}
		other.send(OpText, "fine")
		other.expect(OpText, "fine")
	}
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "spilled tea"); n != 1 {
		t.Errorf("the panic is in the log %d times:\n%s", n, &log)
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

func TestAHandlerThatTakesLongDoesNotKeepTheConnectionFromBeingCut(t *testing.T) {
	release := make(chan struct{})
	s := newServer(t, &Options{}, func(*peer, Opcode, []byte) { <-release })
	c, p := s.connect(t)
	c.send(OpText, "wait")
	p.Cut()
	c.expectEnd()
	select {
	case e := <-p.closed:
		t.Errorf("Closed(%v) before Message returned", e)
	default:
	}
	close(release)
	p.ended(t)
}

func TestOverTLSEverythingWorksToo(t *testing.T) {
	connect := newTLSServer(t)
	c, p := connect(direct)
	for _, n := range []int{0, 1, 242, 243, 256, 300, 5000, 64 << 10} {
		c.send(OpBinary, strings.Repeat("x", n))
		c.expect(OpBinary, strings.Repeat("x", n))
	}
	out, in := newChain(), newChain()
	for range 100 {
		_ = p.Write(out.run(50))
	}
	in.check(t, c, 5000)
	p.Close(1000, "")
	c.expectClose(1000)
	c.send(OpClose, closePayload(1000, ""))
	c.expectEnd()
	if e := p.ended(t); e.code != 1000 {
		t.Errorf("Closed was told %v", e)
	}

	c, p = connect(direct)
	c.raw([]byte("\x81\x00"))
	c.expectClose(1002)
	c.Close()
	p.ended(t)

	c, p = connect(direct)
	for range 20 { // the client does not read: the flusher must be torn loose
		_ = p.Write(AppendFrame(nil, OpBinary, make([]byte, 1<<20)))
	}
	p.Cut()
	p.ended(t)
	c.Close()
}

func TestASilentClientIsPingedAndCutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := pipePair(t, &Options{}, nil)
		start := time.Now()
		c.expect(OpPing, "")
		if d := time.Since(start); d < 23*time.Second || d > 25*time.Second {
			t.Errorf("pinged after %v", d)
		}
		e := <-p.closed
		if d := time.Since(start); d < 33*time.Second || d > 35*time.Second {
			t.Errorf("cut after %v", d)
		}
		if e != (ending{codeAbnormal, "no pong"}) {
			t.Errorf("Closed was told %v", e)
		}
		c.Close()
	})
}

func TestAnyByteKeepsAConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := pipePair(t, &Options{}, nil)
		for i := range 20 {
			c.expect(OpPing, "")
			time.Sleep(9 * time.Second)
			if i%2 == 0 {
				c.send(OpPong, "")
				continue
			}
			c.send(OpText, "alive")
			c.expect(OpText, "alive")
		}
		c.send(OpClose, "")
		c.expectClose(codeNoStatus)
		if e := <-p.closed; e.code != codeNoStatus {
			t.Errorf("Closed was told %v", e)
		}
	})
}

func TestABusyHandlerIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := pipePair(t, &Options{}, func(p *peer, op Opcode, b []byte) {
			time.Sleep(10 * time.Minute)
			if p.began.Load() != 0 {
				t.Error("the message still counts as unfinished")
			}
			_ = p.Write(AppendFrame(nil, op, b))
		})
		c.raw([]byte(frames(text, "sl")))
		time.Sleep(20 * time.Second)
		c.raw([]byte(frames(fin|cont, "ow")))
		c.expect(OpText, "slow")
		c.Close()
		<-p.closed
	})
}

func TestAMessageMustBeFinishedInTime(t *testing.T) {
	for _, tc := range []struct{ name, first, more string }{
		{"65 fragments without an end", frames(text, "x"), frames(cont, "x")},
		{"73 a frame at one byte at a time", "\x81\xfe\x10\x00\x00\x00\x00\x00", "x"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := pipePair(t, &Options{}, nil)
				start := time.Now()
				c.raw([]byte(tc.first))
				done := make(chan struct{})
				go func() {
					defer close(done)
					for {
						time.Sleep(time.Second)
						if _, err := io.WriteString(c.Conn, tc.more); err != nil {
							return
						}
					}
				}()
				c.expectClose(codePolicy)
				if d := time.Since(start); d < 58*time.Second || d > 60*time.Second {
					t.Errorf("closed after %v", d)
				}
				if e := <-p.closed; e.code != codePolicy {
					t.Errorf("Closed was told %v", e)
				}
				c.Close()
				<-done
			})
		})
	}
}

func TestAPeerThatDoesNotAnswerOurCloseIsDroppedAfterFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := pipePair(t, &Options{}, nil)
		p.Close(1000, "bye")
		start := time.Now()
		c.expectClose(1000)
		if e := <-p.closed; e != (ending{1000, "bye"}) || time.Since(start) != closeWait {
			t.Errorf("Closed was told %v after %v", e, time.Since(start))
		}
		c.Close()
	})
}

func TestAClientThatNeverReadsIsCutOneSecondAfterItsBacklogIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := pipePair(t, &Options{}, nil)
		start := time.Now()
		for err := error(nil); err == nil; {
			err = p.Write(AppendFrame(nil, OpText, make([]byte, 10000)))
		}
		if e := <-p.closed; e.code != codeTooSlow || time.Since(start) > time.Second {
			t.Errorf("Closed was told %v after %v", e, time.Since(start))
		}
		c.Close()
	})
}

func TestAfterAPauseOfTheWholeProcessClientsStillGetTheirTime(t *testing.T) {
	o := &Options{}
	o.prepare()
	c := &Conn{o: o, corked: true, fd: -1}
	c.seen.Store(1)
	if due := c.visit(1000); due < 1000+10 || c.seen.Load() != seenPinged {
		t.Errorf("after a ping the next visit is at %d", due)
	}
}

func TestNothingIsLeftAfterManyConnections(t *testing.T) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("TEAHOUSE_CONNECTS"), "5000"))
	if err != nil {
		t.Fatal("TEAHOUSE_CONNECTS: ", err)
	}
	if testing.Short() {
		n = 500
	}
	s := newServer(t, &Options{}, nil)
	warm, _ := s.connect(t)
	warm.send(OpText, "x")
	warm.expect(OpText, "x")
	fds, goroutines, before := openFiles(t), runtime.NumGoroutine(), heap()
	var clients sync.WaitGroup
	for k := range 4 {
		clients.Go(func() {
			for i := range n / 4 {
				nc, err := net.Dial("tcp", s.addr())
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(nc, upgradeRequest+"\r\n"+frames(fin|text, "x"))
				_, _ = nc.Read(make([]byte, 512))
				if (i+k)%3 == 0 {
					_ = nc.(*net.TCPConn).SetLinger(0) // no TIME_WAIT left, and an ending of another kind
				}
				nc.Close()
			}
		})
	}
	for range n {
		select {
		case p := <-s.peers:
			p.ended(t)
		case <-time.After(patience):
			t.Fatal("a connection was not accepted")
		}
	}
	clients.Wait()
	for start := time.Now(); openFiles(t) > fds || runtime.NumGoroutine() > goroutines; runtime.Gosched() {
		if time.Since(start) > patience {
			t.Fatalf("descriptors: %d, were %d; goroutines: %d, were %d", openFiles(t), fds, runtime.NumGoroutine(), goroutines)
		}
	}
	grown := heap() - before
	t.Logf("%d connections left %d KiB of heap", n, grown>>10)
	if grown > 1<<20 { // 200 bytes of each of 5,000
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

// openFiles counts the process's descriptors, 0 where that cannot be told.
func openFiles(t *testing.T) int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Logf("descriptors are not checked: %v", err)
	}
	return len(list)
}

func TestAConnIsAsSmallAsThePackageSays(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 208 {
		t.Errorf("a Conn has %d bytes: say so in the package comment if that is meant", size)
	}
	if size := unsafe.Sizeof(rawSource{}); size > 80 {
		t.Errorf("a rawSource has %d bytes", size)
	}
}

func TestWriteWaitBeforeOpenDoesNotWait(t *testing.T) {
	c, err := Begin(httptest.NewRecorder(), upgradeTo("/"), &Options{Backlog: 1000})
	if err != nil {
		t.Fatal(err)
	}
	run := AppendFrame(nil, OpText, make([]byte, 300))
	for err == nil {
		err = c.WriteWait(context.Background(), run)
	}
	if err != ErrTooSlow {
		t.Errorf("got %v", err)
	}
}
