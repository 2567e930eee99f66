package socket_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/socket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLengthsTakeTheirShortestForm(t *testing.T) {
	for _, c := range []struct {
		length uint64
		head   string
	}{
		{0, "8180"}, {125, "81fd"}, {126, "81fe007e"}, {65535, "81feffff"},
		{65536, "81ff0000000000010000"}, {1 << 63, "81ff8000000000000000"},
	} {
		if got := fmt.Sprintf("%x", socket.Header(socket.FIN|socket.Text, c.length)); got != c.head+"37fa213d" {
			t.Errorf("length %d: %s, want %s and the mask", c.length, got, c.head)
		}
	}
}

// serve answers one handshake with what a server says, and then with bytes.
func serve(t *testing.T, answer, bytes string) *socket.Conn {
	t.Helper()
	client, server := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() {
		buffer := make([]byte, 4096)
		if _, err := server.Read(buffer); err != nil {
			return
		}
		_, _ = server.Write([]byte(answer + bytes)) // what comes of it shows at the other end
		for {
			if _, err := server.Read(buffer); err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
		serving.Wait()
	})
	c, err := socket.Upgrade(client, socket.Request("host", "/ws"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

func TestWhatAServerMaySend(t *testing.T) {
	c := serve(t, switching, "\x81\x02hi\x89\x01p\x81\x7e\x00\xc8"+strings.Repeat("x", 200)+"\x88\x0a\x11\x38too slow")
	if got, err := c.ReadText(time.Second); err != nil || got != "hi" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := c.ReadText(time.Second); err != nil || len(got) != 200 {
		t.Errorf("got %q, %v", got, err)
	}
	closed, err := c.AwaitClose(time.Second)
	if err != nil || closed.Code != 4408 || closed.Reason != "too slow" {
		t.Errorf("got %v, %v", closed, err)
	}
}

func TestWhatAServerMayNotSend(t *testing.T) {
	for name, bytes := range map[string]string{
		"a masked frame":        "\x81\x82\x00\x00\x00\x00hi",
		"a fragment":            "\x01\x02hi",
		"a reserved bit":        "\xc1\x02hi",
		"a frame of a gibibyte": "\x82\x7f\x00\x00\x00\x00\x40\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, switching, bytes)
			var closed *socket.Close
			if _, _, err := c.Read(time.Second); !errors.As(err, &closed) || closed.Code != 1006 {
				t.Errorf("got %v", err)
			}
		})
	}
}
