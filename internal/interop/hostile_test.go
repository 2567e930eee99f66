package interop

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// prefix are the 12 random bytes before a body of the core format.
const prefix = "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"

// hostileBodies are encodings that no peer should send, and that must harm nobody.
// to is an encoded destination field, preceded by its key.
func hostileBodies(to string) map[string]string {
	m := func(n int, entries string) string { return string([]byte{byte(0x80 + n)}) + entries }
	const ok = "\xa4type\xaatest.event"
	fields := 1
	if to != "" {
		fields = 2
	}
	return map[string]string{
		"no type":                     m(fields, to+"\xa1a\x01"),
		"a type that is a number":     m(fields, to+"\xa4type\x01"),
		"a type that is nil":          m(fields, to+"\xa4type\xc0"),
		"an empty type":               m(fields, to+"\xa4type\xa0"),
		"a type with a leading dot":   m(fields, to+"\xa4type\xa2.x"),
		"a private type":              m(fields, to+"\xa4type\xa2_x"),
		"a frame of a client":         m(fields, to+"\xa4type\xb1websocket.receive"),
		"a disconnect":                m(fields, to+"\xa4type\xb4websocket_disconnect"),
		"a request":                   m(fields, to+"\xa4type\xachttp.request"),
		"an int":                      "\x2a",
		"nil":                         "\xc0",
		"an array":                    "\x92\x01\x02",
		"a text":                      "\xa3abc",
		"text that is not UTF-8":      m(fields+1, to+ok+"\xa1a\xa2\xff\xfe"),
		"an extension":                m(fields+1, to+ok+"\xa1a\xd4\x05\x00"),
		"nested beyond reason":        m(fields+1, to+ok+"\xa1a"+strings.Repeat("\x91", 20000)+"\xc0"),
		"trailing bytes":              m(fields, to+ok) + "\x01\x02\x03",
		"cut in the middle":           m(fields+1, to+ok+"\xa1a\xda\xff\xffabc"),
		"an array of 4 billion":       m(fields+1, to+ok+"\xa1a\xdd\xff\xff\xff\xff"),
		"a map of 4 billion":          "\xdf\xff\xff\xff\xff",
		"a text of 4 GB":              m(fields+1, to+ok+"\xa1a\xdb\xff\xff\xff\xff"),
		"an unused byte":              "\xc1",
		"nothing":                     "",
		"noise":                       "\x9f\xd8\xc7\x00\x13\x37\xff\xee\xdd\xcc\xbb\xaa",
		"two megabytes":               m(fields+1, to+ok+"\xa1a\xc6\x00\x20\x00\x00"+strings.Repeat("\x00", 2<<20)),
		"no message, but 12 GET":      "GET / HTTP/1.1\r\n\r\n",
		"an array for a type":         m(fields, to+"\xa4type\x91\xa1x"),
		"a sequence that is no count": m(fields+1, to+ok+"\xa7__seq__\xa1x"),
	}
}

// lenient are bodies that are odd, and arrive or not.
func lenient(to string) map[string]string {
	fields := byte(0x82)
	if to != "" {
		fields++
	}
	const ok = "\xa4type\xaatest.event"
	return map[string]string{
		"int keys":                      string([]byte{fields}) + to + ok + "\x01\x02",
		"nil keys":                      string([]byte{fields}) + to + ok + "\xc0\x02",
		"a key twice":                   string([]byte{fields}) + to + ok + ok,
		"a key of bytes":                string([]byte{fields}) + to + ok + "\xc4\x01a\x01",
		"a timestamp":                   string([]byte{fields}) + to + ok + "\xa1a\xd6\xff\x00\x00\x00\x00",
		"old raw bytes as invalid text": string([]byte{fields}) + to + ok + "\xa1a\xa1\xff",
	}
}

