package hostile_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// drip writes a byte a second until the connection ends.
func drip(w io.Writer, from string) {
	for i := range len(from) {
		if _, err := io.WriteString(w, from[i:i+1]); err != nil {
			return
		}
		time.Sleep(time.Second) // the row is about this
	}
}

// TestSlowPeers takes as long as the longest of the server's timeouts, 60 s: all
// rows run at once, and so does the talk of the two who must not notice.
func TestSlowPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	s := besiege(t)
	rows := []struct {
		name string
		run  func(*site) error
	}{
		{"H31 a header at a byte a second is cut after 5 s", slowHeader},
		{"H32 a body at a byte a second is cut after 30 s", slowBody},
		{"W65 a message that is never finished", neverFinished},
		{"W73 a frame at a byte a second", slowFrame},
		{"W72 no pong", noPong},
		{"A93 no hello", noHello},
	}
	ended := make([]error, len(rows))
	var running sync.WaitGroup
	for i, r := range rows {
		running.Go(func() { ended[i] = r.run(s) })
	}
	all := make(chan struct{})
	go func() {
		defer close(all)
		running.Wait()
	}()
	defer func() { <-all }()
	for waiting := true; waiting; {
		select {
		case <-all:
			waiting = false
		case <-time.After(time.Second):
		}
		s.unharmed(t)
	}
	for i, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			if ended[i] != nil {
				t.Error(ended[i])
			}
		})
	}
}

func slowHeader(s *site) error {
	return cutWithin(s, "GET / HTTP/1.1\r\nHost: "+s.Address+"\r\nX-Slow: ", 5*time.Second, 15*time.Second)
}

func slowBody(s *site) error {
	return cutWithin(s, "POST /api/rooms/lobby/messages HTTP/1.1\r\nHost: "+s.Address+"\r\nContent-Length: 100\r\n\r\n",
		30*time.Second, 45*time.Second)
}

// cutWithin sends the beginning of a request and then a byte a second. The
// server must end it in time, with 408, 400 or no answer.
func cutWithin(s *site, begin string, least, most time.Duration) error {
	nc, err := net.Dial("tcp", s.Address)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(nc, begin); err != nil {
		return err
	}
	start := time.Now()
	var dripping sync.WaitGroup
	dripping.Go(func() { drip(nc, strings.Repeat("x", 90)) })
	defer dripping.Wait()
	defer nc.Close()
	if err := nc.SetReadDeadline(start.Add(most)); err != nil {
		return err
	}
	answer, err := io.ReadAll(nc)
	if took := time.Since(start); took >= most || took < least-time.Second {
		return fmt.Errorf("cut after %v, %w; want %v", took, err, least)
	}
	if got := string(answer); got != "" && !strings.HasPrefix(got, "HTTP/1.1 408") && !strings.HasPrefix(got, "HTTP/1.1 400") {
		return fmt.Errorf("answered %q", got)
	}
	return nil
}

func neverFinished(s *site) error {
	c, err := socket.Dial(s.Address, "/ws/chat/slow/")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Send(frame(socket.Text, `{"message":`)); err != nil {
		return err
	}
	return closesWith(c, 1008, 75*time.Second)
}

func slowFrame(s *site) error {
	c, err := socket.Dial(s.Address, "/ws/chat/slow/")
	if err != nil {
		return err
	}
	var dripping sync.WaitGroup
	dripping.Go(func() { drip(c.Conn, string(frame(text, plain(strings.Repeat("x", 200))))) })
	defer dripping.Wait()
	defer c.Close()
	return closesWith(c, 1008, 75*time.Second)
}

func noPong(s *site) error {
	c, err := socket.Dial(s.Address, "/ws/chat/slow/")
	if err != nil {
		return err
	}
	defer c.Close()
	c.Silent = true
	_, err = c.AwaitClose(45 * time.Second)
	return err
}

func noHello(s *site) error {
	g, err := guest.Dial(s.Address)
	if err != nil {
		return err
	}
	defer g.Close()
	return closesWith(g.Conn, 4401, 25*time.Second)
}

// closesWith waits for the server to close with a code.
func closesWith(c *socket.Conn, code int, within time.Duration) error {
	closed, err := c.AwaitClose(within)
	if err == nil && closed.Code != code {
		err = fmt.Errorf("%w; want %d", closed, code)
	}
	return err
}

