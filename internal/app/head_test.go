package app

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answers sends bytes to a server of ours and returns the status lines it got.
func answers(t *testing.T, sent ...string) []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{log: slog.New(slog.DiscardHandler), streams: context.Background()}
	s := a.serve(l, strict(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})))
	defer func() {
		s.http.Close()
		_ = s.wait()
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	var lines []string
	for _, part := range sent {
		if _, err := io.WriteString(c, part); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return append(lines, "closed")
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		lines = append(lines, answer.Status[:3])
	}
	return lines
}

const get = "GET / HTTP/1.1\r\nHost: localhost\r\n"

func TestHeadsThatProxiesReadDifferently(t *testing.T) {
	for _, c := range []struct {
		name string
		sent []string
		want string
	}{
		{"an ordinary request", []string{get + "\r\n"}, "200"},
		{"bare line feeds", []string{"GET / HTTP/1.1\nHost: localhost\n\n"}, "200"},
		{"a folded line", []string{get + "X-A: b\r\n c\r\n\r\n"}, "400"},
		{"a line folded with a tab", []string{get + "X-A: b\r\n\tc\r\n\r\n"}, "400"},
		{"the first header line folded", []string{"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n"}, "400"},
		{"length and encoding", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}, "400"},
		{"encoding and length", []string{"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n"}, "400"},
		{"an encoding alone", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n a\n\r\n0\r\n\r\n"}, "200"},
		{"a body that looks like a folded line", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\na\r\n b\n"}, "200"},
		{"names that only begin alike", []string{get + "Content-Length-X: 1\r\nTransfer-EncodingX: 1\r\n\r\n"}, "200"},
		{"the second request of a connection", []string{get + "\r\n", get + "X-A: b\r\n c\r\n\r\n"}, "200 400"},
		{"a good second request", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", get + "\r\n"}, "200 200"},
		{"a good second request at once", []string{get + "\r\n" + get + "\r\n", ""}, "200 200"},
		{"a bad second request at once", []string{get + "\r\n" + get + "X-A: b\r\n c\r\n\r\n", ""}, "200 400"},
		{"a bad second request behind a body", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + get + "X-A: b\r\n c\r\n\r\n", ""}, "200 400"},
		{"a bad third request at once", []string{get + "\r\n" + get + "\r\n" + get + "X-A: b\r\n c\r\n\r\n", "", ""}, "200 200 400"},
		{"a second request behind chunks", []string{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get + "X-A: b\r\n c\r\n\r\n", ""}, "200 closed"},
		{"a second request behind an upgrade", []string{get + "Upgrade: h2c\r\n\r\n" + get + "X-A: b\r\n c\r\n\r\n", ""}, "200 closed"},
		{"a body in two parts and a second request", []string{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat(" \n", 4500) + get + "X-A: b\r\n c\r\n\r\n", ""}, "200 400"},
		{"TRACE", []string{"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"}, "405"},
		{"CONNECT", []string{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"}, "405"},
		{"129 header lines", []string{get + strings.Repeat("X-A: b\r\n", 129) + "\r\n"}, "431"},
		{"128 header lines", []string{get + strings.Repeat("X-A: b\r\n", 128) + "\r\n"}, "200"},
		{"up", []string{"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n"}, "404"},
		{"up, encoded", []string{"GET /%2e%2e%2fetc HTTP/1.1\r\nHost: a\r\n\r\n"}, "404"},
		{"up, with a backslash", []string{"GET /..%5c..%5cetc HTTP/1.1\r\nHost: a\r\n\r\n"}, "404"},
		{"dots in a name are no way up", []string{"GET /a..b/...c HTTP/1.1\r\nHost: a\r\n\r\n"}, "200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(answers(t, c.sent...), " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A head must be judged alike however the network cuts it.
func FuzzHead(f *testing.F) {
	f.Add([]byte(get+"X-A: b\r\n c\r\n\r\n"), 7)
	f.Add([]byte("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), 30)
	f.Add([]byte("\r\n\n\n \r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if cut < 0 || cut > len(data) {
			return
		}
		var whole, parts head
		good, ended := whole.read(data)
		goodCut, endedCut := parts.read(data[:cut])
		if goodCut == cut && !endedCut {
			var more int
			more, endedCut = parts.read(data[cut:])
			goodCut += more
		}
		if good != goodCut || ended != endedCut {
			t.Errorf("whole %v %v, cut %v %v", good, ended, goodCut, endedCut)
		}
	})
}
