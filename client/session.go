package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

// maxFrame is the largest frame that is read: a page of history is 256 KiB of
// text, and JSON may spell each of its bytes with six.
const maxFrame = 4 << 20

var errSessionEnded = errors.New("teahouse client: the connection ended")

// session is one connection after its welcome.
type session struct {
	conn   *websocket.Conn
	giveUp context.CancelFunc // ends the session, so that the client comes back; set by serve
	ended  chan struct{}      // closed when nothing more is read
	wg     sync.WaitGroup     // of the session's goroutines

	heard atomic.Bool // a frame came since keepAlive looked
	paced atomic.Bool // the reader waits for Next
}

// open connects and says hello.
func (c *Client) open(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	conn, res, err := websocket.Dial(ctx, c.address, &websocket.DialOptions{
		HTTPClient: c.options.HTTP, HTTPHeader: c.options.Header, Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			seconds, _ := strconv.Atoi(res.Header.Get("Retry-After")) // 0 when it says nothing usable
			return nil, &HandshakeError{Status: res.StatusCode, Retry: time.Duration(seconds) * time.Second}
		}
		return nil, fmt.Errorf("teahouse client: connect: %w", err)
	}
	conn.SetReadLimit(maxFrame)
	s := &session{conn: conn, ended: make(chan struct{})}
	if err := c.sayHello(ctx, s); err != nil {
		_ = conn.CloseNow() // the error above is the one that matters
		return nil, err
	}
	return s, nil
}

// sayHello sends hello and reads the welcome.
func (c *Client) sayHello(ctx context.Context, s *session) error {
	c.mu.Lock()
	hello := wire.Hello{Client: c.options.Name, Locale: c.options.Locale, Token: c.token, Epoch: c.epoch}
	c.mu.Unlock()
	if err := s.write(ctx, "", hello); err != nil {
		return fmt.Errorf("teahouse client: say hello: %w", err)
	}
	for {
		f, err := s.read(ctx)
		if err != nil {
			return fmt.Errorf("teahouse client: wait for the welcome: %w", err)
		}
		if w, ok := f.(wire.Welcome); ok {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.welcome, c.epoch = w, w.Epoch
			if w.Token != "" {
				c.token = w.Token
			}
			return nil
		}
	}
}

// write sends one frame; several goroutines may.
func (s *session) write(ctx context.Context, ref string, f wire.Frame) error {
	ctx, cancel := context.WithTimeout(ctx, writing)
	defer cancel()
	return s.conn.Write(ctx, websocket.MessageText, wire.EncodeRequest(ref, f))
}

// read is the next frame; nil is one of a newer server.
func (s *session) read(ctx context.Context) (wire.Frame, error) {
	_, data, err := s.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	return wire.DecodeServer(data)
}

// exchange sends a request and waits for what comes on got.
func (s *session) exchange(ctx context.Context, ref string, request wire.Frame, got <-chan wire.Frame) (wire.Frame, error) {
	// A write that is cut short by its context ends the connection, so the
	// caller's context is only for the waiting.
	if err := s.write(context.WithoutCancel(ctx), ref, request); err != nil {
		return nil, errSessionEnded
	}
	select {
	case f := <-got:
		return answerOf(f)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ended:
	}
	select {
	case f := <-got: // it came just before the end
		return answerOf(f)
	default:
		return nil, errSessionEnded
	}
}

// answerOf turns an error frame into an error.
func answerOf(f wire.Frame) (wire.Frame, error) {
	if bad, refused := f.(wire.ErrorFrame); refused {
		return nil, refusal(bad)
	}
	return f, nil
}

// serve reads a session until it ends, and returns why.
func (c *Client) serve(s *session) error {
	ctx, cancel := context.WithCancel(c.ctx)
	s.giveUp = cancel
	s.wg.Go(func() { s.keepAlive(ctx) })
	s.wg.Go(func() { c.send(ctx, s) })
	c.rejoin(ctx, s)
	var err error
	for err == nil {
		var f wire.Frame
		if f, err = s.read(ctx); err == nil && f != nil {
			s.heard.Store(true)
			c.handle(s, f)
			c.pace(ctx, s, f)
		}
	}
	c.mu.Lock()
	c.set(nil)
	c.mu.Unlock()
	close(s.ended)
	cancel()
	_ = s.conn.CloseNow() // the error above is the one that matters
	s.wg.Wait()
	return err
}