// narrow dials with the smallest buffer, so that little is in flight.
func narrow(t *testing.T, s *site, room string) *guest.Guest {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if control := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		}); control != nil {
			return control
		}
		return err
	}}
	nc, err := d.Dial("tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	c, err := socket.Upgrade(nc, socket.Request(s.Address, "/ws", subprotocol))
	if err != nil {
		t.Fatal(err)
	}
	g := &guest.Guest{Conn: c}
	if err := g.Say("", wire.Hello{}); err != nil {
		t.Fatal(err)
	}
	if g.Welcome, err = guest.Await[wire.Welcome](g); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Join(wire.Join{Room: room}); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestASlowConsumerIsCutAndResumesWithoutLoss is W74 and F9: what waits for one
// who does not read is bounded, the room goes on, and who was cut comes back to
// everything that was missed.
func TestASlowConsumerIsCutAndResumesWithoutLoss(t *testing.T) {
	t.Parallel()
	s := besiege(t, "--limits", "off")
	const room, flood = "torrent", 450 // messages of 24 KB: more than any buffer
	s.memory = s.RSS(t)
	never, slowly, speaker := narrow(t, s, room), narrow(t, s, room), s.in(t, room)
	done := make(chan struct{})
	var cut *socket.Close
	var held int64
	go func() {
		defer close(done)
		cut, held = readSlowly(slowly)
	}()
	for i := range flood {
		post := wire.Post{Room: room, Nonce: fmt.Sprint(i), Text: fmt.Sprint(i, strings.Repeat("茶", 7990))}
		if seq, _, err := speaker.Post(post); err != nil || seq != int64(i+1) {
			t.Fatalf("message %d of the others: seq %d, %v", i, seq, err)
		}
	}
	<-done
	if cut == nil || cut.Code != wire.CloseTooSlow || held == flood {
		t.Errorf("who reads slowly: %v after %d messages, want 4408", cut, held)
	}
	wantRest(t, s, room, held, flood)
	cut, held = readAll(never)
	if cut == nil || cut.Code != wire.CloseTooSlow && cut.Code != 1006 || held == flood {
		t.Errorf("who never reads: %v after %d messages, want an end", cut, held)
	}
	wantRest(t, s, room, held, flood)
	s.unharmed(t)
}

// readSlowly reads 50 messages a second, until the server closes or a message
// is not the next one.
func readSlowly(g *guest.Guest) (cut *socket.Close, held int64) {
	return read(g, func() { time.Sleep(20 * time.Millisecond) }) // the row is about this
}

func readAll(g *guest.Guest) (cut *socket.Close, held int64) { return read(g, func() {}) }

func read(g *guest.Guest, pause func()) (cut *socket.Close, held int64) {
	for {
		f, err := g.Next(socket.Patience)
		if closed, ok := err.(*socket.Close); ok {
			return closed, held
		}
		if err != nil {
			return nil, held
		}
		if m, ok := f.(wire.MessageFrame); ok {
			if m.Seq != held+1 {
				return &socket.Close{Code: -1, Reason: fmt.Sprintf("message %d came after %d", m.Seq, held)}, held
			}
			held = m.Seq
			pause()
		}
	}
}

// wantRest resumes after a position and fails unless everything after it comes.
func wantRest(t *testing.T, s *site, room string, held, last int64) {
	t.Helper()
	g := s.enter(t)
	joined, all, err := g.Join(wire.Join{Room: room, After: &held, Epoch: g.Welcome.Epoch})
	if err != nil || joined.Reset || joined.Last != last || int64(len(all)) != last-held {
		t.Fatalf("resumed after %d: %d messages, reset %v, %v", held, len(all), joined.Reset, err)
	}
	for i, m := range all {
		if m.Seq != held+int64(i)+1 || !strings.HasPrefix(m.Text, fmt.Sprint(m.Seq-1, "茶")) {
			t.Fatalf("message %d is number %d, %.20q", i, m.Seq, m.Text)
		}
	}
}

func TestManyConnectionsThatSayNothing(t *testing.T) {
	t.Parallel()
	s := besiege(t)
	before := s.Files(t)
	s.row(t, "500 connections without a request", func(t *testing.T) {
		var open []net.Conn
		for range 500 {
			nc, err := net.Dial("tcp", s.Address)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, nc)
		}
		s.unharmed(t)
		for _, nc := range open {
			_ = nc.SetReadDeadline(time.Now().Add(socket.Patience))
			if _, err := io.ReadAll(nc); err != nil {
				t.Fatalf("a connection that says nothing stays open: %v", err)
			}
			_ = nc.Close()
		}
	})
	s.row(t, "their files are given back", func(t *testing.T) {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for end := time.Now().Add(socket.Patience); ; {
			res, err := client.Get(s.URL + "/healthz")
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			now := s.Files(t)
			if now <= before+5 {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%d files, %d before", now, before)
			}
		}
	})
}
