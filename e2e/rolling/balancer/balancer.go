// Package balancer is a small load balancer for tests: it gives each connection
// to the next of its servers that says it is ready, as HAProxy or nginx do with
// health checks, and looks at what the servers send for frames that must not be.
//
// It counts in bytes and knows no HTTP beyond /readyz. Close ends all connections
// and waits for them.
package balancer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	askEvery  = 50 * time.Millisecond // between looks at /readyz
	askWithin = time.Second
)

// Balancer stands before servers.
type Balancer struct {
	// fixed
	servers  []string // host:port
	listener net.Listener
	ask      http.Client
	cancel   context.CancelFunc
	running  sync.WaitGroup

	errorFrames atomic.Int64
	refused     atomic.Int64

	mu    sync.Mutex
	ready []bool // by server
	next  int    // server to begin with
	conns map[net.Conn]struct{}
	ended bool
}

// New begins to listen and to look at the servers, which need not run.
func New(servers ...string) (*Balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("make a balancer: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Balancer{
		servers: servers, listener: l, cancel: cancel, ready: make([]bool, len(servers)),
		conns: make(map[net.Conn]struct{}),
		ask:   http.Client{Timeout: askWithin, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	for i := range servers {
		b.running.Go(func() { b.watch(ctx, i) })
	}
	b.running.Go(b.accept)
	return b, nil
}

// URL is where clients go.
func (b *Balancer) URL() string { return "http://" + b.listener.Addr().String() }

// ErrorFrames is how many frames of the type "error" the servers have sent.
func (b *Balancer) ErrorFrames() int64 { return b.errorFrames.Load() }

// Refused is how many connections no server took.
func (b *Balancer) Refused() int64 { return b.refused.Load() }

// Ready says how many servers are.
func (b *Balancer) Ready() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(b.ready), func(r bool) bool { return !r }))
}

// Close ends everything.
func (b *Balancer) Close() {
	b.cancel()
	_ = b.listener.Close() // it is only listened to
	b.mu.Lock()
	b.ended = true
	for c := range b.conns {
		_ = c.Close() // both ends are told
	}
	b.mu.Unlock()
	b.running.Wait()
}

// watch keeps an eye on one server.
func (b *Balancer) watch(ctx context.Context, i int) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		ok := b.isReady(ctx, b.servers[i])
		b.mu.Lock()
		b.ready[i] = ok
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *Balancer) isReady(ctx context.Context, server string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := b.ask.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// accept gives each connection a server.
func (b *Balancer) accept() {
	for {
		c, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.running.Go(func() { b.serve(c) })
	}
}

// order is the servers to try: those that are ready, from the next one on.
func (b *Balancer) order() (servers []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	for i := range b.servers {
		if at := (b.next + i) % len(b.servers); b.ready[at] {
			servers = append(servers, b.servers[at])
		}
	}
	return servers
}

func (b *Balancer) serve(client net.Conn) {
	defer b.end(client)
	for _, server := range b.order() {
		s, err := net.DialTimeout("tcp", server, askWithin)
		if err != nil {
			continue // it has gone since it was looked at
		}
		defer b.end(s)
		if b.keep(client, s) {
			b.join(client, s)
		}
		return
	}
	b.refused.Add(1)
	if b.keep(client) {
		_, _ = client.Read(make([]byte, 4<<10)) // an answer before the request would be none
	}
	_, _ = io.WriteString(client, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

// keep remembers connections for Close; false says that it has come before.
func (b *Balancer) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range conns {
		b.conns[c] = struct{}{}
	}
	return !b.ended
}

// join passes bytes on until one side has ended.
func (b *Balancer) join(client, server net.Conn) {
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(server, client) // either end may break
		b.halfClose(server)
	})
	_, _ = io.Copy(client, &inspector{server, b, nil})
	b.halfClose(client)
	up.Wait()
}

// end closes a connection and forgets it.
func (b *Balancer) end(c net.Conn) {
	_ = c.Close() // nobody needs it any more
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.conns, c)
}

func (b *Balancer) halfClose(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite() // it may be broken
	}
}

// errorFrame is how such a frame begins: they are not masked, and not compressed.
var errorFrame = []byte(`{"type":"error"`)

// inspector counts error frames in what a server sends.
type inspector struct {
	server   net.Conn
	balancer *Balancer
	tail     []byte // of what was read before, too short to be one
}

func (i *inspector) Read(p []byte) (int, error) {
	n, err := i.server.Read(p)
	seen := append(i.tail, p[:n]...)
	i.balancer.errorFrames.Add(int64(bytes.Count(seen, errorFrame)))
	i.tail = bytes.Clone(seen[max(0, len(seen)-len(errorFrame)+1):])
	if err != nil && !errors.Is(err, io.EOF) {
		err = io.EOF // how it broke is not of interest
	}
	return n, err
}