// pace waits after part of a replay until Next has taken enough of it.
func (c *Client) pace(ctx context.Context, s *session, f wire.Frame) {
	replay, ok := f.(wire.Messages)
	if !ok {
		return
	}
	c.mu.Lock()
	i := slices.IndexFunc(c.rooms, func(r *Room) bool { return r.name == replay.Room })
	var r *Room
	if i >= 0 {
		r = c.rooms[i]
	}
	c.mu.Unlock()
	if r != nil {
		r.awaitSpace(ctx, s)
	}
}

// keepAlive asks for a sign of life when none has come for a while, and ends a
// connection that gives none. A server that sends a long replay answers late.
func (s *session) keepAlive(ctx context.Context) {
	tick := time.NewTicker(silence)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.heard.Swap(false) || s.paced.Load() {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, answer)
		err := s.conn.Ping(ask)
		cancel()
		if err != nil && !s.heard.Load() && !s.paced.Load() {
			_ = s.conn.CloseNow() // ends the reading
			return
		}
	}
}

// rejoin makes a session the current one and asks for every room from where it
// stands; a Join from then on asks by itself. The answers are handled as they come.
func (c *Client) rejoin(ctx context.Context, s *session) {
	type request struct {
		ref  string
		join wire.Join
	}
	var requests []request
	c.mu.Lock()
	c.set(s)
	for _, r := range c.rooms {
		take := r.answered(s)
		ref := c.expect(false, func(f wire.Frame) {
			if bad, refused := f.(wire.ErrorFrame); refused && refusal(bad).passing() {
				s.giveUp() // all rooms are asked for again after a while
				return
			}
			take(f)
		})
		requests = append(requests, request{ref, r.position()})
	}
	c.mu.Unlock()
	s.wg.Go(func() {
		for _, r := range requests {
			if s.write(ctx, r.ref, r.join) != nil {
				return // the reader sees the end too
			}
		}
	})
}

// handle gives a frame to whom it concerns.
func (c *Client) handle(s *session, f wire.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := f.(type) {
	case wire.MessageFrame:
		c.incoming(f.Room, f.Message, false)
	case wire.Messages:
		for _, m := range f.Messages {
			c.incoming(f.Room, m, true)
		}
	case wire.Ack:
		c.answer(f.Nonce, outcome{posted: Posted{Seq: f.Seq, At: f.At.Time}})
	case wire.ErrorFrame:
		switch {
		case f.Nonce != "" && f.Code == wire.CodeNotJoined:
			if c.member(s, f.Room) {
				s.giveUp() // the room is asked for again after a while, and that posts it again
			}
		case f.Nonce != "":
			c.answer(f.Nonce, outcome{err: refusal(f)})
		default:
			c.answered(f.Ref, f)
		}
	case wire.Joined:
		c.answered(f.Ref, f)
	case wire.Left:
		c.answered(f.Ref, f)
	case wire.HistoryPage:
		c.answered(f.Ref, f)
	case wire.Here:
		if f.Ref != "" {
			c.answered(f.Ref, f)
			return
		}
		c.observe(f)
	case wire.Renamed:
		if f.Ref != "" {
			c.answered(f.Ref, f)
		}
		c.observe(f)
	case wire.TypingFrame:
		c.observe(f)
	}
}

// member says whether the server has said on a session that it joined the room,
// which it may have taken back with the refusal of a later join. c.mu is held.
func (c *Client) member(s *session, room string) bool {
	return slices.ContainsFunc(c.rooms, func(r *Room) bool { return r.name == room && r.member == s })
}

// answered gives the answer of a request to who asked. c.mu is held.
func (c *Client) answered(ref string, f wire.Frame) {
	if r, ok := c.asked[ref]; ok {
		delete(c.asked, ref)
		r.do(f)
	}
}

// observe tells of what is best effort, without the lock, so that the observer
// may ask the client things. c.mu is held.
func (c *Client) observe(f wire.Frame) {
	if c.options.Observe == nil {
		return
	}
	c.mu.Unlock()
	defer c.mu.Lock()
	c.options.Observe(f)
}

// incoming handles one message, live or of a replay. c.mu is held.
func (c *Client) incoming(room string, m wire.Message, replay bool) {
	if m.Nonce != "" && m.Author.ID == c.welcome.You.ID {
		c.answer(m.Nonce, outcome{posted: Posted{Seq: m.Seq, At: m.At.Time}})
	}
	for _, r := range c.rooms {
		if r.name == room {
			r.take(m, replay)
		}
	}
}
