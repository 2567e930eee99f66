package websocket

import (
	"crypto/tls"
	"net"
	"syscall"
)

// tlsSource reads a TLS connection over a bare socket. Reading through
// crypto/tls takes more stack than a new goroutine has, and keeps it while it
// waits. So a goroutine that has read that way waits for a limited time, like one
// that has called the handler, and the fresh one after it waits for the socket
// beneath to become readable, on a shallow stack, before it reads.
//
// It may wait there only while crypto/tls holds nothing that could be read
// without the socket. That is so when a read has run into its deadline: such a
// read has used up all whole records, and the rest of one is yet to come. The
// timeout is no lasting error of the connection; one of a write would be.
type tlsSource struct {
	c    *Conn
	raw  syscall.RawConn
	from *plainSource // nil until there is something to read
}

// tlsSource returns nil when nc is something else.
func (c *Conn) tlsSource() *tlsSource {
	under := bare(c.nc)
	if under == c.nc || descriptor(under) < 0 {
		return nil
	}
	raw, err := under.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil
	}
	return &tlsSource{c: c, raw: raw}
}

// bare is the connection beneath TLS, or nc itself.
func bare(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return nc
}

func (s *tlsSource) next() ([]byte, error) {
	if s.c.dry {
		if err := s.raw.Read(readable); err != nil {
			return nil, err
		}
		s.c.dry = false
	}
	if s.from == nil {
		s.from = &plainSource{c: s.c}
	}
	s.c.deep = true
	s.c.limitWait()
	return s.from.next()
}

func (s *tlsSource) release() {
	if s.from != nil {
		s.from.release()
	}
}
