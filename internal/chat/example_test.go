package chat_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
)

// A message is acknowledged when it is stored; the same nonce is the same
// message however often it is sent.
func ExampleService_Post() {
	ctx := context.Background()
	service, err := chat.New(ctx, chat.Options{
		Store:   memstore.New(),
		Publish: func(room string, m chat.Message) { fmt.Printf("to all in %s: %s\n", room, m.Text) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Shutdown(ctx)

	hello := chat.Post{Room: "lobby", Author: chat.User{ID: 1, Name: "Quiet Heron"}, Nonce: "n1", Text: "hello"}
	for range 2 {
		m, duplicate, err := service.Post(ctx, hello)
		fmt.Println(m.Seq, duplicate, err)
	}
	hello.Text = "goodbye"
	_, _, err = service.Post(ctx, hello)
	fmt.Println(errors.Is(err, chat.ErrNonceConflict))
	// Output:
	// to all in lobby: hello
	// 1 false <nil>
	// 1 true <nil>
	// true
}

// A reader who was away gets what they missed, in pages.
func ExampleService_Resume() {
	ctx := context.Background()
	service, err := chat.New(ctx, chat.Options{Store: memstore.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Shutdown(ctx)
	for _, text := range []string{"one", "two", "three"} {
		p := chat.Post{Room: "lobby", Author: chat.User{ID: 1, Name: "Quiet Heron"}, Nonce: text, Text: text}
		if _, _, err := service.Post(ctx, p); err != nil {
			log.Fatal(err)
		}
	}

	r, err := service.Resume(ctx, "lobby", chat.Position{After: 1, Epoch: service.Epoch()})
	if err != nil {
		log.Fatal(err)
	}
	for page, err := range service.Replay(ctx, r) {
		if err != nil {
			log.Fatal(err)
		}
		for _, m := range page {
			fmt.Println(m.Seq, m.Text)
		}
	}
	// Output:
	// 2 two
	// 3 three
}

func ExampleRoomSlug() {
	for _, name := range []string{"lobby", "  tea \u200b house ", "cafe\u0301", "a/b"} {
		slug, err := chat.RoomSlug(name)
		fmt.Printf("%q %v\n", slug, err)
	}
	// Output:
	// "lobby" <nil>
	// "tea house" <nil>
	// "café" <nil>
	// "" not a room name: leave out "/"
}

func ExampleGuestName() {
	fmt.Println(chat.GuestName(7, "en-GB"), chat.GuestName(7, "zh-CN"), chat.UserID(7).Tag())
	// Output: Green Teapot 夏夜白云 cf5y
}
