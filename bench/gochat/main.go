// Command gochat is two peers of the kind that most Go chats are, over
// github.com/gorilla/websocket.
//
// With -mode hub it has a goroutine per room that owns a map of sockets, and for
// each socket a channel of messages and a goroutine that writes them; whatever
// waits in the channel goes into one frame, separated by line feeds, as the
// well-known example does it.
//
// With -mode loop whoever posts writes the message to each socket of the room,
// one after the other, under the room's lock: the plain loop.
//
// Nothing is stored. GET /ws/{room} joins; the first frame is {"joined"}, and
// each frame of a client goes to everybody as it is.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "address")
	mode := flag.String("mode", "hub", "hub or loop")
	flag.Parse()
	var join func(name string, conn *websocket.Conn)
	switch *mode {
	case "hub":
		join = (&hubs{byName: make(map[string]*hub)}).serve
	case "loop":
		join = (&loops{byName: make(map[string]*loop)}).serve
	default:
		fmt.Fprintln(os.Stderr, "gochat: -mode is hub or loop")
		os.Exit(2)
	}
	// Write buffers come from a pool, as the library advises for many sockets.
	upgrader := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: writeBuffer, WriteBufferPool: new(sync.Pool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws/{room}", func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // Upgrade has answered
		}
		// What follows returns when the socket ends; its error says only that.
		join(r.PathValue("room"), conn)
		_ = conn.Close()
	})
	server := http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintln(os.Stderr, "gochat:", server.ListenAndServe())
	os.Exit(1)
}

// joined is the frame that says so.
var joined = []byte(`{"joined"}`)

const (
	writeWait   = 10 * time.Second
	maxPost     = 16 << 10
	writeBuffer = 64 << 10
)

// readAll gives each text frame to post until the socket ends.
func readAll(conn *websocket.Conn, post func([]byte)) {
	conn.SetReadLimit(maxPost)
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		post(text)
	}
}