func TestNothingThatIsThrownAtACoreProcessHarmsIt(t *testing.T) {
	p := at(t, "core", 1, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	e := member(t, l, "room")
	browser, log := browsers(t, l, 1)
	key := "asgi" + strings.SplitAfter(e.name, "!")[0]
	alias := p.servers[0].Must("ZRANGE", "asgi:group:room", "0", "-1")
	destination := func(name string) string {
		return fmt.Sprintf("\xb0__asgi_channel__\xd9%c%s", len(name), name)
	}
	throw := func(score, blob string) {
		t.Helper()
		d.do("command", map[string]any{"url": p.servers[0].URL(), "args": []any{"ZADD", key, score, b64(blob)}}, nil)
	}
	scores := []string{"1", "0", "-5", "1e300", "inf", "-inf", p.servers[0].Must("TIME")[:10]}
	i := 0
	for _, name := range []string{destination(e.name), destination(alias), destination(log.names[0])} {
		for _, bodies := range []map[string]string{hostileBodies(name), lenient(name)} {
			for _, body := range bodies {
				throw(scores[i%len(scores)], "\x00"+prefix[1:]+body)
				throw(scores[len(scores)-1], prefix+body)
				throw(scores[len(scores)-1], body) // without a prefix
				i++
			}
		}
	}
	for _, field := range map[string]string{
		"no destination":          "",
		"somebody else's channel": destination("specific.0123456789abcdef0123456789abcdef!x"),
		"a channel unknown":       destination(key[4:] + "nobody"),
		"a number":                "\xb0__asgi_channel__\x01",
		"numbers":                 "\xb0__asgi_channel__\x92\x01\xc0",
		"no members":              "\xb0__asgi_channel__\x90",
		"text that is not UTF-8":  "\xb0__asgi_channel__\x91\xa2\xff\xfe",
	} {
		n := byte(0x82)
		if field == "" {
			n--
		}
		throw(scores[len(scores)-1], prefix+string([]byte{n})+"\xa4type\xaatest.event"+field)
	}
	// The key itself may be of another type for a while.
	parts.Eventually(t, "what was thrown is taken", func() bool { return p.servers[0].Must("EXISTS", key) == "0" })
	p.servers[0].Must("SET", key, "x")
	p.servers[0].Must("LPUSH", "asgi:group:other", "x")
	_ = l.GroupSend(t.Context(), "other", event("go", 1))
	p.servers[0].Must("DEL", key, "asgi:group:other")

	flows(t, d, e, "room", 1)
	must(t, d.say("still here"))
	if got := browser[0].ReceiveText(); got != "still here" {
		t.Errorf("the browser got %q", got)
	}
	harmless(t, l, e, log)
}

func TestNothingThatIsThrownAtAPubSubProcessHarmsIt(t *testing.T) {
	p := at(t, "pubsub", 1, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	e := member(t, l, "room")
	browser, log := browsers(t, l, 1)
	d.reached(l)
	for _, bodies := range []map[string]string{hostileBodies(""), lenient("")} {
		for _, body := range bodies {
			for _, topic := range []string{"asgi__group__room", "asgi__group__chat_lobby", log.names[0], e.name, e.name[:20] + "\xff"} {
				d.do("command", map[string]any{"url": p.servers[0].URL(), "args": []any{"PUBLISH", b64(topic), b64(body)}}, nil)
			}
		}
	}
	flows(t, d, e, "room", 1)
	must(t, d.say("still here"))
	if got := browser[0].ReceiveText(); got != "still here" {
		t.Errorf("the browser got %q", got)
	}
	harmless(t, l, e, log)
}

// harmless checks what got through.
func harmless(t *testing.T, l *channels.Layer, e *ear, log *chatLog) {
	t.Helper()
	for _, ev := range e.got() {
		if ev.Type != "test.event" && ev.Type != "warm.up" {
			t.Errorf("an event of type %q arrived", ev.Type)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	for _, typ := range log.strange {
		if typ != "test.event" && typ != "warm.up" {
			t.Errorf("a consumer was given %q", typ)
		}
	}
	if len(log.ended) > 0 {
		t.Error("a connection ended")
	}
	t.Logf("%+v", l.Stats())
}

func b64(s string) map[string]any {
	return map[string]any{"bytes": base64.StdEncoding.EncodeToString([]byte(s))}
}
