package hostile_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

// rawRow is a request sent as it stands. "PATH" in it is replaced by each of
// the paths, "HOST" by the server's address.
type rawRow struct {
	name string
	raw  string
	want []int             // status, any of these
	head map[string]string // headers of the answer
}

// everywhere are paths of each part of the server.
var everywhere = []string{"/", "/ws", "/ws/chat/lobby/", "/chat/lobby/", "/api/rooms/lobby/messages", "/healthz"}

func (s *site) sendRaw(t *testing.T, r rawRow, path string) {
	t.Helper()
	raw := strings.NewReplacer("PATH", path, "HOST", s.Address).Replace(r.raw)
	method, _, _ := strings.Cut(raw, " ")
	res, _, err := socket.Exchange(s.Address, method, raw)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	if !slices.Contains(r.want, res.StatusCode) {
		t.Errorf("%s: got %d, want %v", path, res.StatusCode, r.want)
	}
	for name, value := range r.head {
		if got := res.Header.Get(name); got != value {
			t.Errorf("%s: header %s is %q, want %q", path, name, got, value)
		}
	}
}

func TestMalformedRequests(t *testing.T) {
	s := besiege(t, "--limits", "off")
	big := strings.Repeat("x", 2<<20)
	rows := []rawRow{
		{"H1 no Host", "GET PATH HTTP/1.1\r\n\r\n", []int{400}, nil},
		{"H2 two Hosts", "GET PATH HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", []int{400}, nil},
		{"H3 a Host with a space", "GET PATH HTTP/1.1\r\nHost: a b\r\n\r\n", []int{400}, nil},
		{"H4 a Host that is not ours", "GET PATH HTTP/1.1\r\nHost: evil.example\r\n\r\n", []int{421}, nil},
		{"H4 a Host that begins like ours", "GET PATH HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", []int{421}, nil},
		{"H4 an address in the target that is not ours", "GET http://evil.examplePATH HTTP/1.1\r\nHost: HOST\r\n\r\n", []int{421}, nil},
		{"H5 a space before the colon", "GET PATH HTTP/1.1\r\nHost: HOST\r\nX-A : b\r\n\r\n", []int{400}, nil},
		{"H6 NUL in a header", "GET PATH HTTP/1.1\r\nHost: HOST\r\nX-A: a\x00b\r\n\r\n", []int{400}, nil},
		{"H8 a folded header line", "GET PATH HTTP/1.1\r\nHost: HOST\r\nX-A: a\r\n b\r\n\r\n", []int{400}, nil},
		{"H8 a header line folded with a tab", "GET PATH HTTP/1.1\r\nHost: HOST\r\nX-A: a\r\n\tb\r\n\r\n", []int{400}, nil},
		{"H9 both Content-Length and Transfer-Encoding",
			"POST PATH HTTP/1.1\r\nHost: HOST\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400}, nil},
		{"H9 the same the other way round",
			"POST PATH HTTP/1.1\r\nHost: HOST\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n", []int{400}, nil},
		{"H10 an unknown Transfer-Encoding", "POST PATH HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: xchunked\r\n\r\n", []int{501}, nil},
		{"H11 a negative Content-Length", "POST PATH HTTP/1.1\r\nHost: HOST\r\nContent-Length: -1\r\n\r\n", []int{400}, nil},
		{"H11 two Content-Lengths", "POST PATH HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", []int{400}, nil},
		{"H12 a header of 2 MiB", "GET PATH HTTP/1.1\r\nHost: HOST\r\nX-A: " + big + "\r\n\r\n", []int{431}, nil},
		{"H13 an address of 2 MiB", "GET PATH?" + big + " HTTP/1.1\r\nHost: HOST\r\n\r\n", []int{431, 414}, nil},
		{"H14 HTTP/9.9", "GET PATH HTTP/9.9\r\nHost: HOST\r\n\r\n", []int{505}, nil},
		{"H18 TRACE", "TRACE PATH HTTP/1.1\r\nHost: HOST\r\n\r\n", []int{405}, nil},
		{"H18 CONNECT", "CONNECT HOST HTTP/1.1\r\nHost: HOST\r\n\r\n", []int{405}, nil},
		{"H30 500 headers", "GET PATH HTTP/1.1\r\nHost: HOST\r\n" + strings.Repeat("A: b\r\n", 500) + "\r\n", []int{431}, nil},
		{"a line that is no request", "HELLO\r\n\r\n", []int{400}, nil},
		{"a control character in the address", "GET PATH\x01 HTTP/1.1\r\nHost: HOST\r\n\r\n", []int{400}, nil},
	}
	for _, c := range "\x0b\x0c\x1c\x1d\x1e\x1b\x7f" {
		rows = append(rows, rawRow{fmt.Sprintf("H7 byte %#02x in a header", c),
			"GET PATH HTTP/1.1\r\nHost: HOST\r\nUser-Agent: a" + string(c) + "b\r\n\r\n", []int{400}, nil})
	}
	for _, r := range rows {
		s.row(t, r.name, func(t *testing.T) {
			for _, path := range everywhere {
				if path == "/healthz" && r.want[0] == http.StatusMisdirectedRequest {
					continue // balancers ask by the name they know
				}
				s.sendRaw(t, r, path)
			}
		})
	}
}

func TestAddressesThatLeadNowhere(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for _, c := range []struct {
		name, target string
		want         int
	}{
		{"H16 up from the root", "/../../etc/passwd", 404},
		{"H16 up, encoded", "/%2e%2e%2f%2e%2e%2fetc/passwd", 404},
		{"H16 up, with backslashes", "/..%5c..%5cetc%5cpasswd", 404},
		{"H16 up from the assets", "/static/../../go.mod", 404},
		{"H16 up from the assets, encoded", "/static/%2e%2e/%2e%2e/go.mod", 404},
		{"H16 up, twice encoded", "/static/%252e%252e/go.mod", 404},
		{"H16 up in the place of a room", "/chat/..%2f..%2fetc/", 404},
		{"H16 the folder of the assets", "/static/", 404},
		{"H17 a percent sign without digits", "/%zz", 400},
		{"H17 the same in the place of a room", "/chat/%zz/", 400},
		{"a room with a slash", "/chat/a%2fb/", 404},
		{"a room with NUL", "/chat/a%00b/", 404},
		{"a room of 65 characters", "/chat/" + strings.Repeat("%E8%8C%B6", 65) + "/", 404},
		{"a room that is not UTF-8", "/chat/%ff%fe/", 404},
		{"a room that does not show", "/chat/%E2%80%8B/", 404},
		{"no such page", "/no/such/page", 404},
		{"no such API", "/api/no/such", 404},
		{"a socket of a room with a slash", "/ws/chat/a%2fb/", 426},
		{"the database", "/teahouse.db", 404},
	} {
		s.row(t, c.name, func(t *testing.T) {
			s.sendRaw(t, rawRow{raw: "GET PATH HTTP/1.1\r\nHost: HOST\r\n\r\n", want: []int{c.want}}, c.target)
		})
	}
}

// recorder keeps what is read.
type recorder struct {
	net.Conn
	read bytes.Buffer
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.read.Write(p[:n])
	return n, err
}

func TestTLSOnThePlainPort(t *testing.T) {
	s := besiege(t)
	s.row(t, "H15 TLS on the plain port", func(t *testing.T) {
		nc, err := net.DialTimeout("tcp", s.Address, socket.Patience)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		r := &recorder{Conn: nc}
		var notTLS tls.RecordHeaderError
		if err := tls.Client(r, &tls.Config{ServerName: "localhost"}).Handshake(); !errors.As(err, &notTLS) {
			t.Fatalf("handshake: %v", err)
		}
		if got := r.read.String(); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("answered %q, want 400", got)
		}
	})
}

