package redis

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func chatMessage(text string) channels.Event {
	return channels.Event{Type: "chat.message", Payload: map[string]any{"message": text}}
}

// The bytes that Django sends to a group with one member of its own.
const vectorGroup = "83a474797065ac636861742e6d657373616765a76d657373616765a26869b05f5f617367695f6368616e6e656c5f5f91d94a737065636966" +
	"69632e3031323334353637383961626364656630313233343536373839616263646566216665646362613938373635343332313066656463626139383736353433323130"

// entries are what waits in a sorted set, blob and score.
func entriesIn(t *testing.T, server *parts.RedisServer, key string) (blobs []string, scores []float64) {
	t.Helper()
	c, err := NewCore(Options{Hosts: at(server)})
	if err != nil {
		t.Fatal(err)
	}
	via := newConn(c.settings.hosts[0], nil, nil)
	defer via.close()
	answer, err := via.one(t.Context(), command{"ZRANGE", key, "0", "-1", "WITHSCORES"})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := poppedSome(answer)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range got {
		blobs, scores = append(blobs, string(e.blob)), append(scores, e.score)
	}
	return blobs, scores
}

func TestAGroupSendIsWrittenAsDjangoWritesIt(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, c := coreProcess(t, at(server), nil)
	if err := c.GroupAdd(t.Context(), "chat_lobby", djangoChannel); err != nil {
		t.Fatal(err)
	}
	p.follow("chat_lobby")
	before := seconds(time.Now())
	end := monitor(t, server)
	if err := c.Publish(t.Context(), channels.Delivery{Group: "chat_lobby", Event: chatMessage("hi")}); err != nil {
		t.Fatal(err)
	}
	for _, line := range end() {
		if strings.HasPrefix(line, `"EVAL`) && strings.Contains(line, p.key()) {
			t.Errorf("the process sent something to itself: %s", line)
		}
	}

	blobs, scores := entriesIn(t, server, djangoKey)
	if len(blobs) != 1 || hex.EncodeToString([]byte(blobs[0])[12:]) != vectorGroup {
		t.Errorf("written: %q, want 12 bytes and %s", blobs, vectorGroup)
	}
	if scores[0] < before-1 || scores[0] > before+10 {
		t.Errorf("the score is %f, and the time was %f", scores[0], before)
	}
	for key, want := range map[string]int{djangoKey: 60, "asgi:group:chat_lobby": 3600} {
		if ttl, err := strconv.Atoi(server.Must("TTL", key)); err != nil || ttl < want-5 || ttl > want {
			t.Errorf("%s expires in %d s, %v, want %d", key, ttl, err, want)
		}
	}
}

func TestASendToAChannelIsWrittenAsDjangoWritesIt(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	_, c := coreProcess(t, at(server), nil)
	for _, to := range []string{djangoChannel, "thumbnails-generate"} {
		if err := c.Publish(t.Context(), channels.Delivery{Channels: []string{to}, Event: chatMessage("hi")}); err != nil {
			t.Fatal(err)
		}
	}
	event := "a474797065ac636861742e6d657373616765a76d657373616765a26869"
	toOne, _ := strings.CutPrefix(vectorGroup, "83"+event)
	toOne = strings.Replace(toOne, "5f5f91d94a", "5f5fd94a", 1)
	for key, want := range map[string]string{djangoKey: "83" + event + toOne, "asgithumbnails-generate": "82" + event} {
		blobs, _ := entriesIn(t, server, key)
		if len(blobs) != 1 || hex.EncodeToString([]byte(blobs[0])[12:]) != want {
			t.Errorf("%s: %q, want 12 bytes and %s", key, blobs, want)
		}
	}
}

func TestMembersAreAddressedTogetherInTheEntryOfTheirProcess(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	_, c := coreProcess(t, at(server), nil)
	other := strings.Replace(djangoChannel, "!", "!0", 1)
	for _, member := range []string{djangoChannel, other, "thumbnails-generate"} {
		if err := c.GroupAdd(t.Context(), "g", member); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Publish(t.Context(), channels.Delivery{Group: "g", Event: chatMessage("hi")}); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string][]string{djangoKey: {djangoChannel, other}, "asgithumbnails-generate": {"thumbnails-generate"}} {
		blobs, _ := entriesIn(t, server, key)
		if len(blobs) != 1 {
			t.Fatalf("%s has %d entries", key, len(blobs))
		}
		_, to, err := c.open([]byte(blobs[0]))
		if err != nil || !slices.Equal(to, want) {
			t.Errorf("%s: for %q, %v, want %q", key, to, err, want)
		}
	}
}

