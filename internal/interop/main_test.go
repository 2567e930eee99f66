package interop

import (
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/redis"
	"github.com/teahouse-chat/teahouse/internal/parts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

//go:embed peer.py
var peer string

// place is Redis, one server or several, and how both sides use it.
type place struct {
	t       testing.TB
	servers []*parts.RedisServer
	kind    string         // "core" or "pubsub", as the Python side has it
	options redis.Options  // the Go side
	django  map[string]any // the Python side
}

// at starts Redis servers for both sides at default options; more are options of
// the Python side, by its names. Those that Go has too are set there as well.
func at(t testing.TB, kind string, shards int, more map[string]any) *place {
	t.Helper()
	if testing.Short() {
		t.Skip("short: it starts Redis and Python")
	}
	p := &place{t: t, kind: kind, django: map[string]any{}}
	var hosts []string
	for range shards {
		s := parts.Redis(t, parts.RedisOptions{})
		p.servers = append(p.servers, s)
		hosts = append(hosts, s.URL())
	}
	p.options = redis.Options{Hosts: hosts, PubSub: kind == "pubsub"}
	p.django["hosts"] = hosts
	for name, value := range more {
		p.django[name] = value
		switch name {
		case "prefix":
			p.options.Prefix = value.(string)
		case "symmetric_encryption_keys":
			p.options.Keys = value.([]string)
		}
	}
	return p
}

// broker is what both of package redis's are.
type broker interface {
	channels.Broker
	Close() error
}

// layer is one process of Go: a layer on its broker.
func (p *place) layer(o channels.LayerOptions) *channels.Layer {
	p.t.Helper()
	b := p.broker()
	o.Broker = b
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := channels.NewLayer(&o)
	p.t.Cleanup(func() {
		if err := errors.Join(l.Close(), b.Close()); err != nil {
			p.t.Errorf("close: %v", err)
		}
	})
	return l
}

func (p *place) broker() broker {
	p.t.Helper()
	var b broker
	var err error
	if p.options.PubSub {
		b, err = redis.NewPubSub(p.options)
	} else {
		b, err = redis.NewCore(p.options)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

// django is one process of Python with a layer on the same place.
type django struct {
	t testing.TB
	*parts.PythonPeer
}

func (p *place) python() *django {
	p.t.Helper()
	d := &django{p.t, parts.Python(p.t, peer, "channels_redis.core", "channels_redis.pubsub", "msgpack", "redis")}
	d.do("open", map[string]any{"kind": p.kind, "options": p.django}, nil)
	return d
}

// do calls the process; the layer is the one it has.
func (d *django) do(call string, args map[string]any, result any) {
	d.t.Helper()
	if err := d.ask(call, args, result); err != nil {
		d.t.Fatal(err)
	}
}

func (d *django) ask(call string, args map[string]any, result any) error {
	all := map[string]any{}
	switch call {
	case "forget", "got", "heard", "command":
	default:
		all["layer"] = "default"
	}
	for k, v := range args {
		all[k] = v
	}
	return d.Call(call, all, result)
}

// channel is a new channel that is received from for good.
func (d *django) channel() string {
	d.t.Helper()
	var name string
	d.do("new_channel", nil, &name)
	d.do("listen", map[string]any{"channel": name}, nil)
	return name
}

// member is such a channel that is in a group.
func (d *django) member(group string) string {
	d.t.Helper()
	name := d.channel()
	d.do("group_add", map[string]any{"group": group, "channel": name}, nil)
	return name
}

// got is what a channel received so far.
func (d *django) got(channel string) []map[string]any {
	d.t.Helper()
	var all []map[string]any
	d.do("got", map[string]any{"channel": channel}, &all)
	return all
}

// await waits until a channel has received so many, and returns all.
func (d *django) await(channel string, n int) []map[string]any {
	d.t.Helper()
	parts.Eventually(d.t, fmt.Sprintf("%d messages arrived in Python", n), func() bool { return d.heard().Counts[channel] >= n })
	return d.got(channel)
}

// heard is what a Python process counted.
type heard struct {
	Counts   map[string]int // by channel
	Records  []string       // logged by channels_redis
	Failures []string       // raised by receive
}

func (d *django) heard() heard {
	d.t.Helper()
	var h heard
	d.do("heard", nil, &h)
	return h
}

// calm checks that channels_redis raised nothing and logged nothing about lost
// messages.
func (d *django) calm() {
	d.t.Helper()
	h := d.heard()
	if len(h.Failures) > 0 {
		d.t.Errorf("Python raised %q", h.Failures)
	}
	for _, r := range h.Records {
		if !strings.HasPrefix(r, "DEBUG") {
			d.t.Errorf("Python logged %q", r)
		}
	}
}

// ear is a channel of a Go layer that is received from for good.
type ear struct {
	t    testing.TB
	name string
	came chan struct{} // has a value after one has come

	mu  sync.Mutex
	all []channels.Event
}

func listen(t testing.TB, l *channels.Layer) *ear {
	t.Helper()
	return receive(t, l, l.NewChannel(""))
}

// receive is listen for a channel of a given name.
func receive(t testing.TB, l *channels.Layer, name string) *ear {
	t.Helper()
	e := &ear{t: t, name: name, came: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			event, err := l.Receive(ctx, e.name)
			if err != nil {
				return
			}
			e.mu.Lock()
			e.all = append(e.all, event)
			e.mu.Unlock()
			select {
			case e.came <- struct{}{}:
			default:
			}
		}
	})
	t.Cleanup(func() {
		stop()
		done.Wait()
	})
	return e
}

// member is such a channel that is in a group.
func member(t testing.TB, l *channels.Layer, group string) *ear {
	t.Helper()
	e := listen(t, l)
	must(t, l.GroupAdd(t.Context(), group, e.name))
	return e
}

func (e *ear) got() []channels.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]channels.Event(nil), e.all...)
}