func TestHandshakes(t *testing.T) {
	s := besiege(t, "--limits", "off")
	const head = "GET PATH HTTP/1.1\r\nHost: HOST\r\n"
	const up = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	const key = "Sec-WebSocket-Key: " + socket.Key + "\r\n"
	const version = "Sec-WebSocket-Version: 13\r\n"
	rows := []rawRow{
		{"H19 POST", "POST PATH HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n", []int{405}, map[string]string{"Allow": "GET"}},
		{"H19 POST with the headers of a WebSocket", "POST PATH HTTP/1.1\r\nHost: HOST\r\n" + up + key + version + "Content-Length: 0\r\n\r\n", []int{405}, nil},
		{"H19 PUT with a body", "PUT PATH HTTP/1.1\r\nHost: HOST\r\nContent-Length: 2\r\n\r\nhi", []int{405}, nil},
		{"H20 GET without Upgrade", head + "\r\n", []int{426}, map[string]string{"Upgrade": "websocket"}},
		{"H21 no Connection: Upgrade", head + "Upgrade: websocket\r\n" + key + version + "\r\n", []int{426}, nil},
		{"H22 Upgrade: h2c", head + "Connection: Upgrade\r\nUpgrade: h2c\r\n" + key + version + "\r\n", []int{426}, nil},
		{"H23 version 8", head + up + key + "Sec-WebSocket-Version: 8\r\n\r\n", []int{426}, map[string]string{"Sec-WebSocket-Version": "13"}},
		{"H24 no version", head + up + key + "\r\n", []int{426}, map[string]string{"Sec-WebSocket-Version": "13"}},
		{"H25 no key", head + up + version + "\r\n", []int{400}, nil},
		{"H25 two keys", head + up + version + key + key + "\r\n", []int{400}, nil},
		{"H26 a key of 15 bytes", head + up + version + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n\r\n", []int{400}, nil},
		{"H27 a key that is not base64", head + up + version + "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n\r\n", []int{400}, nil},
		{"a body", head + up + version + key + "Content-Length: 2\r\n\r\nhi", []int{400}, nil},
		{"H4 a Host that is not ours", "GET PATH HTTP/1.1\r\nHost: evil.example\r\n" + up + key + version + "\r\n", []int{421}, nil},
		{"HTTP/1.0", "GET PATH HTTP/1.0\r\nHost: HOST\r\n" + up + key + version + "\r\n", []int{426}, nil},
		{"U118 a token in the address", strings.Replace(head, "PATH", "PATH?token="+canary, 1) + up + key + version + "\r\n", []int{400}, nil},
		{"U116 a forged cookie", head + up + key + version + "Origin: http://HOST\r\nCookie: sid=" + canary + "\r\n\r\n", []int{401}, nil},
		{"U116 a forged bearer token", head + up + key + version + "Authorization: Bearer " + canary + "\r\n\r\n", []int{401}, nil},
	}
	for _, r := range rows {
		s.row(t, r.name, func(t *testing.T) {
			for _, path := range []string{"/ws", "/ws/chat/lobby/"} {
				s.sendRaw(t, r, path)
			}
		})
	}
	s.row(t, "a room that is none", func(t *testing.T) {
		for _, path := range []string{"/ws/chat/a%2fb/", "/ws/chat/%00/", "/ws/chat/%E2%80%8B/", "/ws/chat/" + strings.Repeat("a", 65) + "/"} {
			s.sendRaw(t, rawRow{raw: head + up + key + version + "\r\n", want: []int{404, 400}}, path)
		}
	})
	for name, line := range map[string]string{
		"H28 an extension nobody has":       "Sec-WebSocket-Extensions: constructor",
		"H28 permessage-deflate":            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"H29 a protocol with 8,000 spaces":  "Sec-WebSocket-Protocol: b" + strings.Repeat(" ", 8000) + "x",
		"H29 1,000 protocols":               "Sec-WebSocket-Protocol: " + strings.Repeat("a,", 1000) + "b",
		"H28 extensions with 8,000 commas":  "Sec-WebSocket-Extensions: " + strings.Repeat(",", 8000),
		"a protocol that the server lacks":  "Sec-WebSocket-Protocol: mqtt",
		"a protocol that is a header break": "Sec-WebSocket-Protocol: a\tb",
	} {
		s.row(t, name, func(t *testing.T) {
			c, err := socket.Dial(s.Address, "/ws", line)
			var refused *socket.Refused
			switch {
			case err == nil:
				_ = c.Close()
			case !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || strings.HasPrefix(name, "H28"):
				t.Errorf("got %v, want 101 without an extension, or 400", err)
			}
		})
	}
}

// TestTooManyHandshakes: limits are on, so that the answers can be seen.
func TestTooManyHandshakes(t *testing.T) {
	s := besiege(t)
	s.row(t, "U119 a flood of handshakes from one address", func(t *testing.T) {
		refused := flood(t, func() error {
			c, err := socket.DialFrom("127.0.0.77", s.Address, "/ws", "Sec-WebSocket-Protocol: "+wire.Subprotocol)
			if err == nil {
				err = c.Close()
			}
			return err
		})
		if refused.Status != http.StatusTooManyRequests || refused.Header.Get("Retry-After") == "" {
			t.Errorf("refused with %d, Retry-After %q", refused.Status, refused.Header.Get("Retry-After"))
		}
	})
}

// flood repeats a dial until it is refused.
func flood(t *testing.T, dial func() error) *socket.Refused {
	t.Helper()
	for range 500 {
		err := dial()
		var refused *socket.Refused
		if errors.As(err, &refused) {
			return refused
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("500 handshakes were taken")
	return nil
}
