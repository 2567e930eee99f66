package hostile_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/socket"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	text  = socket.FIN | socket.Text
	ping  = socket.FIN | socket.Ping
	bye   = socket.FIN | socket.CloseFrame
	again = socket.Continuation // more of a message to come
	last  = socket.FIN | socket.Continuation
)

// frames is bytes as they are, several frames in a row.
func frames(all ...[]byte) []byte { return bytes.Join(all, nil) }

func frame(first byte, payload string) []byte { return socket.Frame(first, []byte(payload)) }

// header is a frame's head only.
func header(first byte, length uint64) []byte { return socket.Header(first, length) }

// closeFrame has a code and a reason.
func closeFrame(code int, reason string) []byte {
	return frame(bye, string([]byte{byte(code >> 8), byte(code)})+reason)
}

type frameRow struct {
	name  string
	bytes []byte
	want  int // close code
}

func frameRows() []frameRow {
	long := strings.Repeat("x", 64<<10)
	rows := []frameRow{
		{"W44 an unmasked text frame", []byte{text, 2, 'h', 'i'}, 1002},
		{"W44 an unmasked ping", []byte{ping, 0}, 1002},
		{"W45 RSV1, a compressed frame (also W68)", frame(text|socket.RSV1, "hi"), 1002},
		{"W46 RSV2", frame(text|socket.RSV2, "hi"), 1002},
		{"W46 RSV3", frame(text|socket.RSV3, "hi"), 1002},
		{"W46 RSV3 of a ping", frame(ping|socket.RSV3, "hi"), 1002},
		{"W49 a ping of 126 bytes", frame(ping, long[:126]), 1002},
		{"W49 a pong of 126 bytes", frame(socket.FIN|socket.Pong, long[:126]), 1002},
		{"W49 a close of 126 bytes", frame(bye, long[:126]), 1002},
		{"W50 a fragmented ping", frame(socket.Ping, "hi"), 1002},
		{"W50 a fragmented close", frame(socket.CloseFrame, ""), 1002},
		{"W51 a text frame inside a message", frames(frame(socket.Text, "a"), frame(text, "b")), 1002},
		{"W51 a binary frame inside a message", frames(frame(socket.Text, "a"), frame(socket.FIN|socket.Binary, "b")), 1002},
		{"W51 a continuation of nothing", frame(last, "a"), 1002},
		{"W52 invalid UTF-8", frame(text, "\xff\xfe"), 1007},
		{"W52 a surrogate", frame(text, "\xed\xa0\x80"), 1007},
		{"W52 invalid UTF-8 in a fragment that is not the last", frame(socket.Text, "\xff"), 1007},
		{"W53 a sequence cut at the end", frame(text, "\xe8\x8c"), 1007},
		{"W53 a sequence cut at the end of the last fragment", frames(frame(socket.Text, "a"), frame(last, "\xe8\x8c")), 1007},
		{"W54 overlong", frame(text, "\xc0\x80"), 1007},
		{"W55 above U+10FFFF", frame(text, "\xf4\x90\x80\x80"), 1007},
		{"W56 a close of one byte", frame(bye, "\x03"), 1002},
		{"W58 a close reason that is not UTF-8", closeFrame(1000, "\xff"), 1007},
		{"W59 a length with the top bit", header(text, 1<<63), 1002},
		{"W59 a length of all ones", header(text, 1<<64-1), 1002},
		{"W60 a length of 2^63-1", header(text, 1<<63-1), 1009},
		{"W61 a length of 1 GiB", header(text, 1<<30), 1009},
		{"W62 five bytes with a length of 16 bits", []byte{text, 0x80 | 126, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0}, 1002},
		{"W62 five bytes with a length of 64 bits", []byte{text, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0}, 1002},
		{"W63 64 KiB and 1", frame(text, long+"x"), 1009},
		{"W63 64 KiB and 1 in fragments", frames(frame(socket.Text, long), frame(last, "x")), 1009},
		{"W64 1,000 empty fragments", frames(frame(socket.Text, ""), bytes.Repeat(frame(again, ""), 1000)), 1008},
		{"W64 1,000 fragments of a byte", frames(frame(socket.Text, "a"), bytes.Repeat(frame(again, "a"), 1000)), 1008},
		{"W70 10,000 pings at once", bytes.Repeat(frame(ping, "x"), 10_000), 4429},
		{"W70 10,000 pongs at once", bytes.Repeat(frame(socket.FIN|socket.Pong, "x"), 10_000), 4429},
		{"T108 100 MB of one emoji", header(text, 100<<20), 1009},
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF} {
		number := "W47"
		if op >= 8 {
			number = "W48"
		}
		rows = append(rows, frameRow{fmt.Sprintf("%s opcode %X", number, op), frame(socket.FIN|op, "hi"), 1002})
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535} {
		rows = append(rows, frameRow{fmt.Sprintf("W57 close code %d", code), closeFrame(code, ""), 1002})
	}
	return rows
}

