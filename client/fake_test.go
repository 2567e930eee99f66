package client

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits for what comes at once unless there is a bug.
const patience = 20 * time.Second

// fake is a server that does what a test's script says: one step for each
// connection, in order.
type fake struct {
	t      *testing.T
	server *httptest.Server
	steps  chan func(*peer)
}

// peer is one connection of a fake, after hello and welcome.
type peer struct {
	t     *testing.T
	conn  *websocket.Conn
	ctx   context.Context
	hello wire.Hello
}

var you = wire.Person{ID: "me", Name: "Quiet Heron", Tag: "k3f9"}

// script starts a fake. The connection after the last step is refused.
func script(t *testing.T, steps ...func(*peer)) *fake {
	f := &fake{t: t, steps: make(chan func(*peer), len(steps))}
	for _, s := range steps {
		f.steps <- s
	}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	var step func(*peer)
	select {
	case step = <-f.steps:
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "no more steps", http.StatusServiceUnavailable)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		f.t.Errorf("handshake: %v", err)
		return
	}
	defer func() { _ = conn.CloseNow() }()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	p := &peer{t: f.t, conn: conn, ctx: ctx}
	req := p.read()
	hello, ok := req.Frame.(wire.Hello)
	if !ok {
		f.t.Errorf("the first frame is %+v, want hello", req)
		return
	}
	p.hello = hello
	step(p)
}

// welcome answers hello.
func (p *peer) welcome(epoch string) {
	p.send("", wire.Welcome{You: you, Epoch: epoch, Token: "token of me", Server: "teahouse/test"})
}

// send sends one frame under a ref.
func (p *peer) send(ref string, f wire.Frame) {
	if err := p.conn.Write(p.ctx, websocket.MessageText, wire.EncodeRequest(ref, f)); err != nil {
		p.t.Logf("the fake cannot send: %v", err)
	}
}

// read is the next request; nothing when the client has gone.
func (p *peer) read() wire.Request {
	_, data, err := p.conn.Read(p.ctx)
	if err != nil {
		return wire.Request{}
	}
	req, err := wire.Decode(data)
	if err != nil {
		p.t.Errorf("the client sent %s: %v", data, err)
	}
	return req
}

// expectJoin reads a join and checks where it resumes; -1 is nowhere.
func (p *peer) expectJoin(after int64) wire.Request {
	p.t.Helper()
	req := p.read()
	j, ok := req.Frame.(wire.Join)
	got := int64(-1)
	if ok && j.After != nil {
		got = *j.After
	}
	if !ok || got != after {
		p.t.Errorf("the client sent %+v, want a join after %d", req, after)
	}
	return req
}

// joined answers a join whose replay is (after, last].
func (p *peer) joined(req wire.Request, after, last int64) {
	p.send(req.Ref, wire.Joined{Room: "lobby", After: after, Last: last})
	if last > after {
		p.send("", wire.Messages{Room: "lobby", Messages: says(after+1, last)})
	}
}

// live sends messages one by one.
func (p *peer) live(from, to int64) {
	for _, m := range says(from, to) {
		p.send("", wire.MessageFrame{Room: "lobby", Message: m})
	}
}

// gone waits for the client to end the connection.
func (p *peer) gone() {
	for p.read().Frame != nil {
	}
}

// says are messages of somebody else with these numbers.
func says(from, to int64) []wire.Message {
	var all []wire.Message
	for seq := from; seq <= to; seq++ {
		all = append(all, wire.Message{Seq: seq, Author: wire.Person{ID: "other"}, Text: "hi", Nonce: "n"})
	}
	return all
}

// dial connects a client that does not wait between tries.
func (f *fake) dial(o *Options) *Client {
	f.t.Helper()
	if o == nil {
		o = &Options{}
	}
	o.jitter = func(time.Duration) time.Duration { return 0 }
	c, err := Dial(f.t.Context(), f.server.URL, o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// join joins the lobby.
func join(t *testing.T, c *Client, from *From) *Room {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := c.Join(ctx, "Lobby", from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// expect reads messages and checks their numbers.
func expect(t *testing.T, r *Room, from, to int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got, want []int64
	for seq := from; seq <= to; seq++ {
		m, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		got, want = append(got, m.Seq), append(want, seq)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
