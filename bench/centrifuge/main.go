// Command centrifuge is a chat on the library github.com/centrifugal/centrifuge:
// rooms are channels, clients publish into them. JSON protocol, the broker in
// memory, no history.
//
// It is tuned as the library's documentation advises for many messages per
// connection: a write delay with large frames, pooled write buffers, room in the
// queues. What helps in one place and costs in another are flags.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
)

// tuning is what the flags say.
type tuning struct {
	delay   time.Duration
	frame   int
	timer   bool
	offLoop bool
	queue   int
}

func main() {
	var t tuning
	listen := flag.String("listen", "127.0.0.1:8000", "address")
	flag.DurationVar(&t.delay, "write-delay", 10*time.Millisecond, "time to collect messages for one write; 0 writes at once")
	flag.IntVar(&t.frame, "frame", -1, "messages in one frame; -1 is all that wait")
	flag.BoolVar(&t.timer, "timer", false, "a timer in place of a writing goroutine")
	flag.BoolVar(&t.offLoop, "off-loop", false, "handle commands off the read loop")
	flag.IntVar(&t.queue, "queue", 2, "initial capacity of a client's queue, in messages")
	flag.Parse()
	fmt.Fprintln(os.Stderr, "centrifuge:", serve(*listen, t))
	os.Exit(1)
}

// serve returns only with an error.
func serve(listen string, t tuning) error {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 64 << 20})
	if err != nil {
		return err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:        &centrifuge.Credentials{}, // everybody is a guest
			WriteDelay:         t.delay,
			MaxMessagesInFrame: t.frame,
			WriteWithTimer:     t.timer,
			QueueInitialCap:    t.queue,
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			done(centrifuge.SubscribeReply{}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, done centrifuge.PublishCallback) {
			done(centrifuge.PublishReply{}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return err
	}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		ReadBufferSize: 1024, UseWriteBufferPool: true, ProcessCommandsOffReadLoop: t.offLoop, WriteTimeout: time.Minute,
	})
	mux := http.NewServeMux()
	mux.Handle("GET /connection/websocket", handler)
	server := http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}
