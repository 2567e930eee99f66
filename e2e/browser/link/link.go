// Package link is the network between a browser and a server in tests: a TCP
// relay that can be cut, held and made to refuse WebSockets while a page is
// open.
//
// A connection whose first line asks for /ws is a socket; every other one is
// plain HTTP. Sockets are relayed frame by frame (RFC 6455, section 5, without
// extensions), so that a test can hold or answer what the page says; HTTP is
// relayed byte by byte. The order of a direction is never changed, and nothing is
// dropped but by a cut, which closes both ends at once, or by Refuse.
package link

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Link relays one listening address to one server.
type Link struct {
	// fixed
	listener net.Listener
	server   string
	work     sync.WaitGroup

	mu       sync.Mutex
	pairs    map[*pair]struct{}
	down     bool          // every connection is refused
	blocked  bool          // sockets are refused
	held     chan struct{} // closed when sockets may go on; nil when they are not held
	refusals []Refusal
	dials    []time.Time // of sockets, also of refused ones
}

// Refusal is an error frame with which the link answers a frame of the page in
// the place of the server, which never sees that frame.
type Refusal struct {
	Type    string // of the frame; "" is "post"
	Code    string
	Message string
	Retry   time.Duration // 0: no use trying again
}

// pair is a connection of the browser and the one to the server behind it.
type pair struct {
	socket          bool
	browser, server net.Conn
	write           sync.Mutex // of whole frames to the browser
}

func (p *pair) close() {
	_ = p.browser.Close() // the other end learns of it; there is nobody else to tell
	if p.server != nil {
		_ = p.server.Close()
	}
}

// New listens on a free port of the loopback address and relays to server, a
// "host:port".
func New(server string) (*Link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the browser: %w", err)
	}
	k := &Link{listener: l, server: server, pairs: make(map[*pair]struct{})}
	k.work.Go(k.accept)
	return k, nil
}

// URL is the base URL for the browser, without a slash at the end.
func (k *Link) URL() string { return "http://" + k.listener.Addr().String() }

// Close cuts everything and waits until nothing is relayed any more.
func (k *Link) Close() {
	_ = k.listener.Close() // ends accept
	k.Release()
	k.Down()
	k.work.Wait()
}

// Down cuts all connections and refuses new ones until Up.
func (k *Link) Down() { k.cut(func() { k.down = true }, func(*pair) bool { return true }) }

// Up lets connections through again.
func (k *Link) Up() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down, k.blocked = false, false
}

// Block cuts the sockets and refuses new ones until Up, as networks do that
// know only HTTP.
func (k *Link) Block() {
	k.cut(func() { k.blocked = true }, func(p *pair) bool { return p.socket })
}

// CutSockets closes the open sockets without a closing handshake.
func (k *Link) CutSockets() { k.cut(func() {}, func(p *pair) bool { return p.socket }) }

func (k *Link) cut(change func(), which func(*pair) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	for p := range k.pairs {
		if which(p) {
			p.close()
		}
	}
}

// Hold keeps every frame of sockets, in both directions, until Release.
func (k *Link) Hold() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = make(chan struct{})
	}
}

// Release sends on what Hold has kept.
func (k *Link) Release() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held != nil {
		close(k.held)
		k.held = nil
	}
}

// Refuse answers the next frames of the refusals' types, one for each refusal and
// in their order.
func (k *Link) Refuse(next ...Refusal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refusals = append(k.refusals, next...)
}

// Dials are the times at which the browser has asked for a socket.
func (k *Link) Dials() []time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]time.Time(nil), k.dials...)
}

// Sockets is the number of open sockets.
func (k *Link) Sockets() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for p := range k.pairs {
		if p.socket {
			n++
		}
	}
	return n
}

func (k *Link) accept() {
	for {
		c, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			k.work.Go(func() { k.serve(c) })
		}
	}
}

func (k *Link) serve(browser net.Conn) {
	p := &pair{browser: browser}
	defer p.close()
	if !k.add(p) {
		return
	}
	defer k.remove(p)
	in := bufio.NewReader(browser)
	first, err := in.ReadString('\n')
	if err != nil || !k.admit(p, strings.HasPrefix(first, "GET /ws")) {
		return
	}
	server, err := net.Dial("tcp", k.server)
	if err != nil || !k.connect(p, server) {
		return
	}
	if _, err := io.WriteString(server, first); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { defer p.close(); k.relay(p, in, server, k.fromPage) })
	both.Go(func() { defer p.close(); k.relay(p, bufio.NewReader(server), browser, k.toPage) })
	both.Wait()
}

// relay copies one direction until an end closes; of a socket, everything behind
// the headers frame by frame through each.
func (k *Link) relay(p *pair, src *bufio.Reader, dst net.Conn, each func(*pair, net.Conn, frame) error) {
	if !p.socket {
		_, _ = io.Copy(dst, src) // an error is the end
		return
	}
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = src.ReadString('\n'); err != nil {
			return
		}
		if _, err := io.WriteString(dst, line); err != nil {
			return
		}
	}
	for {
		f, err := readFrame(src)
		if err != nil {
			return
		}
		k.wait()
		if each(p, dst, f) != nil {
			return
		}
	}
}

func (k *Link) wait() {
	k.mu.Lock()
	held := k.held
	k.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (k *Link) toPage(p *pair, dst net.Conn, f frame) error {
	p.write.Lock()
	defer p.write.Unlock()
	_, err := dst.Write(f.raw)
	return err
}

func (k *Link) fromPage(p *pair, dst net.Conn, f frame) error {
	if answer := k.refusal(f); answer != nil {
		return k.toPage(p, p.browser, frame{raw: textFrame(answer)})
	}
	_, err := dst.Write(f.raw)
	return err
}

// refusal is the error frame for a frame that is to be refused, otherwise nil.
func (k *Link) refusal(f frame) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	var asked struct {
		Type, Ref, Room, Nonce string
	}
	if len(k.refusals) == 0 || json.Unmarshal(f.payload, &asked) != nil {
		return nil
	}
	r := k.refusals[0]
	if r.Type != asked.Type && !(r.Type == "" && asked.Type == "post") {
		return nil
	}
	answer, err := json.Marshal(map[string]any{
		"type": "error", "code": r.Code, "message": r.Message, "retry_ms": r.Retry.Milliseconds(),
		"ref": asked.Ref, "room": asked.Room, "nonce": asked.Nonce,
	})
	if err != nil {
		return nil
	}
	k.refusals = k.refusals[1:]
	return answer
}

func (k *Link) add(p *pair) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.down {
		k.pairs[p] = struct{}{}
	}
	return !k.down
}

func (k *Link) remove(p *pair) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.pairs, p)
}

// admit decides on a connection when its first line is known.
func (k *Link) admit(p *pair, socket bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.socket = socket
	if socket {
		k.dials = append(k.dials, time.Now())
	}
	return !k.down && !(socket && k.blocked)
}

// connect gives p its other end, unless everything has been cut meanwhile.
func (k *Link) connect(p *pair, server net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.server = server
	return !k.down && !(p.socket && k.blocked)
}
