package link

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a server whose sockets send every payload back, and whose other
// requests are answered with their path.
func echo(t *testing.T) *Link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			_, _ = io.WriteString(w, r.URL.Path)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
		for {
			f, err := readFrame(buffered.Reader)
			if err != nil {
				return
			}
			_, _ = conn.Write(textFrame(f.payload))
		}
	})}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	k, err := New(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close(); _ = server.Close(); <-ended })
	return k
}

// get is the body at a path, or the error.
func get(k *Link, path string) string {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(k.URL() + path)
	if err != nil {
		return "error"
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "error"
	}
	return string(body)
}

// dial opens a socket through the link; nil when it is refused.
func dial(t *testing.T, k *Link) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(k.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, _ = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: test\r\n\r\n")
	r := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			return nil, nil
		}
	}
	return conn, r
}

// masked is a text frame as browsers send them.
func masked(payload string) []byte {
	f := textFrame([]byte(payload))
	head := len(f) - len(payload)
	f[1] |= 0x80
	mask := []byte{1, 2, 3, 4}
	out := append(append(bytes.Clone(f[:head]), mask...), payload...)
	for i := range payload {
		out[head+4+i] ^= mask[i&3]
	}
	return out
}

func TestALinkRelaysHoldsAndRefuses(t *testing.T) {
	k := echo(t)
	if got := get(k, "/page"); got != "/page" {
		t.Fatalf("plain HTTP answers %q", got)
	}
	conn, r := dial(t, k)
	long := strings.Repeat("long ", 200)
	for _, payload := range []string{"", "tea", long} {
		_, _ = conn.Write(masked(payload))
		if f, err := readFrame(r); err != nil || string(f.payload) != payload {
			t.Fatalf("%d bytes come back as %d bytes, %v", len(payload), len(f.payload), err)
		}
	}

	k.Hold()
	for i := range 3 {
		_, _ = conn.Write(masked(fmt.Sprint(i)))
	}
	k.Release()
	for i := range 3 {
		if f, err := readFrame(r); err != nil || string(f.payload) != fmt.Sprint(i) {
			t.Fatalf("frame %d is %q, %v", i, f.payload, err)
		}
	}

	k.Refuse(Refusal{Code: "busy"})
	for sent, want := range map[string]string{`{"type":"ping"}`: `{"type":"ping"}`, `{"type":"post","nonce":"n"}`: `"code":"busy"`} {
		_, _ = conn.Write(masked(sent))
		if f, err := readFrame(r); err != nil || !strings.Contains(string(f.payload), want) {
			t.Fatalf("%s is answered %q, %v, want %s", sent, f.payload, err, want)
		}
	}
}

func TestALinkCutsAndComesBack(t *testing.T) {
	k := echo(t)
	_, r := dial(t, k)
	k.Block()
	if _, err := readFrame(r); err == nil {
		t.Error("the socket goes on behind Block")
	}
	if conn, _ := dial(t, k); conn != nil {
		t.Error("a new socket gets through Block")
	}
	if got := get(k, "/page"); got != "/page" {
		t.Errorf("behind Block HTTP answers %q", got)
	}
	k.Down()
	if got := get(k, "/page"); got != "error" {
		t.Errorf("behind Down HTTP answers %q", got)
	}
	k.Up()
	if got := get(k, "/page"); got != "/page" {
		t.Errorf("after Up HTTP answers %q", got)
	}
	if conn, _ := dial(t, k); conn == nil || k.Sockets() != 1 || len(k.Dials()) != 3 {
		t.Errorf("after Up: socket %v, %d open, %d dials", conn != nil, k.Sockets(), len(k.Dials()))
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(masked("tea"))
	f.Add(textFrame(bytes.Repeat([]byte("x"), 300)))
	f.Add([]byte{0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, input []byte) {
		fr, err := readFrame(bufio.NewReader(bytes.NewReader(input)))
		if err == nil && (!bytes.HasPrefix(input, fr.raw) || len(fr.payload) > len(fr.raw)-2) {
			t.Errorf("read %d bytes with a payload of %d from %d", len(fr.raw), len(fr.payload), len(input))
		}
	})
}
