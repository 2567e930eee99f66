package guide_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/channels/worker"
)

// Names as Django's groups need them.
func Example_names() {
	fmt.Println(channels.SafeName("chat_lobby"))
	fmt.Println(channels.SafeName("chat_茶馆"))
	// Output:
	// chat_lobby
	// chat_.09aaf84ea9000c55018554399a2f88cf
}

// The words of a layer, without a consumer.
func Example_words() {
	ctx := context.Background()
	layer := channels.NewLayer(&channels.LayerOptions{
		Capacity:   2,
		Capacities: []channels.Capacity{{Pattern: "thumbnails*", Events: 1000}},
		Expiry:     30 * time.Second,
	})
	name := layer.NewChannel("")
	fmt.Println(layer.GroupAdd(ctx, "news", name))
	fmt.Println(layer.GroupSend(ctx, "news", channels.Event{Type: "news.item", Payload: "tea is ready"}))
	fmt.Println(layer.Receive(ctx, name))
	fmt.Println(layer.GroupDiscard(ctx, "news", name))

	for range 2 {
		fmt.Println(layer.Send(ctx, name, channels.Event{Type: "job"}))
	}
	err := layer.Send(ctx, name, channels.Event{Type: "job"})
	fmt.Println(errors.Is(err, channels.ErrChannelFull), layer.Stats().Full)
	fmt.Println(layer.Flush(ctx))
	// Output:
	// <nil>
	// <nil>
	// {news.item 0 tea is ready} <nil>
	// <nil>
	// <nil>
	// <nil>
	// true 1
	// <nil>
}

// Several layers: each endpoint is given its own. Nothing is looked up by name.
func Example_layers() {
	o, err := redis.ParseURL("redis+pubsub://localhost:6379/0?prefix=site")
	if err != nil {
		panic(err)
	}
	broker, err := redis.New(o)
	if err != nil {
		panic(err)
	}
	rooms := channels.NewLayer(&channels.LayerOptions{Broker: broker}) // shared with Django
	games := channels.NewLayer(nil)                                    // of this process

	mux := http.NewServeMux()
	mux.Handle("/ws/rooms", channels.Handler(newMember, &channels.Options{Layer: rooms}))
	mux.Handle("/ws/games", channels.Handler(newMember, &channels.Options{Layer: games}))
}

func newMember() channels.Consumer { return new(Member) }

// What a Django site with these settings shares.
func Example_settings() {
	broker, err := redis.New(redis.Options{
		Hosts:  []string{"redis://cache-1:6379/0", "redis://cache-2:6379/0"},
		Prefix: "site",
		Keys:   []string{"first", "second"},
	})
	if err != nil {
		panic(err)
	}
	layer := channels.NewLayer(&channels.LayerOptions{
		Broker:   broker,
		Capacity: 1500,
		Expiry:   10 * time.Second,
	})
	_ = layer
}

// A worker with retries, and a place for what cannot be done.
func Example_worker() {
	layer := channels.NewLayer(nil)
	ctx, stop := context.WithCancel(context.Background())

	mux := new(worker.Mux)
	mux.Handle("thumbnails", func(ctx context.Context, e channels.Event) error {
		return errors.New("no such picture")
	}, &worker.Options{
		Concurrency: 4,
		Retries:     1,
		Backoff:     time.Millisecond,
		Failed: func(ctx context.Context, e channels.Event, err error) {
			if err := layer.Send(ctx, "thumbnails-failed", e); err != nil {
				fmt.Println(err)
			}
		},
	})
	mux.Handle("thumbnails-failed", func(_ context.Context, e channels.Event) error {
		fmt.Println("failed:", e.Payload)
		stop()
		return nil
	}, nil)

	if err := layer.Send(ctx, "thumbnails", channels.Event{Type: "thumbnail.make", Payload: "cat.png"}); err != nil {
		fmt.Println(err)
	}
	fmt.Println(worker.Run(ctx, layer, mux))
	// Output:
	// failed: cat.png
	// <nil>
}

// The order in which a program ends: the clients are told first.
func Example_stop() {
	layer := channels.NewLayer(nil)
	members := channels.Handler(newMember, &channels.Options{Layer: layer})
	server := &http.Server{Handler: members}

	stop := func(ctx context.Context) error {
		return errors.Join(
			server.Shutdown(ctx),             // no more requests
			members.Shutdown(ctx, 1012, nil), // every socket is told, and its Disconnect called
			layer.Close(),                    // then broker.Close(), if there is one
		)
	}
	fmt.Println(stop(context.Background()))
	// Output: <nil>
}