func TestJoiningAndLeavingAreTheCommandsOfDjango(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, c := coreProcess(t, at(server), func(n *channels.Node) { n.GroupExpiry = 24 * time.Hour })
	p.follow("a group before")
	end := monitor(t, server)
	p.follow("chat_lobby")
	if err := c.Unfollow(t.Context(), []string{"chat_lobby"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range end() {
		if strings.Contains(line, "asgi:group:chat_lobby") && !strings.Contains(line, `"EVALSHA"`) && !strings.Contains(line, `"H`) {
			got = append(got, line)
		}
	}
	member := p.channel("g.chat_lobby")
	if len(got) != 3 {
		t.Fatalf("commands: %q", got)
	}
	score := strings.Split(got[0], `"`)[5]
	want := []string{
		fmt.Sprintf(`"ZADD" "asgi:group:chat_lobby" %q %q`, score, member),
		`"EXPIRE" "asgi:group:chat_lobby" "86400"`,
		fmt.Sprintf(`"ZREM" "asgi:group:chat_lobby" %q`, member),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if s, err := strconv.ParseFloat(score, 64); err != nil || s < seconds(time.Now())-60 || s > seconds(time.Now())+60 {
		t.Errorf("the score is %s", score)
	}
}

// django is what a Django process writes to p: an event with a destination.
func django(t *testing.T, p *process, c *Core, m map[string]any) {
	t.Helper()
	blob, err := c.codec.encode(m)
	if err != nil {
		t.Fatal(err)
	}
	raw(t, p, c, string(blob), seconds(time.Now()))
}

func raw(t *testing.T, p *process, c *Core, blob string, score float64) {
	t.Helper()
	if err := c.servers[len(c.servers)-1].do(t.Context(), command{"ZADD", p.key(), formatScore(score), blob}); err != nil {
		t.Fatal(err)
	}
}

func TestWhoeverIsAddressedTwiceGetsOneDelivery(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, c := coreProcess(t, append(at(server), "redis://"+server.Address+"/1"), nil)
	long := strings.Repeat("茶", 100)
	p.follow("chat_lobby", long)
	for _, to := range []any{
		p.channel("fedcba"), // as send writes it, on whatever host
		[]any{p.channel("g.chat_lobby")},
		[]any{p.channel("g.chat_lobby"), p.channel("fedcba")},
		[]any{p.channel("fedcba"), p.channel(alias(long))},
		[]any{p.channel("a"), p.channel("b"), "worker." + p.id + "!c"},
	} {
		django(t, p, c, map[string]any{"type": "say", "message": "x", keyDest: to})
		parts.Eventually(t, "it is delivered", func() bool { return server.Must("-n", "1", "EXISTS", p.key()) == "0" })
	}
	event := " say map[message:x]"
	p.awaits(
		"["+p.channel("fedcba")+"]"+event,
		"chat_lobby[]"+event,
		"chat_lobby["+p.channel("fedcba")+"]"+event,
		long+"["+p.channel("fedcba")+"]"+event,
		"["+p.channel("a")+" "+p.channel("b")+" worker."+p.id+"!c]"+event,
	)
}

func TestWhatNobodyShouldSendIsCountedAndIgnored(t *testing.T) {
	server := parts.Redis(t, parts.RedisOptions{})
	p, c := coreProcess(t, at(server), nil)
	p.follow("g")
	mine := p.channel("g.g")
	now := seconds(time.Now())
	bad := 0
	for _, m := range []map[string]any{
		{"message": "no type", keyDest: mine},
		{"type": "", keyDest: mine},
		{"type": 7, keyDest: mine},
		{"type": ".private", keyDest: mine},
		{"type": "_private", keyDest: mine},
		{"type": "websocket.receive", "text": "{}", keyDest: mine},
		{"type": "http.disconnect", keyDest: mine},
		{"type": "say"},
		{"type": "say", keyDest: 7},
		{"type": "say", keyDest: []any{}},
		{"type": "say", keyDest: []any{7}},
		{"type": "say", keyDest: djangoChannel},
		{"type": "say", keyDest: "specific!x"},
	} {
		django(t, p, c, m)
		bad++
	}
	for _, blob := range []string{"", "short", "0123456789ab", "0123456789ab\x07", "0123456789ab\x91\xc0", "0123456789ab\xc7\x01\x05\x00",
		"0123456789ab" + strings.Repeat("\x91", 2000), "0123456789ab\x81\xa4type\xa3sa\xff", "0123456789ab\x80trailing"} {
		raw(t, p, c, blob, now)
		bad++
	}
	parts.Eventually(t, "all were counted", func() bool { return p.losses(dropMalformed) == bad })
	if n := strings.Count(p.logged(), "is ignored"); n != 1 {
		t.Errorf("%d of them are in the log, want the first:\n%s", n, p.logged())
	}
	django(t, p, c, map[string]any{"type": "say", "message": "good", keyDest: mine})
	p.awaits(said("g", "good"))
}
