package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/client"
	"github.com/teahouse-chat/teahouse/wire"
)

// A bot that greets whoever says hello.
func Example() {
	server := httptest.NewServer(http.HandlerFunc(serve)) // stands for https://chat.example.org
	defer server.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	c, err := client.Dial(ctx, server.URL, &client.Options{Name: "greeter/1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	room, err := c.Join(ctx, "lobby", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for m, err := range room.Messages(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d %s: %s\n", m.Seq, m.Author.Name, m.Text)
		if m.Author.ID == c.You().ID {
			return
		}
		if _, err := room.Post(ctx, "good morning, "+m.Author.Name); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// 1 Quiet Heron: hello
	// 2 greeter: good morning, Quiet Heron
}

// serve is one connection to a lobby where Quiet Heron has said hello.
func serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	send := func(ref string, f wire.Frame) {
		_ = conn.Write(r.Context(), websocket.MessageText, wire.EncodeRequest(ref, f)) // the next read fails too
	}
	bot := wire.Person{ID: "2", Name: "greeter"}
	for {
		_, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		req, err := wire.Decode(data)
		if err != nil {
			return
		}
		switch f := req.Frame.(type) {
		case wire.Hello:
			send("", wire.Welcome{You: bot, Epoch: "e"})
		case wire.Join:
			send(req.Ref, wire.Joined{Room: "lobby", Last: 1, First: true})
			send("", wire.Messages{Room: "lobby", Messages: []wire.Message{
				{Seq: 1, Author: wire.Person{ID: "1", Name: "Quiet Heron"}, Text: "hello", Nonce: "n"},
			}})
		case wire.Post:
			send("", wire.MessageFrame{Room: "lobby", Message: wire.Message{Seq: 2, Author: bot, Text: f.Text, Nonce: f.Nonce}})
		}
	}
}
