package interop

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

// everything is a message with all that both sides can write. In JSON, between
// the test and Python, numbers stay exact up to 2^53.
var everything = map[string]any{
	"text": "hé 茶馆 👩‍👩‍👧", "empty": "", "long": strings.Repeat("x", 70000), "yes": true, "no": false, "none": nil,
	"ints": []any{0, 1, -1, 127, 128, -32, -33, 255, 256, 65535, 65536, -32769, 1 << 31, 1 << 52, -(1 << 52)},
	"n":    1.5, "bytes": []byte{0, 1, 255}, "list": []any{1, "two", []any{}, map[string]any{"in": nil}},
	"map": map[string]any{"a": map[string]any{}, "": 1, "é": []byte{}},
}

func TestWhatOneSideSendsTheOtherGets(t *testing.T) {
	keys := []string{"a-test-key", "an older one"}
	for name, tt := range map[string]struct {
		kind   string
		shards int
		more   map[string]any
	}{
		"core":                         {"core", 1, nil},
		"core, three shards":           {"core", 3, nil},
		"core, encrypted":              {"core", 1, map[string]any{"symmetric_encryption_keys": keys}},
		"core, encrypted, three":       {"core", 3, map[string]any{"symmetric_encryption_keys": keys}},
		"core, another prefix":         {"core", 1, map[string]any{"prefix": "my:site", "expiry": 30, "capacity": 10}},
		"pub/sub":                      {"pubsub", 1, nil},
		"pub/sub, three shards":        {"pubsub", 3, nil},
		"pub/sub, a prefix of a glob?": {"pubsub", 2, map[string]any{"prefix": "my[*]?"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := at(t, tt.kind, tt.shards, tt.more)
			l := p.layer(channels.LayerOptions{})
			d := p.python()
			toGo := member(t, l, "chat_lobby")
			toPython := d.member("chat_lobby")
			d.reached(l)
			for i := range 3 {
				message := map[string]any{"type": "chat.message", "i": i, "all": everything}
				fromGo(t, l, toPython, message)
				d.do("group_send", map[string]any{"group": "chat_lobby", "message": dry(message)}, nil)
				d.do("send", map[string]any{"channel": toGo.name, "message": dry(message)}, nil)
			}
			// Each side's own group_send comes to its own member as well.
			seen := map[string]int{}
			for _, m := range d.await(toPython, 9) {
				same(t, "Python", m)
				seen[fmt.Sprint("Python ", m["i"])]++
			}
			for _, e := range toGo.await(9) {
				m := maps.Clone(e.Payload.(map[string]any))
				m["type"] = e.Type
				same(t, "Go", m)
				seen[fmt.Sprint("Go ", m["i"])]++
			}
			want := map[string]int{"Python 0": 3, "Python 1": 3, "Python 2": 3, "Go 0": 3, "Go 1": 3, "Go 2": 3}
			if diff := cmp.Diff(want, seen); diff != "" {
				t.Error(diff)
			}
			d.calm()
		})
	}
}

// fromGo sends to the group and to the channel.
func fromGo(t *testing.T, l *channels.Layer, channel string, message map[string]any) {
	t.Helper()
	payload := map[string]any{"i": message["i"], "all": message["all"]}
	e := channels.Event{Type: message["type"].(string), Payload: payload}
	must(t, l.GroupSend(t.Context(), "chat_lobby", e))
	must(t, l.Send(t.Context(), channel, e))
}

func same(t *testing.T, side string, got map[string]any) {
	t.Helper()
	want := text(t, map[string]any{"type": "chat.message", "i": got["i"], "all": everything})
	if g := text(t, got); g != want {
		t.Errorf("%s: got %.1500s\nwant %.1500s", side, g, want)
	}
}

func TestAMessageOfTheTutorialIsByteForByteTheSameFromBothSides(t *testing.T) {
	p := at(t, "core", 1, nil)
	l := p.layer(channels.LayerOptions{})
	d := p.python()
	// Two members that nobody receives from, so that what is sent stays in Redis.
	for _, channel := range []string{"specific.0123456789abcdef0123456789abcdef!a", "specific.0123456789abcdef0123456789abcdef!b"} {
		d.do("group_add", map[string]any{"group": "chat_lobby", "channel": channel}, nil)
	}
	key := "asgispecific.0123456789abcdef0123456789abcdef!"
	read := func() string {
		t.Helper()
		var blobs []map[string]string
		d.do("command", map[string]any{"url": p.servers[0].URL(), "args": []any{"ZRANGE", key, 0, -1}}, &blobs)
		p.servers[0].Must("DEL", key)
		if len(blobs) != 1 {
			t.Fatalf("%d blobs under %s", len(blobs), key)
		}
		return strings.TrimPrefix(decoded(t, blobs[0]["bytes"]), decoded(t, blobs[0]["bytes"])[:12])
	}
	d.do("group_send", map[string]any{"group": "chat_lobby", "message": map[string]any{"type": "chat.message", "message": "hi"}}, nil)
	python := read()
	must(t, l.GroupSend(t.Context(), "chat_lobby", channels.Event{Type: "chat.message", Payload: map[string]any{"message": "hi"}}))
	golang := read()
	// The order of a map's keys says nothing; that of the bytes of each does.
	for _, part := range []string{"\xa4type\xacchat.message", "\xa7message\xa2hi", "\xb0__asgi_channel__\x92\xd9\x2bspecific."} {
		if !strings.Contains(python, part) || !strings.Contains(golang, part) {
			t.Errorf("%q is not in both:\n%q\n%q", part, python, golang)
		}
	}
	if len(python) != len(golang) || python[0] != golang[0] {
		t.Errorf("Python wrote %q\nGo wrote %q", python, golang)
	}
	must(t, l.Send(t.Context(), "specific.0123456789abcdef0123456789abcdef!a", event("go", 1)))
	if ttl := number(p.servers[0].Must("TTL", key)); ttl < 55 || ttl > 60 {
		t.Errorf("the key of a process lives %d s, want 60", ttl)
	}
}

func TestWorkOfOneSideIsDoneByTheOther(t *testing.T) {
	const jobs = 30
	for _, kind := range []string{"core", "pubsub"} {
		t.Run(kind, func(t *testing.T) {
			p := at(t, kind, 1, nil)
			l := p.layer(channels.LayerOptions{})
			d := p.python()
			d.do("listen", map[string]any{"channel": "for-python"}, nil)
			parts.Eventually(t, "Python listens", func() bool {
				must(t, l.Send(t.Context(), "for-python", event("warm", 1)))
				return d.heard().Counts["for-python"] > 0
			})
			for n := range jobs {
				must(t, l.Send(t.Context(), "for-python", event("go", n+1)))
			}
			parts.Eventually(t, "Python has done all", func() bool { return len(d.numbersOf("for-python", "go")) >= jobs })
			complete(t, "Python's work", d.numbersOf("for-python", "go"), 1, jobs)

			worker := receive(t, l, "for-go")
			parts.Eventually(t, "Go listens", func() bool {
				d.do("burst", map[string]any{"name": "warm", "start": 1, "count": 1, "channel": "for-go"}, nil)
				return worker.count() > 0
			})
			d.do("burst", map[string]any{"name": "py", "start": 1, "count": jobs, "channel": "for-go"}, nil)
			parts.Eventually(t, "Go has done all", func() bool { return len(worker.numbers("py")) >= jobs })
			complete(t, "Go's work", worker.numbers("py"), 1, jobs)
			d.calm()
		})
	}
}
