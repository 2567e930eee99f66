package redis

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	redigo "github.com/gomodule/redigo/redis"
)

// bufferSize is that of a link's buffers, each way.
const bufferSize = 64 << 10

// command is one, with its arguments.
type command []string

// link is one connection to a server. One goroutine may send while another
// receives; anybody may close it.
type link struct {
	// fixed
	addr   string
	socket *socket
	conn   redigo.Conn // knows the protocol
	closes func()

	// owned by who has borrowed it, or gives it back
	idle time.Time
}

// newLink speaks Redis over a connection. closed is called when it is closed.
func newLink(addr string, nc net.Conn, closed func(*link)) *link {
	s := &socket{Conn: nc, patience: pingAfter + replyTimeout}
	s.in, s.out = bufio.NewReaderSize(timed{s}, bufferSize), bufio.NewWriterSize(timed{s}, bufferSize)
	l := &link{addr: addr, socket: s, conn: redigo.NewConn(s, 0, 0)}
	l.closes = sync.OnceFunc(func() {
		_ = l.conn.Close() // what was lost with it has errors of its own
		closed(l)
	})
	return l
}

func (l *link) close() { l.closes() }

// put writes commands into the buffer.
func (l *link) put(commands []command) error {
	for _, c := range commands {
		args := make([]any, len(c)-1)
		for i := range args {
			args[i] = c[i+1]
		}
		if err := l.conn.Send(c[0], args...); err != nil {
			return lost(err)
		}
	}
	return nil
}

// send sends commands and what is in the buffer.
func (l *link) send(commands ...command) error {
	err := l.put(commands)
	if err == nil {
		err = lost(l.conn.Flush())
	}
	if err == nil {
		err = lost(l.socket.out.Flush())
	}
	return err
}

// receive is the next answer, which may be an error of the server. It fails when
// nothing at all has come for the link's patience.
func (l *link) receive() (any, error) {
	answer, err := l.conn.Receive()
	if told, is := err.(redigo.Error); is {
		return told, nil
	}
	return answer, lost(err)
}

// ask sends commands and receives their answers. Nobody else may use the link
// meanwhile.
func (l *link) ask(patience time.Duration, commands ...command) ([]any, error) {
	whole := l.socket.patience
	l.socket.patience = patience
	defer func() { l.socket.patience = whole }()
	if err := l.send(commands...); err != nil {
		return nil, err
	}
	answers := make([]any, len(commands))
	for i := range answers {
		var err error
		if answers[i], err = l.receive(); err != nil {
			return nil, err
		}
	}
	return answers, nil
}

var errCut = errors.New("the connection was lost")

// lost is the error of a connection.
func lost(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errCut, err)
}

// socket is the connection under redigo, whose own buffers are small: a large
// request would be many writes.
type socket struct {
	net.Conn
	in  *bufio.Reader
	out *bufio.Writer

	// owned by who receives
	patience time.Duration
}

func (s *socket) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *socket) Write(p []byte) (int, error) { return s.out.Write(p) }

// SetReadDeadline does nothing: redigo sets one for each answer, and timed for
// each read.
func (s *socket) SetReadDeadline(time.Time) error { return nil }

// timed bounds each read and each write of a socket.
type timed struct{ of *socket }

func (t timed) Read(p []byte) (int, error) {
	if err := t.of.Conn.SetReadDeadline(time.Now().Add(t.of.patience)); err != nil {
		return 0, err
	}
	return t.of.Conn.Read(p)
}

func (t timed) Write(p []byte) (int, error) {
	if err := t.of.Conn.SetWriteDeadline(time.Now().Add(replyTimeout)); err != nil {
		return 0, err
	}
	return t.of.Conn.Write(p)
}
