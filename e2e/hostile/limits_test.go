package hostile_test

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

const subprotocol = "Sec-WebSocket-Protocol: " + wire.Subprotocol

// enterFrom opens a rich socket from an address of its own and says hello. When
// handshakes come too fast it waits as long as it is told, and says so.
func enterFrom(t *testing.T, s *site, local, token string) (*guest.Guest, error) {
	t.Helper()
	for {
		c, err := socket.DialFrom(local, s.Address, "/ws", subprotocol)
		var refused *socket.Refused
		if errors.As(err, &refused) && refused.Header.Get("Retry-After") == "1" {
			time.Sleep(time.Second) // what it was told
			continue
		}
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = c.Close() })
		g := &guest.Guest{Conn: c}
		if err := g.Say("", wire.Hello{Token: token}); err != nil {
			return nil, err
		}
		g.Welcome, err = guest.Await[wire.Welcome](g)
		return g, err
	}
}

func TestRatesAreRefusedWithATimeToComeBack(t *testing.T) {
	s := besiege(t)
	s.row(t, "posts over the rate are refused and can be repeated", func(t *testing.T) {
		g := s.in(t, "hasty")
		refused := map[string]int64{}
		for i := range 40 {
			if err := g.Say("", wire.Post{Room: "hasty", Nonce: fmt.Sprint(i), Text: "x"}); err != nil {
				t.Fatal(err)
			}
		}
		stored := 0
		for stored+len(refused) < 40 {
			f, err := g.Next(socket.Patience)
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case wire.MessageFrame:
				stored++
			case wire.ErrorFrame:
				if f.Code != wire.CodeRateLimited || f.RetryMS <= 0 || f.Nonce == "" || f.Room != "hasty" {
					t.Fatalf("got %+v", f)
				}
				refused[f.Nonce] = f.RetryMS
			}
		}
		if stored < 20 || len(refused) == 0 {
			t.Fatalf("%d stored, %d refused", stored, len(refused))
		}
		for nonce, ms := range refused {
			time.Sleep(time.Duration(ms) * time.Millisecond) // what it was told
			if _, again, err := g.Post(wire.Post{Room: "hasty", Nonce: nonce, Text: "x"}); err != nil || again {
				t.Fatalf("repeated: again %v, %v", again, err)
			}
			break
		}
	})
}

func TestCommandsOverTheRateCloseTheSocketInTheEnd(t *testing.T) {
	s := besiege(t)
	s.row(t, "commands over the rate are refused, and then the socket", func(t *testing.T) {
		g := s.in(t, "hasty")
		for range 400 {
			if g.Say("", wire.Ping{}) != nil {
				break // closed already
			}
		}
		pongs, errs := 0, 0
		for {
			f, err := g.Next(socket.Patience)
			var closed *socket.Close
			if errors.As(err, &closed) {
				if closed.Code != wire.CloseRateLimited {
					t.Errorf("%v, want 4429", closed)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch f := f.(type) {
			case wire.Pong:
				pongs++
			case wire.ErrorFrame:
				if errs++; f.Code != wire.CodeRateLimited || f.RetryMS <= 0 {
					t.Fatalf("got %+v", f)
				}
			}
		}
		if pongs < 100 || errs < 100 {
			t.Errorf("%d pongs, %d errors", pongs, errs)
		}
	})
}

func TestRoomsMadeByOneAddressAreLimited(t *testing.T) {
	s := besiege(t)
	g, err := enterFrom(t, s, "127.0.0.81", "")
	if err != nil {
		t.Fatal(err)
	}
	s.row(t, "more rooms than a minute may have", func(t *testing.T) {
		for i := range 30 {
			room := fmt.Sprint("made ", i)
			if _, _, err := g.Join(wire.Join{Room: room}); err != nil {
				t.Fatal(err)
			}
			_, _, err := g.Post(wire.Post{Room: room, Nonce: "n", Text: "first"})
			var mistake *guest.Mistake
			if errors.As(err, &mistake) {
				if mistake.Code != wire.CodeRateLimited || mistake.RetryMS <= 0 || i < 5 {
					t.Errorf("room %d: %+v", i, mistake.ErrorFrame)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Error("30 rooms were made in a moment")
	})
}

func TestSocketsAreLimited(t *testing.T) {
	t.Parallel()
	s := besiege(t)
	s.row(t, "sockets of one person", func(t *testing.T) {
		first, err := enterFrom(t, s, "127.0.0.82", "")
		if err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 40; i++ {
			_, err := enterFrom(t, s, "127.0.0.82", first.Welcome.Token)
			var closed *socket.Close
			if errors.As(err, &closed) {
				if closed.Code != wire.CloseRateLimited || i != 20 {
					t.Errorf("socket %d: %v", i+1, closed)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Error("40 sockets of one person were taken")
	})
	s.row(t, "sockets of one address", func(t *testing.T) {
		for i := range 200 {
			_, err := enterFrom(t, s, "127.0.0.83", "")
			var refused *socket.Refused
			if errors.As(err, &refused) {
				wait, waitErr := strconv.Atoi(refused.Header.Get("Retry-After"))
				if refused.Status != http.StatusTooManyRequests || waitErr != nil || wait < 1 || i != 100 {
					t.Errorf("socket %d: %d, Retry-After %d, %v", i+1, refused.Status, wait, waitErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		t.Error("200 sockets of one address were taken")
	})
}
