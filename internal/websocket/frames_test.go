package websocket

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// closePayload is what a close frame carries.
func closePayload(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// declare is the header of a frame of a length that need not follow.
func declare(first byte, length uint64) string {
	b := append([]byte{first, bitMask | 127}, 0, 0, 0, 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint64(b[2:], length)
	return string(b) + "key!"
}

func frames(parts ...any) string {
	var b strings.Builder
	for i := 0; i < len(parts); i += 2 {
		b.Write(clientFrame(byte(parts[i].(int)), parts[i+1].(string)))
	}
	return b.String()
}

const (
	fin  = 0x80
	text = 0x1
	bin  = 0x2
	cont = 0x0
	clos = 0x8
	ping = 0x9
	pong = 0xA
)

// attacks are inputs that must end their own connection with a certain code,
// and nothing else. Rows with a number are those of the list of bad inputs.
var attacks = []struct {
	name string
	in   string
	code int
}{
	{"44 unmasked text", "\x81\x02hi", 1002},
	{"44 unmasked empty text", "\x81\x00", 1002},
	{"44 unmasked ping", "\x89\x00", 1002},
	{"44 unmasked close", "\x88\x02\x03\xe8", 1002},
	{"45 RSV1 on text", frames(fin|0x40|text, "x"), 1002},
	{"46 RSV2 on text", frames(fin|0x20|text, "x"), 1002},
	{"46 RSV3 on text", frames(fin|0x10|text, "x"), 1002},
	{"RSV1 on ping", frames(fin|0x40|ping, ""), 1002},
	{"RSV1 on close", frames(fin|0x40|clos, ""), 1002},
	{"RSV1 on continuation", frames(text, "a", fin|0x40|cont, "b"), 1002},
	{"all RSV bits, one byte only", "\xf1", 1002},
	{"47 opcode 3", frames(fin|3, ""), 1002},
	{"47 opcode 4", frames(fin|4, "x"), 1002},
	{"47 opcode 5", frames(fin|5, "x"), 1002},
	{"47 opcode 6", frames(fin|6, "x"), 1002},
	{"47 opcode 7", frames(fin|7, "x"), 1002},
	{"48 opcode B", frames(fin|0xB, ""), 1002},
	{"48 opcode C", frames(fin|0xC, "x"), 1002},
	{"48 opcode D", frames(fin|0xD, "x"), 1002},
	{"48 opcode E", frames(fin|0xE, "x"), 1002},
	{"48 opcode F", frames(fin|0xF, "x"), 1002},
	{"49 ping of 126 bytes", frames(fin|ping, strings.Repeat("p", 126)), 1002},
	{"49 pong of 126 bytes", frames(fin|pong, strings.Repeat("p", 126)), 1002},
	{"49 close of 126 bytes", frames(fin|clos, closePayload(1000, strings.Repeat("p", 124))), 1002},
	{"ping with a 64-bit length", declare(fin|ping, 5), 1002},
	{"50 fragmented ping", frames(ping, "a"), 1002},
	{"50 fragmented close", frames(clos, closePayload(1000, "")), 1002},
	{"continuation of nothing", frames(fin|cont, "x"), 1002},
	{"continuation of nothing, not the last", frames(cont, "x"), 1002},
	{"continuation after a whole message", frames(fin|text, "x", fin|cont, "x"), 1002},
	{"51 text inside a fragmented message", frames(text, "a", fin|text, "b"), 1002},
	{"51 binary inside a fragmented message", frames(text, "a", bin, "b"), 1002},
	{"52 invalid UTF-8", frames(fin|text, "\xff"), 1007},
	{"52 invalid UTF-8 in the middle", frames(fin|text, "ab\xc3\x28cd"), 1007},
	{"52 lone continuation byte", frames(fin|text, "\x80"), 1007},
	{"52 in a first fragment, nothing behind", frames(text, "a\xfe"), 1007},
	{"52 across fragments", frames(text, "\xe4\xbd", cont, "x"), 1007},
	{"53 truncated at the end", frames(fin|text, "ok \xe4\xbd"), 1007},
	{"53 truncated at the end of the last fragment", frames(text, "\xe4", fin|cont, "\xbd"), 1007},
	{"53 truncated, last fragment empty", frames(text, "\xf0\x9f", fin|cont, ""), 1007},
	{"54 overlong C0 80", frames(fin|text, "\xc0\x80"), 1007},
	{"54 overlong E0 80 80", frames(fin|text, "\xe0\x80\x80"), 1007},
	{"surrogate ED A0 80", frames(fin|text, "\xed\xa0\x80"), 1007},
	{"55 above U+10FFFF", frames(fin|text, "\xf4\x90\x80\x80"), 1007},
	{"55 above U+10FFFF, failing at its second byte", frames(text, "\xf4", cont, "\x90"), 1007},
	{"56 close of one byte", frames(fin|clos, "\x03"), 1002},
	{"57 close 0", frames(fin|clos, closePayload(0, "")), 1002},
	{"57 close 999", frames(fin|clos, closePayload(999, "")), 1002},
	{"57 close 1004", frames(fin|clos, closePayload(1004, "")), 1002},
	{"57 close 1005", frames(fin|clos, closePayload(1005, "")), 1002},
	{"57 close 1006", frames(fin|clos, closePayload(1006, "")), 1002},
	{"57 close 1015", frames(fin|clos, closePayload(1015, "")), 1002},
	{"57 close 1016", frames(fin|clos, closePayload(1016, "")), 1002},
	{"57 close 2999", frames(fin|clos, closePayload(2999, "")), 1002},
	{"57 close 5000", frames(fin|clos, closePayload(5000, "")), 1002},
	{"57 close 65535", frames(fin|clos, closePayload(65535, "")), 1002},
	{"58 close reason with bad UTF-8", frames(fin|clos, closePayload(1000, "\xff")), 1007},
	{"58 close reason truncated", frames(fin|clos, closePayload(1000, "a\xe4")), 1007},
	{"59 length with the top bit set", declare(fin|text, 1<<63), 1002},
	{"59 length of all ones", declare(fin|bin, 1<<64-1), 1002},
	{"60 length 2^63-1", declare(fin|text, 1<<63-1), 1009},
	{"61 declares 1 GiB", declare(fin|bin, 1<<30), 1009},
	{"61 declares 1 GiB in a second fragment", frames(bin, "a") + declare(fin|cont, 1<<30), 1009},
	{"62 127 form for 5 bytes", declare(fin|text, 5) + "12345", 1002},
	{"62 127 form for 65535 bytes", declare(fin|text, 65535), 1002},
	{"62 126 form for 5 bytes", "\x81\xfe\x00\x05key!12345", 1002},
	{"62 126 form for 125 bytes", "\x81\xfe\x00\x7dkey!", 1002},
	{"63 64 KiB and one", frames(fin|bin, strings.Repeat("x", 64<<10+1)), 1009},
	{"63 64 KiB and one in two fragments", frames(bin, strings.Repeat("x", 64<<10), fin|cont, "x"), 1009},
	{"64 a thousand empty fragments", frames(text, "") + strings.Repeat(frames(cont, ""), 999), 1008},
	{"64 129 fragments", frames(text, "") + strings.Repeat(frames(cont, "x"), 127) + frames(fin|cont, "x"), 1008},
	{"68 compressed text without the extension", frames(fin|0x40|text, "\xf2\x48\xcd\xc9\xc9\x07\x00"), 1002},
	{"70 pings beyond the limit", strings.Repeat(frames(fin|ping, ""), 250), 4429},
	{"70 pongs beyond the limit", strings.Repeat(frames(fin|pong, "x"), 250), 4429},
}

func TestEachAttackEndsItsOwnConnectionWithItsCode(t *testing.T) {
	s := newServer(t, &Options{}, nil)
	bystander, _ := s.connect(t)
	for i, a := range attacks {
		for _, step := range []int{1 << 20, 1} {
			if step == 1 && len(a.in) > 4096 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d at a time", a.name, step), func(t *testing.T) {
				c, p := s.connect(t)
				for in := []byte(a.in); len(in) > 0; {
					n := min(step, len(in))
					if _, err := c.Write(in[:n]); err != nil {
						break // the server need not read to the end
					}
					in = in[n:]
				}
				c.expectClose(a.code)
				c.expectEnd()
				c.Close()
				if e := p.ended(t); e.code != a.code {
					t.Errorf("Closed was told %v, want %d", e, a.code)
				}
			})
		}
		said := fmt.Sprint("still here ", i)
		bystander.send(OpText, said)
		bystander.expect(OpText, said)
	}
}

