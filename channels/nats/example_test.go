package nats_test

import (
	"context"
	"fmt"
	"log"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/nats"
)

// A layer whose groups are shared by all processes on one NATS cluster.
func Example() {
	o, err := nats.ParseURL("nats://localhost:4222")
	if err != nil {
		log.Fatal(err)
	}
	broker, err := nats.New(o)
	if err != nil {
		log.Fatal(err)
	}
	layer := channels.NewLayer(&channels.LayerOptions{Broker: broker})

	err = layer.GroupSend(context.Background(), "lobby", channels.Event{
		Type:    "chat.message",
		Payload: map[string]any{"message": "hi"},
	})
	if err != nil {
		log.Print(err) // NATS cannot be reached: members in this process have it all the same
	}

	if err := layer.Close(); err != nil {
		log.Print(err)
	}
	if err := broker.Close(); err != nil {
		log.Print(err)
	}
}

func ExampleParseURL() {
	o, err := nats.ParseURL("tls://me:secret@nats-1,nats-2:5222?prefix=site")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(o.Servers, o.User, o.Prefix)

	_, err = nats.ParseURL("nats://me:secret@nats-1?prefix=a.*")
	fmt.Println(err)
	// Output:
	// [tls://nats-1 tls://nats-2:5222] me site
	// nats: the prefix is "a.*"; it may have letters, digits, hyphens and underscores, and periods between them
}
