package load

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFramesAreReadInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOfN(rapid.Byte(), 0, 70_000).Draw(t, "payload")
		data := serverFrame(opText, payload)
		cut := rapid.IntRange(0, len(data)-1).Draw(t, "cut")
		if _, _, err := parseFrame(data[:cut]); !errors.Is(err, errCut) {
			t.Fatalf("of %d bytes %d give %v, want errCut", len(data), cut, err)
		}
		f, rest, err := parseFrame(append(data, "next"...))
		if err != nil || f.op != opText || !bytes.Equal(f.payload, payload) || string(rest) != "next" {
			t.Fatalf("got opcode %d, %d bytes, rest %q, %v", f.op, len(f.payload), rest, err)
		}
	})
}

// serverFrame is a client's frame without its mask.
func serverFrame(op byte, payload []byte) []byte {
	masked := appendFrame(nil, op, 0, payload)
	head := len(masked) - len(payload) - 4
	out := append([]byte{}, masked[:head]...)
	out[1] &^= bitMask
	return append(out, payload...)
}

func TestAClientFrameIsMasked(t *testing.T) {
	// RFC 6455, section 5.7: a masked text message of "Hello".
	want := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}
	if got := appendFrame(nil, opText, 0x37fa213d, []byte("Hello")); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestFramesNobodyAskedForAreRefused(t *testing.T) {
	for name, data := range map[string][]byte{
		"a fragment":         {0x01, 0x01, 'x'},
		"a continuation":     {0x80, 0x01, 'x'},
		"a compressed frame": {0xc1, 0x01, 'x'},
		"a masked frame":     {0x81, 0x81, 1, 2, 3, 4, 'x'},
		"an endless frame":   {0x81, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := parseFrame(data); err == nil || errors.Is(err, errCut) {
				t.Errorf("got %v, want a refusal", err)
			}
		})
	}
}

func TestTheAnswerToAHandshakeIsChecked(t *testing.T) {
	accept := acceptOf(handshakeKey)
	if accept != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
		t.Fatalf("the key is accepted by %q", accept)
	}
	good := "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nsec-websocket-accept: " + accept + "\r\n\r\n"
	rest, err := parseResponse([]byte(good+"frame"), accept)
	if err != nil || string(rest) != "frame" {
		t.Errorf("a good answer leaves %q, %v", rest, err)
	}
	for name, c := range map[string]struct{ answer, want string }{
		"not whole":   {good[:len(good)-1], errCut.Error()},
		"refused":     {"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\n\r\n", "429"},
		"another key": {strings.Replace(good, accept, "x", 1), "another key"},
		"no key":      {"HTTP/1.1 101 x\r\n\r\n", "another key"},
		"endless":     {strings.Repeat("x", maxResponse+1), "no end"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parseResponse([]byte(c.answer), accept); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestARequestIsOneHTTPHead(t *testing.T) {
	got := string(appendRequest(nil, "localhost:8080", "/ws", []string{"Sec-WebSocket-Protocol: x"}))
	if !strings.HasPrefix(got, "GET /ws HTTP/1.1\r\nHost: localhost:8080\r\n") || !strings.HasSuffix(got, "\r\nSec-WebSocket-Protocol: x\r\n\r\n") {
		t.Errorf("got %q", got)
	}
}

func TestACloseFrameIsTold(t *testing.T) {
	for payload, want := range map[string]string{"": "closed without a code", "\x11\x38too slow": "closed with 4408"} {
		if got := closeText([]byte(payload)); got != want {
			t.Errorf("%q gives %q, want %q", payload, got, want)
		}
	}
}

func FuzzParseFrame(f *testing.F) {
	f.Add(serverFrame(opText, []byte("hello")))
	f.Add(serverFrame(opPing, nil))
	f.Add([]byte{0x81, 127, 0, 0, 0, 0, 0, 0, 0, 1, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		for len(data) > 0 {
			f, rest, err := parseFrame(data)
			if err != nil {
				return
			}
			if len(f.payload)+len(rest) >= len(data) {
				t.Fatal("a frame without a head")
			}
			data = rest
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	accept := acceptOf(handshakeKey)
	f.Add([]byte("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\nrest"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rest, err := parseResponse(data, accept)
		if err == nil && !bytes.HasSuffix(data, rest) {
			t.Fatalf("the rest %q is not the end of %q", rest, data)
		}
	})
}