func TestWhatIsOddButAllowedIsEchoed(t *testing.T) {
	big := strings.Repeat("x", 64<<10)
	type msg struct {
		op Opcode
		p  string
	}
	cases := []struct {
		name string
		in   string
		want []msg
	}{
		{"empty text", frames(fin|text, ""), []msg{{OpText, ""}}},
		{"125, 126 and 127 bytes", frames(fin|bin, big[:125], fin|bin, big[:126], fin|bin, big[:127]),
			[]msg{{OpBinary, big[:125]}, {OpBinary, big[:126]}, {OpBinary, big[:127]}}},
		{"exactly 64 KiB", frames(fin|bin, big), []msg{{OpBinary, big}}},
		{"65535 bytes", frames(fin|bin, big[1:]), []msg{{OpBinary, big[1:]}}},
		{"128 fragments", frames(text, "a") + strings.Repeat(frames(cont, ""), 126) + frames(fin|cont, "b"), []msg{{OpText, "ab"}}},
		{"a ping between fragments", frames(text, "a", fin|ping, "now", fin|cont, "b"), []msg{{OpPong, "now"}, {OpText, "ab"}}},
		{"a ping of 125 bytes", frames(fin|ping, big[:125]), []msg{{OpPong, big[:125]}}},
		{"71 unsolicited pongs", frames(fin|pong, "", fin|pong, "x", fin|text, "y"), []msg{{OpText, "y"}}},
		{"a code point across three fragments", frames(text, "\xf0", cont, "\x9f\x8d", fin|cont, "\xb5"), []msg{{OpText, "🍵"}}},
		{"U+10FFFF and noncharacters", frames(fin|text, "\U0010FFFF\uFFFE\uFFFF\x00"), []msg{{OpText, "\U0010FFFF\uFFFE\uFFFF\x00"}}},
		{"bytes that are no text in binary", frames(fin|bin, "\xff\xfe"), []msg{{OpBinary, "\xff\xfe"}}},
		{"many messages at once", strings.Repeat(frames(fin|text, "茶"), 3), []msg{{OpText, "茶"}, {OpText, "茶"}, {OpText, "茶"}}},
		{"a mask of zeros", "\x81\x82\x00\x00\x00\x00hi", []msg{{OpText, "hi"}}},
	}
	s := newServer(t, &Options{}, nil)
	for _, tc := range cases {
		for _, step := range []int{1 << 20, 1000, 1} {
			if step == 1 && len(tc.in) > 4096 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d at a time", tc.name, step), func(t *testing.T) {
				c, p := s.connect(t)
				for in := []byte(tc.in); len(in) > 0; {
					n := min(step, len(in))
					c.raw(in[:n])
					in = in[n:]
				}
				for _, m := range tc.want {
					c.expect(m.op, m.p)
				}
				c.send(OpClose, closePayload(1000, "done"))
				c.expectClose(1000)
				c.expectEnd()
				if e := p.ended(t); e != (ending{1000, "done"}) {
					t.Errorf("Closed was told %v", e)
				}
			})
		}
	}
}

func TestClosesOfThePeerAreAnsweredInKind(t *testing.T) {
	s := newServer(t, &Options{}, nil)
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999, 1005} {
		c, p := s.connect(t)
		payload := closePayload(code, "bye")
		want := ending{code, "bye"}
		if code == 1005 {
			payload, want.reason = "", ""
		}
		c.send(OpClose, payload)
		if reason := c.expectClose(code); reason != "" {
			t.Errorf("close %d was answered with reason %q", code, reason)
		}
		c.expectEnd()
		if e := p.ended(t); e != want {
			t.Errorf("Closed was told %v, want %v", e, want)
		}
	}
}

func TestADeclaredLengthAllocatesNothing(t *testing.T) {
	in := []byte(declare(fin|bin, 1<<20))
	o := &Options{MaxMessage: 1 << 30}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		rest, err := parse(o, nil, in, nil)
		if err != nil && rest == nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 100<<10 {
		t.Errorf("100 headers declaring 1 MiB took %d bytes", grown)
	}
}
