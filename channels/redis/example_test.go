package redis_test

import (
	"context"
	"fmt"
	"log"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/redis"
)

// A layer whose groups are shared with a Django site in the pub/sub format.
func Example() {
	o, err := redis.ParseURL("redis+pubsub://localhost:6379/0")
	if err != nil {
		log.Fatal(err)
	}
	broker, err := redis.New(o)
	if err != nil {
		log.Fatal(err)
	}
	layer := channels.NewLayer(&channels.LayerOptions{Broker: broker})

	// Every consumer in the group chat_lobby, of Go or Django, gets this.
	err = layer.GroupSend(context.Background(), "chat_lobby", channels.Event{
		Type:    "chat.message",
		Payload: map[string]any{"message": "hi"},
	})
	if err != nil {
		log.Print(err) // Redis cannot be reached: members in this process have it all the same
	}

	if err := layer.Close(); err != nil {
		log.Print(err)
	}
	if err := broker.Close(); err != nil {
		log.Print(err)
	}
}

func ExampleParseURL() {
	o, err := redis.ParseURL("redis://:secret@cache-1/0,redis://:secret@cache-2/0?prefix=site&key=first&key=second")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(o.Hosts)
	fmt.Println(o.PubSub, o.Prefix, o.Keys)

	_, err = redis.ParseURL("redis://:secret@cache-1:6379?capacity=200")
	fmt.Println(err)
	// Output:
	// [redis://:secret@cache-1/0 redis://:secret@cache-2/0]
	// false site [first second]
	// redis: the parameter "capacity" is unknown; known are db, format, key, prefix, random_prefix, sentinel_password, sentinel_username, ssl_ca_certs, ssl_certfile, ssl_keyfile
}
