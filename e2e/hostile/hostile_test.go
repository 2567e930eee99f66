// Package hostile sends a real server what nobody should: malformed requests,
// broken frames, nonsense in JSON, deceiving text. Rows are numbered (H1, W44,
// A75, ...) so that each can be found again; each is an example of a rule. After
// every row the process must be alive, two people talking in a room of their
// own must not notice, memory must not have grown, and the log must be clean.
//
// Rows about what this server does not have are not here: passwords and
// accounts, rooms that one may not enter, files, previews, Markdown, and
// permessage-deflate (a deflate bomb cannot be sent where compression is never
// negotiated: its first bit is refused, see W45).
package hostile_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

// site is a server under attack, and two people who must not notice.
type site struct {
	*server.Server
	alice, bob *guest.Guest
	said       int
	memory     int64    // before the row that runs
	secrets    []string // that must not get into the log
}

// witnesses is the room of the two.
const witnesses = "witnesses"

// canary is in tokens and cookies that are sent, and must not be in the log.
const canary = "canary-6c1f0b"

// besiege starts a server and lets the two in.
func besiege(t *testing.T, flags ...string) *site {
	t.Helper()
	s := &site{Server: server.Start(t, append([]string{"--log-level", "debug"}, flags...)...)}
	s.alice, s.bob = s.enter(t), s.enter(t)
	for _, g := range []*guest.Guest{s.alice, s.bob} {
		if _, _, err := g.Join(wire.Join{Room: witnesses}); err != nil {
			t.Fatal(err)
		}
	}
	s.secrets = []string{canary, s.alice.Welcome.Token, s.bob.Welcome.Token}
	s.memory = s.RSS(t)
	return s
}

// enter is a new guest, until the end of the test.
func (s *site) enter(t *testing.T) *guest.Guest {
	t.Helper()
	g, err := guest.Enter(s.Address, wire.Hello{Client: "e2e/1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// in is a new guest who has joined a room.
func (s *site) in(t *testing.T, room string) *guest.Guest {
	t.Helper()
	g := s.enter(t)
	if _, _, err := g.Join(wire.Join{Room: room}); err != nil {
		t.Fatal(err)
	}
	return g
}

// row runs one row and then looks whether anybody noticed.
func (s *site) row(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	s.memory = s.RSS(t)
	t.Run(name, func(t *testing.T) {
		f(t)
		s.unharmed(t)
	})
}

// grown is how much memory a row may cost.
const grown = 32 << 20

func (s *site) unharmed(t *testing.T) {
	t.Helper()
	if !s.Alive() {
		t.Fatal("the server is dead")
	}
	s.talk(t)
	if now := s.RSS(t); now-s.memory > grown {
		t.Errorf("memory grew from %d to %d MiB", s.memory>>20, now>>20)
	}
	log := s.Log()
	for _, secret := range s.secrets {
		if strings.Contains(log, secret) {
			t.Errorf("the secret %s is in the log", secret)
		}
	}
	if i := strings.IndexFunc(log, unprintable); i >= 0 {
		t.Errorf("the log has a control character: %q", log[max(0, i-100):min(len(log), i+20)])
	}
}

// unprintable finds what may drive a terminal: controls, and those that turn
// the direction of text.
func unprintable(r rune) bool {
	return r != '\n' && unicode.IsControl(r) || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069
}

// talk lets one of the two say something and the other hear it, as the next
// thing that is said.
func (s *site) talk(t *testing.T) {
	t.Helper()
	s.said++
	text := fmt.Sprint("all is well, ", s.said)
	seq, _, err := s.alice.Post(wire.Post{Room: witnesses, Nonce: text, Text: text})
	if err != nil {
		t.Fatalf("somebody else cannot talk any more: %v", err)
	}
	heard, err := guest.Await[wire.MessageFrame](s.bob)
	if err != nil || heard.Text != text || heard.Seq != seq || seq != int64(s.said) {
		t.Fatalf("somebody else heard %+v, %v; want %q as number %d", heard, err, text, s.said)
	}
}

// wantClose fails unless the server closes with the code.
func wantClose(t *testing.T, c *socket.Conn, code int) *socket.Close {
	t.Helper()
	closed, err := c.AwaitClose(socket.Patience)
	if err != nil {
		t.Fatalf("the server did not close: %v", err)
	}
	if closed.Code != code {
		t.Errorf("%v; want %d", closed, code)
	}
	return closed
}

// wantAlive fails unless the socket answers a ping of the rich protocol.
func wantAlive(t *testing.T, g *guest.Guest) {
	t.Helper()
	if err := g.Say("still-here", wire.Ping{}); err != nil {
		t.Fatal(err)
	}
	for {
		pong, err := guest.Await[wire.Pong](g)
		if err != nil {
			t.Fatalf("the socket does not answer: %v", err)
		}
		if pong.Ref == "still-here" {
			return
		}
	}
}
