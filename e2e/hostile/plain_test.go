package hostile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// plainIn opens a socket of the plain protocol, until the end of the test.
func (s *site) plainIn(t *testing.T, room string) *socket.Conn {
	t.Helper()
	c, err := socket.Dial(s.Address, "/ws/chat/"+room+"/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wantPlain fails unless the next frame is this message, which nothing but the
// original's form {"message": text} has.
func wantPlain(t *testing.T, c *socket.Conn, text string) {
	t.Helper()
	got, err := c.ReadText(socket.Patience)
	if err != nil {
		t.Fatal(err)
	}
	var m wire.PlainMessage
	if err := json.Unmarshal([]byte(got), &m); err != nil || m.Message != text {
		t.Fatalf("got %.200s, %v; want message %.100q", got, err, text)
	}
}

func plain(text string) string {
	b, err := json.Marshal(map[string]string{"message": text})
	if err != nil {
		panic(err) // a map of strings
	}
	return string(b)
}

// badPlain are frames that are ignored.
var badPlain = []struct {
	name  string
	frame []byte
}{
	{"bad JSON", frame(text, `{"message":`)},
	{"an empty frame", frame(text, ``)},
	{"no message", frame(text, `{"text":"hi"}`)},
	{"an array", frame(text, `["hi"]`)},
	{"a message that is a number", frame(text, `{"message":1}`)},
	{"a message that is an object", frame(text, `{"message":{"$gt":""}}`)},
	{"a message that is null", frame(text, `{"message":null}`)},
	{"an empty message", frame(text, `{"message":""}`)},
	{"a message that does not show", frame(text, `{"message":"\u200b \n"}`)},
	{"a message with NUL", frame(text, `{"message":"a\u0000b"}`)},
	{"a message of 8,001 characters", frame(text, plain(strings.Repeat("茶", 8001)))},
	{"brackets without end", frame(text, strings.Repeat("[", 60_000))},
	{"a key twice", frame(text, `{"message":"a","message":"b"}`)},
	{"a binary frame", frame(socket.FIN|socket.Binary, `{"message":"hi"}`)},
}

func TestBadPlainFramesAreIgnored(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for i, r := range badPlain {
		s.row(t, r.name, func(t *testing.T) {
			room := fmt.Sprint("ignored", i)
			c, other := s.plainIn(t, room), s.plainIn(t, room)
			for range 9 {
				if err := c.Send(r.frame); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.SendText(plain("well")); err != nil {
				t.Fatal(err)
			}
			// The next thing that both see is the good message: nothing else was sent.
			wantPlain(t, c, "well")
			wantPlain(t, other, "well")
		})
		s.row(t, r.name+", ten in a row", func(t *testing.T) {
			room := fmt.Sprint("closed", i)
			c, other := s.plainIn(t, room), s.plainIn(t, room)
			for range 10 {
				if err := c.Send(r.frame); err != nil {
					t.Fatal(err)
				}
			}
			if closed := wantClose(t, c, 1008); closed.Reason == "" {
				t.Error("closed without a reason")
			}
			if err := other.SendText(plain("still here")); err != nil {
				t.Fatal(err)
			}
			wantPlain(t, other, "still here")
		})
	}
	s.row(t, "a good frame starts the count again", func(t *testing.T) {
		c := s.plainIn(t, "counts")
		for i := range 5 {
			for range 9 {
				if err := c.Send(badPlain[i].frame); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.SendText(plain(fmt.Sprint("good ", i))); err != nil {
				t.Fatal(err)
			}
			wantPlain(t, c, fmt.Sprint("good ", i))
		}
	})
}

func TestAPlainSenderOverTheRateIsSlowedDownAndLosesNothing(t *testing.T) {
	t.Parallel()
	s := besiege(t)
	s.row(t, "40 messages at once", func(t *testing.T) {
		c, other := s.plainIn(t, "hasty"), s.plainIn(t, "hasty")
		start := time.Now()
		for i := range 40 {
			if err := c.SendText(plain(fmt.Sprint("hasty ", i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 40 {
			wantPlain(t, c, fmt.Sprint("hasty ", i))
			wantPlain(t, other, fmt.Sprint("hasty ", i))
		}
		// 20 at once and 5 a second from there: the last is due after 4 s.
		if took := time.Since(start); took < 3*time.Second {
			t.Errorf("all were there after %v: the rate is not kept", took)
		}
	})
}
