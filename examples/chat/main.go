// Command chat is the chat of the Django Channels tutorial in Go: the room at
// /chat/{room}/, its sockets at /ws/chat/{room}/, and a page with the script of
// the original, unchanged.
//
//	go run ./examples/chat
//	go run ./examples/chat -layer redis://localhost:6379   # rooms shared with other processes, also Django's
package main

import (
	"context"
	"embed"
	"flag"
	"log"
	"net/http"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/redis"
)

// Chat is one browser in a room: each connection gets a Chat of its own.
type Chat struct {
	channels.Base // what is not written here: Disconnect does nothing
	group         string
}

// Connect lets everybody in. At the end of the connection its groups are left.
func (chat *Chat) Connect(ctx context.Context, c *channels.Conn) error {
	chat.group = "chat_" + c.Request().PathValue("room")
	return c.GroupAdd(ctx, chat.group)
}

// Receive sends to the room what the browser said.
func (chat *Chat) Receive(ctx context.Context, c *channels.Conn, f channels.Frame) error {
	var said struct{ Message string }
	if err := f.JSON(&said); err != nil {
		return err // not JSON: the connection is closed with 1007
	}
	return c.Layer().GroupSend(ctx, chat.group, channels.Event{
		Type:    "chat.message",
		Payload: map[string]any{"message": said.Message},
	})
}

// message makes the frame for an event, once for everybody in the room.
func message(e channels.Event) (channels.Frame, error) {
	said, _ := e.Payload.(map[string]any)
	return channels.JSONFrame(map[string]any{"message": said["message"]})
}

//go:embed room.html
var pages embed.FS

// site is the page and the socket of all rooms.
func site(layer *channels.Layer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.RedirectHandler("/chat/lobby/", http.StatusFound))
	mux.HandleFunc("GET /chat/{room}/{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, pages, "room.html")
	})
	mux.Handle("/ws/chat/{room}/{$}", channels.Handler(
		func() channels.Consumer { return new(Chat) },
		&channels.Options{
			Layer:  layer,
			Render: map[string]func(channels.Event) (channels.Frame, error){"chat.message": message},
		},
	))
	return mux
}

func main() {
	listen := flag.String("listen", "localhost:8000", "host:port to serve on")
	url := flag.String("layer", "", "redis://host or redis+pubsub://host; empty is this process alone")
	flag.Parse()

	var o channels.LayerOptions
	if *url != "" {
		hosts, err := redis.ParseURL(*url)
		if err != nil {
			log.Fatal(err)
		}
		if o.Broker, err = redis.New(hosts); err != nil {
			log.Fatal(err)
		}
	}
	log.Printf("open http://%s/", *listen)
	log.Fatal(http.ListenAndServe(*listen, site(channels.NewLayer(&o))))
}
