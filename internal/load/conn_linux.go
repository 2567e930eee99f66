package load

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// state is how far a connection is.
type state uint8

const (
	connecting state = iota // until the kernel says it is connected
	upgrading               // until the answer to the handshake
	opening                 // until it has joined
	joined
)

// conn is one connection of one loop, which alone touches it.
type conn struct {
	fd      int
	slot    int // its place in loop.conns
	turn    int32
	state   state
	waiting bool // the kernel is asked to say when it can take more bytes
	stuck   bool // does not read at times (Rate), or once it has joined (Fanout)
	deaf    bool // does not read now
	behind  bool // nor has it caught up since: it may be cut
	apart   bool // is not compared with the others: it has missed something for good

	member Member
	seq    int64  // of the newest delivery; -1 before the first
	chain  uint64 // folds every delivery: members of a room must end with the same
	got    int64  // deliveries
	want   int64  // deliveries with which it has caught up; 0 when nobody waits for that

	in     []byte // beginning of what is not whole yet
	out    []byte // what the kernel has not taken yet
	poster *poster
}

// poster is what a conn that posts has besides.
type poster struct {
	id     uint32
	sent   uint32 // number of the newest post
	most   uint32 // posts in the whole run; 0 is no limit
	heard  uint32 // number of the newest own post that came back
	queued bool   // in loop.ready
}

// start opens the connection's socket; the handshake follows when it is
// connected.
func (l *loop) start(c *conn) error {
	family, to, from := l.run.target.sockaddr(c.member.ID)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	c.fd, c.state = fd, connecting
	err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err == nil && c.stuck {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, kernelBuffer)
	}
	if err == nil && from != nil {
		// The port is chosen when connecting, so that it needs to be free only
		// towards this server.
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1), unix.Bind(fd, from))
	}
	if err == nil {
		if err = unix.Connect(fd, to); errors.Is(err, unix.EINPROGRESS) {
			err = nil
		}
	}
	if err == nil {
		err = l.enter(c)
	}
	if err != nil {
		_ = unix.Close(fd) // the error above is the one that matters
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// enter gives the connection a slot and asks the kernel about it.
func (l *loop) enter(c *conn) error {
	if n := len(l.free); n > 0 {
		c.slot, l.free = l.free[n-1], l.free[:n-1]
	} else {
		c.slot = len(l.conns)
		l.conns = append(l.conns, nil)
	}
	l.turn++
	c.turn = l.turn
	l.conns[c.slot] = c
	c.waiting = true
	return l.watch(unix.EPOLL_CTL_ADD, c, unix.EPOLLIN|unix.EPOLLOUT)
}

func (l *loop) watch(op int, c *conn, events uint32) error {
	e := unix.EpollEvent{Events: events, Fd: int32(c.slot), Pad: c.turn}
	return unix.EpollCtl(l.epoll, op, c.fd, &e)
}

// rewatch asks the kernel anew for what the connection waits for.
func (l *loop) rewatch(c *conn) {
	events := uint32(0)
	if !c.deaf {
		events |= unix.EPOLLIN
	}
	if c.waiting {
		events |= unix.EPOLLOUT
	}
	if err := l.watch(unix.EPOLL_CTL_MOD, c, events); err != nil {
		l.fail(c, "wait for a socket: "+err.Error())
	}
}

// hangUp ends the connection at once, with a reset: so thousands of them leave
// no ports behind that wait.
func (l *loop) hangUp(c *conn) {
	if l.conns[c.slot] != c {
		return
	}
	l.conns[c.slot] = nil
	l.free = append(l.free, c.slot)
	// Both can only fail on a descriptor that is not a socket.
	_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	_ = unix.Close(c.fd)
	if c.state == joined {
		l.run.joined.Add(-1)
	}
	c.in, c.out = nil, nil
}

// fail ends a connection that the server, or the network, ended.
func (l *loop) fail(c *conn, why string) {
	l.hangUp(c)
	if c.behind {
		if c.state == joined {
			l.cut++ // which is what should happen to it
		}
		return // it tries again, see readAgain
	}
	l.trouble(why)
	l.run.failed.Add(1)
	if l.ended != nil {
		l.ended(c)
	}
}

// writable goes on with what waited for the kernel.
func (l *loop) writable(c *conn) {
	if c.state == connecting {
		code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err != nil {
			l.fail(c, "connect: "+err.Error())
			return
		}
		c.state = upgrading
		target, lines := l.run.plan.Protocol.Handshake(&c.member)
		c.out = appendRequest(c.out, l.run.plan.Host, target, lines)
	}
	l.flush(c)
}

// flush gives the kernel what it takes.
func (l *loop) flush(c *conn) {
	for len(c.out) > 0 {
		n, err := unix.Write(c.fd, c.out)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			l.fail(c, "write: "+err.Error())
			return
		}
		c.out = c.out[:copy(c.out, c.out[n:])]
	}
	if len(c.out) == 0 && c.poster == nil {
		c.out = nil // an idle member holds no buffer
	}
	if more := len(c.out) > 0; more != c.waiting {
		c.waiting = more
		l.rewatch(c)
	}
}

// send queues one frame; flush must follow.
func (l *loop) send(c *conn, op byte, payload []byte) {
	c.out = appendFrame(c.out, op, l.random.Uint32(), payload)
}

