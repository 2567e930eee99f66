package sqlstore_test

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

// fault is what a proxy does to the next COMMIT.
type fault int

const (
	none       fault = iota
	cutBefore        // the server does not get it, both connections end
	cutAfter         // the server does it, its answer is lost, both connections end
	lost             // the server does not get it, the connections stay
	late             // the client's connection ends; the server gets it at deliver
	everything       // cuts all that pass and lets nobody in
)

// proxy stands between a store and a PostgreSQL server.
type proxy struct {
	// fixed
	server   *parts.PostgresServer
	listener net.Listener
	done     sync.WaitGroup

	// guarded by mu
	mu    sync.Mutex
	next  fault
	conns map[net.Conn]bool
	held  func() // delivers a late COMMIT
}

func newProxy(t *testing.T, server *parts.PostgresServer) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: server, listener: l, conns: make(map[net.Conn]bool)}
	p.done.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.set(everything)
		p.done.Wait()
	})
	return p
}

func (p *proxy) url(options string) string {
	return "postgres://" + ordinary + "@" + p.listener.Addr().String() + "/postgres?sslmode=disable&" + options
}

// set arms a fault, or ends one.
func (p *proxy) set(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = f
	if f == everything {
		for c := range p.conns {
			c.Close()
		}
	}
}

// deliver sends the COMMIT that is late.
func (p *proxy) deliver() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held()
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := p.server.Dial()
		p.mu.Lock()
		if err != nil || p.next == everything {
			client.Close()
			if err == nil {
				server.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		answers := make(chan struct{}) // closed when the server's next answer is to be lost
		p.done.Go(func() { p.toServer(client, server, answers) })
		p.done.Go(func() { p.toClient(client, server, answers) })
	}
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}

func (p *proxy) toServer(client, server net.Conn, answers chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 && bytes.Contains(buf[:n], []byte("COMMIT\x00")) {
			p.mu.Lock()
			f := p.next
			if f != everything {
				p.next = none
			}
			message := bytes.Clone(buf[:n])
			if f == late {
				p.held = func() { _, _ = server.Write(message) } // the server may have ended the session
			}
			p.mu.Unlock()
			switch f {
			case cutBefore:
				p.forget(client, server)
				return
			case lost:
				continue
			case cutAfter:
				close(answers)
			case late:
				p.forget(client)
				return
			}
		}
		if n > 0 {
			if _, werr := server.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err != nil {
			p.forget(client, server)
			return
		}
	}
}

func (p *proxy) toClient(client, server net.Conn, answers chan struct{}) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		select {
		case <-answers:
			p.forget(client, server)
			return
		default:
		}
		if n > 0 {
			if _, werr := client.Write(buf[:n]); werr != nil && !errors.Is(werr, net.ErrClosed) {
				err = werr
			}
		}
		if err != nil {
			p.forget(client, server)
			return
		}
	}
}
