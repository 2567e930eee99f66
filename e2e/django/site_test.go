// Package django tests the server beside a real Django process on the same
// Redis: the original application, served by daphne, in both formats of
// channels_redis.
package django_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/internal/parts"
	"github.com/teahouse-chat/teahouse/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.Cleanup(server.Exit)) }

var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: server.Patience}

// formats are the channel layers of channels_redis, and the schemes that
// --layer has for them.
var formats = []struct{ name, layer, scheme string }{
	{"core", "channels_redis.core.RedisChannelLayer", "redis"},
	{"pubsub", "channels_redis.pubsub.RedisPubSubChannelLayer", "redis+pubsub"},
}

// site is Django beside Teahouse.
type site struct {
	t      *testing.T
	redis  *parts.RedisServer
	layer  string // value of --layer
	django string // host:port
	daphne *parts.Process
	tea    *server.Server
	admin  string // host:port of its metrics
}

// open starts both in one format, with more flags for the server.
func open(t *testing.T, format int, flags ...string) *site {
	t.Helper()
	f := formats[format]
	s := &site{t: t, redis: parts.Redis(t, parts.RedisOptions{})}
	s.layer = f.scheme + strings.TrimPrefix(s.redis.URL(), "redis")
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	s.django = freeAddress(t)
	host, port, _ := net.SplitHostPort(s.django)
	s.daphne = parts.NewProcess(t, []string{parts.Program(t, "daphne"), "-b", host, "-p", port, "chat:application"}, []string{
		"PYTHONPATH=" + folder, "PYTHONDONTWRITEBYTECODE=1", "LAYER=" + f.layer, "REDIS=" + s.redis.URL(),
	})
	if err := s.daphne.Start(); err != nil {
		t.Fatal(err)
	}
	s.tea, s.admin = s.serve(flags...)
	parts.Eventually(t, "Django answers", func() bool {
		c, err := net.Dial("tcp", s.django)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return s
}

// serve starts a server, and waits until it listens to Django or another one does.
func (s *site) serve(flags ...string) (tea *server.Server, admin string) {
	s.t.Helper()
	admin = freeAddress(s.t)
	tea = server.Start(s.t, append([]string{"--layer", s.layer, "--admin", admin}, flags...)...)
	return tea, admin
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// follows waits until so many rooms are followed by the server of an admin address.
func (s *site) follows(admin string, rooms int) {
	s.t.Helper()
	want := fmt.Sprintf("\nteahouse_bridge_rooms %d\n", rooms)
	parts.Eventually(s.t, fmt.Sprintf("%d rooms are followed", rooms), func() bool {
		return strings.Contains(get(s.t, "http://"+admin+"/metrics"), want)
	})
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// send has Django send an event to a room's group.
func (s *site) send(room string, event map[string]any) {
	s.t.Helper()
	body, err := json.Marshal(event)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := client.Post("http://"+s.django+"/send/"+url.PathEscape(room)+"/", "application/json", strings.NewReader(string(body)))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		s.t.Fatalf("Django answers %s", res.Status)
	}
}

// enter is a guest of Teahouse in some rooms.
func enter(t *testing.T, tea *server.Server, rooms ...string) *guest.Guest {
	t.Helper()
	g, err := guest.Enter(tea.Address, wire.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	for _, room := range rooms {
		if _, _, err := g.Join(wire.Join{Room: room}); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// leave closes sockets, since a stopping server gives those that are not read
// some seconds.
func leave(t *testing.T, guests ...*guest.Guest) {
	t.Helper()
	for _, g := range guests {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

// next is the next message that a guest sees.
func next(t *testing.T, g *guest.Guest) wire.MessageFrame {
	t.Helper()
	m, err := guest.Await[wire.MessageFrame](g)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// say posts as a guest and awaits the message, which must be the guest's next.
func say(t *testing.T, g *guest.Guest, room, text string) {
	t.Helper()
	if err := g.Say("", wire.Post{Room: room, Nonce: text, Text: text}); err != nil {
		t.Fatal(err)
	}
	if m := next(t, g); m.Text != text || m.Author != g.Welcome.You {
		t.Errorf("got %+v, want %q by %s", m, text, g.Welcome.You.Name)
	}
}

// page opens the socket of the original page: of Teahouse, or of Django.
func page(t *testing.T, address, room string) *socket.Conn {
	t.Helper()
	c, err := socket.Dial(address, "/ws/chat/"+url.PathEscape(room)+"/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// shown is the message that a page shows next.
func shown(t *testing.T, c *socket.Conn) string {
	t.Helper()
	text, err := c.ReadText(parts.Patience)
	if err != nil {
		t.Fatal(err)
	}
	var m struct{ Message string }
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("a page got %s: %v", text, err)
	}
	return m.Message
}

func shows(t *testing.T, who string, c *socket.Conn, want ...string) {
	t.Helper()
	for _, text := range want {
		if got := shown(t, c); got != text {
			t.Errorf("%s shows %q, want %q", who, got, text)
		}
	}
}

// log is a room's log as "author: text".
func log(t *testing.T, tea *server.Server, room string) (lines []string) {
	t.Helper()
	all, err := guest.History(t.Context(), tea.Address, room, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		lines = append(lines, m.Author.Name+": "+m.Text)
	}
	return lines
}

// quiet fails the test if Django has met an event that it could not handle.
func (s *site) quiet() {
	s.t.Helper()
	if text := s.daphne.Log(); strings.Contains(text, "Traceback") || strings.Contains(text, "over capacity") {
		s.t.Errorf("Django failed:\n%s", text)
	}
}