// readable reads once: what stays in the kernel makes the socket readable again.
func (l *loop) readable(c *conn) {
	held := copy(l.buffer, c.in)
	n, err := unix.Read(c.fd, l.buffer[held:])
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err != nil:
		l.fail(c, "read: "+err.Error())
		return
	case n == 0:
		l.fail(c, "the server hung up without a close frame")
		return
	}
	l.now = l.run.clock()
	rest := l.consume(c, l.buffer[:held+n])
	if l.conns[c.slot] != c {
		return
	}
	switch {
	case len(rest) == 0 && cap(c.in) > 4096:
		c.in = nil
	case len(rest) == len(l.buffer):
		l.fail(c, "a frame larger than the generator's buffer")
		return
	default:
		c.in = append(c.in[:0], rest...)
	}
	if len(c.out) > 0 && !c.waiting {
		l.flush(c)
	}
}

// consume handles all whole frames and returns what is left.
func (l *loop) consume(c *conn, data []byte) (rest []byte) {
	if c.state == upgrading {
		after, err := parseResponse(data, l.run.accept)
		if errors.Is(err, errCut) {
			return data
		}
		if err != nil {
			l.fail(c, err.Error())
			return nil
		}
		data, c.state = after, opening
		for _, f := range l.run.plan.Protocol.Open(&c.member) {
			l.send(c, opText, f)
		}
		if l.run.plan.Protocol.JoinsSilently() {
			l.hasJoined(c)
		}
	}
	for len(data) > 0 && l.conns[c.slot] == c {
		f, after, err := parseFrame(data)
		if errors.Is(err, errCut) {
			break
		}
		if err != nil {
			l.fail(c, err.Error())
			return nil
		}
		data = after
		l.receive(c, f)
	}
	return data
}

// receive handles one frame.
func (l *loop) receive(c *conn, f frame) {
	switch f.op {
	case opText:
		s := &l.seen
		*s = Seen{Deliveries: s.Deliveries[:0]}
		l.run.plan.Protocol.Read(&c.member, f.payload, s)
		l.act(c, s)
	case opPing:
		l.send(c, opPong, f.payload)
	case opPong:
	case opClose:
		l.fail(c, closeText(f.payload))
	default:
		l.fail(c, fmt.Sprintf("a frame with opcode %d", f.op))
	}
}

// act does what a frame asks for.
func (l *loop) act(c *conn, s *Seen) {
	if s.Epoch != "" {
		c.member.Epoch = s.Epoch
	}
	switch {
	case s.Refused == refusedReset && c.behind:
		c.apart = true // too much was missed to be replayed
	case s.Refused != "":
		l.trouble("refused: " + s.Refused)
	}
	if s.Reply != nil {
		l.send(c, opText, s.Reply)
	}
	if s.Joined && c.state == opening {
		if c.seq < 0 {
			c.seq = s.Last
		}
		l.hasJoined(c)
	}
	for _, d := range s.Deliveries {
		l.deliver(c, d)
	}
	if c.want > 0 && c.got >= c.want {
		c.want = 0
		l.caughtUp = append(l.caughtUp, l.now)
		l.run.caughtUp.Add(1)
	}
}

func (l *loop) hasJoined(c *conn) {
	c.state = joined
	l.run.joined.Add(1)
	if c.stuck && c.apart { // for good
		c.deaf, c.behind = true, true
		l.rewatch(c)
	}
	if l.arrived != nil {
		l.arrived(c)
	}
}

// Primes of the chain: any odd numbers with bits all over would do.
const (
	chainStart = 0xcbf29ce484222325
	chainStep  = 0x9e3779b97f4a7c15
)

// deliver checks and counts one message.
func (l *loop) deliver(c *conn, d Delivery) {
	s, ok := readText(d.Text, l.run.plan.Size)
	if !ok {
		l.trouble("wrong: a text that was not posted like this")
		return
	}
	if d.Seq > 0 {
		if c.seq >= 0 && d.Seq != c.seq+1 && !c.apart {
			l.trouble("wrong: a seq that does not follow the one before")
		}
		c.seq = d.Seq
		c.member.After = d.Seq
	}
	c.chain = (c.chain ^ uint64(s.poster)<<32 ^ uint64(s.number)) * chainStep
	c.chain ^= c.chain >> 29
	c.got++
	l.delivered++
	if w := l.window(s.due); w != nil && !c.stuck {
		// Only values beyond two minutes fail, and those are lost by then.
		_ = w.latency.RecordValue(int64(l.now - s.due))
	}
	if p := c.poster; p != nil && p.id == s.poster {
		if s.number != p.heard+1 {
			l.trouble("wrong: a poster's own posts in another order")
		}
		p.heard = s.number
		if l.flight > 0 && !p.queued {
			p.queued = true
			l.ready = append(l.ready, c)
		}
	}
}

// post sends the poster's next text, due at a time on the run's clock.
func (l *loop) post(c *conn, due time.Duration) {
	p := c.poster
	p.sent++
	l.text = appendText(l.text[:0], stamp{poster: p.id, number: p.sent, due: due}, l.run.plan.Size)
	l.frame = l.run.plan.Protocol.AppendPost(l.frame[:0], &c.member, p.sent, l.text)
	l.send(c, opText, l.frame)
	l.posted++
}