func (e *ear) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.all)
}

// await waits until so many have come, and returns all.
func (e *ear) await(n int) []channels.Event {
	e.t.Helper()
	parts.Eventually(e.t, fmt.Sprintf("%d events arrived in Go", n), func() bool { return e.count() >= n })
	return e.got()
}

// reached waits until Python's messages arrive at a Go process: a broker of the
// pub/sub format listens for its channels a moment after it has begun.
func (d *django) reached(l *channels.Layer) {
	d.t.Helper()
	e := listen(d.t, l)
	parts.Eventually(d.t, "a channel of Go is reached", func() bool {
		d.do("send", map[string]any{"channel": e.name, "message": map[string]any{"type": "warm.up"}}, nil)
		for range 10 {
			if e.count() > 0 {
				return true
			}
			time.Sleep(time.Millisecond)
		}
		return false
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// text is a value as equal text on both sides: as JSON has it, bytes as peer.py
// writes them.
func text(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(dry(v))
	must(t, err)
	return string(out)
}

// decoded are bytes as peer.py writes them.
func decoded(t testing.TB, text string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	must(t, err)
	return string(b)
}

func dry(v any) any {
	switch v := v.(type) {
	case []byte:
		return map[string]any{"bytes": base64.StdEncoding.EncodeToString(v)}
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = dry(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = dry(e)
		}
		return out
	default:
		return v
	}
}

// event is the nth of a sender, like those of peer.py's burst.
func event(sender string, n int) channels.Event {
	return channels.Event{Type: "test.event", Payload: map[string]any{"sender": sender, "n": n}}
}

// numbers are those of a sender's events, in the order in which they came.
func (e *ear) numbers(sender string) []int {
	var all []int
	for _, ev := range e.got() {
		m := ev.Payload.(map[string]any)
		if m["sender"] == sender {
			all = append(all, number(m["n"]))
		}
	}
	return all
}

// numbersOf is the same for what Python received.
func (d *django) numbersOf(channel, sender string) []int {
	d.t.Helper()
	var all []int
	for _, m := range d.got(channel) {
		if m["sender"] == sender {
			all = append(all, number(m["n"]))
		}
	}
	return all
}

func number(v any) int {
	var n int
	_, _ = fmt.Sscan(fmt.Sprint(v), &n)
	return n
}

// complete checks that first to last came once each, in order.
func complete(t testing.TB, what string, got []int, first, last int) {
	t.Helper()
	bad := len(got) != last-first+1
	for i, n := range got {
		bad = bad || n != first+i
	}
	if bad {
		t.Errorf("%s: got %d numbers, want %d to %d in order: %.300s", what, len(got), first, last, fmt.Sprint(got))
	}
}
