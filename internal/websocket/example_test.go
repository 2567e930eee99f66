package websocket_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/teahouse-chat/teahouse/internal/websocket"
)

// shout answers every message with itself in a new frame.
type shout struct {
	c      *websocket.Conn
	closed chan string
}

func (s shout) Message(op websocket.Opcode, p []byte) {
	_ = s.c.Write(websocket.AppendFrame(nil, op, append(p, '!')))
}

func (s shout) Closed(code int, reason string) {
	s.closed <- fmt.Sprint("closed: ", code, " ", reason)
}

func ExampleBegin() {
	options := new(websocket.Options)
	closed := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Begin(w, r, options)
		if err != nil {
			return // already answered
		}
		_ = c.Write(websocket.AppendFrame(nil, websocket.OpText, []byte("welcome"))) // corked
		if err := c.Open("", nil); err != nil {
			return
		}
		c.Start(shout{c, closed})
	}))
	defer server.Close()

	// A client, as bytes: the handshake, "tea" with a mask of zeros, close 1000.
	nc, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	fmt.Fprint(nc, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"+
		"\x81\x83\x00\x00\x00\x00tea"+"\x88\x85\x00\x00\x00\x00\x03\xe8bye")
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Status)
	rest, _ := io.ReadAll(br)
	fmt.Printf("%q\n", rest)
	fmt.Println(<-closed)

	// Output:
	// 101 Switching Protocols
	// "\x81\awelcome\x81\x04tea!\x88\x02\x03\xe8"
	// closed: 1000 bye
}
