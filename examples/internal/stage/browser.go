package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/internal/parts"
)

// Browser is a WebSocket of a page that comes from the server itself. Its
// methods belong to the test's goroutine.
type Browser struct {
	t      testing.TB
	ws     *websocket.Conn
	frames chan string // closed at the end of the socket
}

// Dial opens a socket. It ends with the test.
func Dial(t testing.TB, address, path string) *Browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), parts.Patience)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://"+address+path, &websocket.DialOptions{
		HTTPHeader: http.Header{"Origin": {"http://" + address}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{t: t, ws: ws, frames: make(chan string, 1000)}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(b.frames)
		for {
			_, text, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			b.frames <- string(text)
		}
	})
	t.Cleanup(func() {
		_ = ws.CloseNow() // it may have ended
		reader.Wait()
	})
	return b
}

// Leave ends the socket, as a page that is closed.
func (b *Browser) Leave() {
	b.t.Helper()
	if err := b.ws.CloseNow(); err != nil {
		b.t.Fatal(err)
	}
}

// Say sends a text frame.
func (b *Browser) Say(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), parts.Patience)
	defer cancel()
	if err := b.ws.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
		b.t.Fatal(err)
	}
}

// SayMessage says {"message": text}.
func (b *Browser) SayMessage(text string) {
	b.t.Helper()
	frame, err := json.Marshal(map[string]string{"message": text})
	if err != nil {
		b.t.Fatal(err)
	}
	b.Say(string(frame))
}

// Hears checks that the next frame is this text.
func (b *Browser) Hears(want string) {
	b.t.Helper()
	got, err := b.next(parts.Patience)
	if err != nil || got != want {
		b.t.Fatalf("heard %q, %v, want %q", got, err, want)
	}
}

// HearsMessage checks that the next frame has this message in it.
func (b *Browser) HearsMessage(want string) {
	b.t.Helper()
	if got := b.message(); got != want {
		b.t.Fatalf("heard %q, want %q", got, want)
	}
}

// Meet waits until what a says reaches b, however long it takes that both are
// known to each other's server, and has both hear everything until then.
func (b *Browser) Meet(a *Browser) {
	b.t.Helper()
	n := 0
	parts.Eventually(b.t, "one hears the other", func() bool {
		n++
		a.SayMessage(fmt.Sprint("are you there? ", n))
		_, err := b.next(100 * time.Millisecond)
		return err == nil
	})
	a.SayMessage("there you are")
	for _, c := range []*Browser{a, b} {
		for c.message() != "there you are" {
		}
	}
}

func (b *Browser) message() string {
	b.t.Helper()
	frame, err := b.next(parts.Patience)
	if err != nil {
		b.t.Fatal(err)
	}
	var m struct{ Message string }
	if err := json.Unmarshal([]byte(frame), &m); err != nil {
		b.t.Fatalf("heard %q: %v", frame, err)
	}
	return m.Message
}

// next waits for a frame.
func (b *Browser) next(patience time.Duration) (string, error) {
	select {
	case frame, ok := <-b.frames:
		if !ok {
			return "", fmt.Errorf("the socket has ended")
		}
		return frame, nil
	case <-time.After(patience):
		return "", fmt.Errorf("no frame within %v", patience)
	}
}
