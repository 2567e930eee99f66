package redis

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	redigo "github.com/gomodule/redigo/redis"
	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

const helloBody = "82a474797065ac636861742e6d657373616765a76d657373616765a26869"

func hello() channels.Event {
	return channels.Event{Type: "chat.message", Payload: map[string]any{"message": "hi"}}
}

// listen subscribes as a Django process does, and returns what comes.
func listen(t *testing.T, server *parts.RedisServer, topics ...string) <-chan redigo.Message {
	t.Helper()
	c := redigo.PubSubConn{Conn: rawConn(t, server)}
	if err := c.Subscribe(redigo.Args{}.AddFlat(topics)...); err != nil {
		t.Fatal(err)
	}
	for range topics {
		if err, failed := c.Receive().(error); failed {
			t.Fatal(err)
		}
	}
	got := make(chan redigo.Message, 1000)
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			switch m := c.Receive().(type) {
			case redigo.Message:
				got <- m
			case error:
				return // it is closed
			}
		}
	})
	t.Cleanup(func() {
		_ = c.Close()
		reading.Wait()
	})
	return got
}

// rawConn is a connection with nothing of ours in between.
func rawConn(t *testing.T, server *parts.RedisServer) redigo.Conn {
	t.Helper()
	c, err := redigo.Dial("tcp", server.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestDjangoHearsExactlyWhatItWouldFromDjango(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	other := channels.SafeName("a room, named freely 茶")
	heard := listen(t, server, "asgi__group__chat_lobby", "asgi__group__"+other, "asgispecific.0123456789abcdef0123456789abcdef", "plain-name")
	p, b := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("chat_lobby")
	before := server.Calls()
	for _, d := range []channels.Delivery{
		{Group: "chat_lobby"}, {Group: "a room, named freely 茶"},
		{Channels: []string{"asgispecific.0123456789abcdef0123456789abcdef", "plain-name"}},
	} {
		d.Event = hello()
		if err := b.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for _, topic := range []string{"asgi__group__chat_lobby", "asgi__group__" + other, "asgispecific.0123456789abcdef0123456789abcdef", "plain-name"} {
		if m := <-heard; m.Channel != topic || hex.EncodeToString(m.Data) != helloBody {
			t.Errorf("got %x on %s, want %s on %s", m.Data, m.Channel, helloBody, topic)
		}
	}
	after := server.Calls()
	for name, want := range map[string]int{"publish": 6, "multi": 2, "exec": 2} {
		if n := after[name] - before[name]; n != want {
			t.Errorf("%s was called %d times, want %d", name, n, want)
		}
	}
	if names := slices.DeleteFunc(strings.Split(server.Must("KEYS", "*"), "\n"), func(s string) bool { return s == "" }); len(names) > 0 {
		t.Errorf("keys are left: %q", names)
	}
}

func TestWhatDjangoSendsArrives(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, _ := pubsubProcess(t, Options{Hosts: at(server), Prefix: "site:"})
	p.follow("chat_lobby", "chat_other")
	body := string(unhex(t, helloBody))
	server.Must("PUBLISH", "site:__group__chat_lobby", body)
	server.Must("PUBLISH", "asgi__group__chat_lobby", body) // of another layer
	server.Must("PUBLISH", p.channel("0123456789abcdef0123456789abcdef"), body)
	server.Must("PUBLISH", "site:__group__chat_other", body)
	p.awaits(
		"chat_lobby[] chat.message map[message:hi]",
		"["+p.channel("0123456789abcdef0123456789abcdef")+"] chat.message map[message:hi]",
		"chat_other[] chat.message map[message:hi]",
	)
	if calls := server.Calls(); calls["subscribe"] != 1 || calls["psubscribe"] != 1 {
		t.Errorf("two groups cost %d SUBSCRIBE and %d PSUBSCRIBE", calls["subscribe"], calls["psubscribe"])
	}
}

func TestWhatMustNotBeSentIsCountedAndIgnored(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, b := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("g")
	bad := []string{
		"81a16101",                         // no type
		"81a47479706501", "81a474797065c0", // a type that is no text
		"81a474797065a0",                           // an empty one
		"81a474797065a22e78", "81a474797065a25f78", // one that begins with a period, or an underscore
		"81a474797065b1776562736f636b65742e72656365697665", // websocket.receive
		"81a474797065b1776562736f636b65745f72656365697665", // websocket_receive
		"81a474797065ac687474702e72657175657374",           // http.request
		"01", "9101", "c1",                                 // not a map
		"82a474797065a178a161a1ff",             // not UTF-8
		"82a474797065a178a161d40100",           // an extension
		"81a474797065a178c0",                   // a byte after it
		"81a474797065",                         // cut off
		"510cbb3f51bce37c44fd3999" + helloBody, // with a random prefix
		"82a474797065a178a161" + strings.Repeat("91", 600) + "90",
	}
	for i, body := range bad {
		to := "asgi__group__g"
		if i%2 == 1 {
			to = p.channel("x")
		}
		publishRaw(t, server, to, string(unhex(t, body)))
	}
	publishRaw(t, server, "asgi__group__g", string(unhex(t, helloBody)))
	p.awaits("g[] chat.message map[message:hi]")
	if n := p.losses("malformed"); n != len(bad) {
		t.Errorf("%d were counted, want %d", n, len(bad))
	}
	if n := strings.Count(p.logged(), "is ignored"); n != 1 {
		t.Errorf("%d of them are in the log, want the first:\n%s", n, p.logged())
	}

	heard := listen(t, server, "asgi__group__g")
	for _, typ := range []string{"", ".x", "_x", "websocket.receive", "websocket_disconnect", "http.request"} {
		e := channels.Event{Type: typ, Payload: map[string]any{}}
		if err := b.Publish(t.Context(), channels.Delivery{Group: "g", Event: e}); err == nil {
			t.Errorf("an event of type %q was sent", typ)
		}
	}
	e := channels.Event{Type: "x", Payload: map[string]any{"__asgi_channel__": "x"}}
	if err := b.Publish(t.Context(), channels.Delivery{Group: "g", Event: e}); err == nil {
		t.Error("an event with the key of the core format was sent")
	}
	if len(heard) > 0 {
		t.Errorf("Django heard %q", (<-heard).Data)
	}
}

// publishRaw publishes any bytes, which arguments of a program cannot hold.
func publishRaw(t *testing.T, server *parts.RedisServer, topic, body string) {
	t.Helper()
	if _, err := rawConn(t, server).Do("PUBLISH", topic, body); err != nil {
		t.Fatal(err)
	}
}

// Equal bytes from several processes at once: nothing but who sent them tells
// them apart.
func TestOwnEventsAreToldFromEqualOnesOfOthers(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	const each = 500
	var all []*process
	for range 3 {
		p, _ := pubsubProcess(t, Options{Hosts: at(server)})
		p.follow("g", "h")
		all = append(all, p)
	}
	var senders sync.WaitGroup
	for _, p := range all {
		for range 4 {
			senders.Go(func() {
				for i := range each / 4 {
					if err := p.send([]string{"g", "h"}[i%2], "the same"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		senders.Go(func() { // joins and leaves in the stream
			for range 50 {
				if err := p.broker.Follow(t.Context(), []string{"passing"}); err != nil {
					t.Error(err)
				}
				_ = p.broker.Unfollow(t.Context(), []string{"passing"})
			}
		})
	}
	senders.Wait()
	for i, p := range all {
		parts.Eventually(t, "all came", func() bool { return len(p.deliveries()) >= 2*each })
		if err := p.send("end", ""); err != nil {
			t.Fatal(err)
		}
		if n := len(p.deliveries()); n != 2*each {
			t.Errorf("process %d got %d events, the others sent %d", i, n, 2*each)
		}
	}
}

func TestAGroupMayLookLikeTheHashOfAnother(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, _ := pubsubProcess(t, Options{Hosts: at(server)})
	q, _ := pubsubProcess(t, Options{Hosts: at(server)})
	p.follow("茶", channels.SafeName("茶"))
	if err := q.send("茶", "1"); err != nil {
		t.Fatal(err)
	}
	p.awaits(said("茶", "1"), said(channels.SafeName("茶"), "1"))
	if err := p.broker.Unfollow(t.Context(), []string{"茶"}); err != nil {
		t.Fatal(err)
	}
	if err := q.send("茶", "2"); err != nil {
		t.Fatal(err)
	}
	p.awaits(said("茶", "1"), said(channels.SafeName("茶"), "1"), said(channels.SafeName("茶"), "2"))
}

func TestOrderAcrossTwoServers(t *testing.T) {
	hosts := append(at(parts.Redis(t, parts.RedisOptions{})), at(parts.Redis(t, parts.RedisOptions{}))...)
	p, _ := pubsubProcess(t, Options{Hosts: hosts})
	q, b := pubsubProcess(t, Options{Hosts: hosts})
	var want []string
	groups := []string{"chat_lobby", "chat_room-1"} // on different hosts
	p.follow(groups...)
	for i := range 100 {
		for _, g := range groups {
			if err := q.send(g, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, said(groups[0], fmt.Sprint(i)))
	}
	for i := range 20 {
		d := channels.Delivery{Channels: []string{p.channel(fmt.Sprint(i))}, Event: say("x")} // on both hosts
		if err := b.Publish(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	parts.Eventually(t, "all came", func() bool { return len(p.deliveries()) >= 220 })
	got := p.deliveries()
	lobby := slices.DeleteFunc(slices.Clone(got), func(s string) bool { return !strings.HasPrefix(s, "chat_lobby") })
	if diff := cmp.Diff(want, lobby); diff != "" || len(got) != 220 {
		t.Errorf("%d came; of the lobby: %s", len(got), diff)
	}
}