// TestBrokenFrames sends each on a rich socket that has said hello, on one that
// has not, and on a plain one: the answer is the same.
func TestBrokenFrames(t *testing.T) {
	s := besiege(t, "--limits", "off")
	for _, r := range frameRows() {
		s.row(t, r.name, func(t *testing.T) {
			rich := s.in(t, "frames").Conn
			silent, err := guest.Dial(s.Address)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := socket.Dial(s.Address, "/ws/chat/frames/")
			if err != nil {
				t.Fatal(err)
			}
			for kind, c := range map[string]*socket.Conn{"rich": rich, "before hello": silent.Conn, "plain": plain} {
				defer c.Close()
				// The server may close before it has read everything.
				_ = c.Send(r.bytes)
				t.Log(kind)
				wantClose(t, c, r.want)
			}
		})
	}
}

func TestFramesThatAreFine(t *testing.T) {
	s := besiege(t, "--limits", "off")
	post := string(wire.Encode(wire.Post{Room: "fine", Nonce: "n", Text: "茶馆"}))
	for _, c := range []struct {
		name  string
		bytes func() []byte
	}{
		{"W71 fifty pongs that nobody asked for", func() []byte { return bytes.Repeat(frame(socket.FIN|socket.Pong, "?"), 50) }},
		{"pings with 125 bytes", func() []byte { return frame(ping, strings.Repeat("x", 125)) }},
		{"a message of exactly 64 KiB", func() []byte {
			f := `{"type":"ping","x":""}`
			return frame(text, strings.Replace(f, `""`, `"`+strings.Repeat("x", 64<<10-len(f))+`"`, 1))
		}},
		{"a message in fragments of a byte, pings between", func() []byte {
			all := [][]byte{frame(socket.Text, post[:1])}
			for i := 1; i < len(post)-1; i++ {
				all = append(all, frame(again, post[i:i+1]), frame(ping, "between"))
			}
			return frames(append(all, frame(last, post[len(post)-1:]))...)
		}},
		{"empty fragments around a message", func() []byte {
			return frames(frame(socket.Text, ""), frame(again, `{"type":"ping"`), frame(again, ""), frame(last, "}"))
		}},
	} {
		s.row(t, c.name, func(t *testing.T) {
			g := s.in(t, "fine")
			if err := g.Send(c.bytes()); err != nil {
				t.Fatal(err)
			}
			wantAlive(t, g)
		})
	}
	s.row(t, "frames written byte by byte", func(t *testing.T) {
		g := s.in(t, "fine")
		for _, b := range frame(text, string(wire.Encode(wire.Post{Room: "fine", Nonce: "slowly", Text: "s l o w"}))) {
			if err := g.Send([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if m, err := guest.Await[wire.MessageFrame](g); err != nil || m.Text != "s l o w" {
			t.Fatalf("got %+v, %v", m, err)
		}
	})
	s.row(t, "W69 a binary frame", func(t *testing.T) {
		g := s.in(t, "fine")
		if err := g.Send(frame(socket.FIN|socket.Binary, `{"type":"ping"}`)); err != nil {
			t.Fatal(err)
		}
		wantClose(t, g.Conn, 1003)
	})
	for _, code := range []int{1000, 1001, 1003, 1011, 3000, 4999} {
		s.row(t, fmt.Sprint("a close with ", code), func(t *testing.T) {
			g := s.in(t, "fine")
			if err := g.Send(closeFrame(code, "bye")); err != nil {
				t.Fatal(err)
			}
			wantClose(t, g.Conn, code)
		})
	}
}

// TestHalfAFrame is F14: what did not come whole is not there at all.
func TestHalfAFrame(t *testing.T) {
	s := besiege(t, "--limits", "off")
	s.row(t, "F14 the connection ends in the middle of a frame", func(t *testing.T) {
		before := s.in(t, "fine")
		g := s.in(t, "fine")
		half := frame(text, string(wire.Encode(wire.Post{Room: "fine", Nonce: "half", Text: "half of this"})))
		if err := g.Send(half[:len(half)-1]); err != nil {
			t.Fatal(err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := before.Post(wire.Post{Room: "fine", Nonce: "whole", Text: "whole"}); err != nil {
			t.Fatal(err)
		}
		_, all, err := s.enter(t).Join(wire.Join{Room: "fine"})
		if err != nil || len(all) == 0 || all[len(all)-1].Text != "whole" {
			t.Errorf("the room ends with %+v, %v", all, err)
		}
		for _, m := range all {
			if strings.HasPrefix(m.Text, "half") {
				t.Errorf("half a frame became message %d", m.Seq)
			}
		}
	})
}
