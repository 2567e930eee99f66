package wire_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

const line = "sixty-four bytes are about this much, which is a line of chat..."

func message(text string) wire.Message {
	return wire.Message{
		Seq: 1234, Author: wire.Person{ID: "2h4zv2k621kzn", Name: "Dewy Sparrow", Tag: "6xqp"},
		Text: text, At: wire.Time{Time: time.UnixMilli(1_777_777_777_777)}, Nonce: "XYNY5J6V236W4FBWNSZH3BSPRN",
	}
}

func page(n int) []wire.Message {
	all := make([]wire.Message, n)
	for i := range all {
		all[i] = message(line)
	}
	return all
}

// postFrame is a post whose text stands in the frame as given.
func postFrame(text string) []byte {
	return []byte(`{"type":"post","room":"lobby","nonce":"XYNY5J6V236W4FBWNSZH3BSPRN","text":"` + text + `"}`)
}

// manyKeys is a frame of the largest size that is all objects with as many keys
// as allowed: the most expensive to check.
func manyKeys() []byte {
	keys := make([]string, wire.MaxKeys)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"%02d":0`, i)
	}
	object := "{" + strings.Join(keys, ",") + "}"
	return []byte(`{"type":"ping","x":[` + strings.Repeat(object+",", wire.MaxFrame/len(object)-2) + `0]}`)
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name  string
		frame []byte
	}{
		{"post", postFrame(line)},
		{"post in Chinese", postFrame(strings.Repeat("茶", 21))},
		{"post in Chinese, escaped", postFrame(strings.Repeat(`\u8336`, 21))},
		{"post of 1 KiB", postFrame(strings.Repeat(line, 16))},
		{"typing", []byte(`{"type":"typing","room":"lobby"}`)},
		{"join", []byte(`{"type":"join","ref":"j","room":"lobby","after":4711,"epoch":"00ff00ff00ff00ff"}`)},
		{"64 KiB of objects", manyKeys()},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := wire.Decode(c.frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodePlain(b *testing.B) {
	frame := []byte(`{"message":"` + line + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodePlain(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range []struct {
		name  string
		frame wire.Frame
	}{
		{"message", wire.MessageFrame{Room: "lobby", Message: message(line)}},
		{"message in Chinese", wire.MessageFrame{Room: "lobby", Message: message(strings.Repeat("茶", 21))}},
		{"message of 1 KiB", wire.MessageFrame{Room: "lobby", Message: message(strings.Repeat(line, 16))}},
		{"ack", wire.Ack{Room: "lobby", Nonce: "XYNY5J6V236W4FBWNSZH3BSPRN", Seq: 1234, At: message("").At}},
		{"page of 50 messages", wire.Messages{Room: "lobby", Messages: page(50)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				wire.Encode(c.frame)
			}
		})
	}
}

func BenchmarkEncodePlain(b *testing.B) {
	m := wire.PlainMessage{Message: line, Username: "Dewy Sparrow", Seq: 1234}
	b.ReportAllocs()
	for b.Loop() {
		wire.EncodePlain(m)
	}
}

// The frames of every post, and of everybody who hears it, are few allocations:
// the strings and the frame when reading, the bytes when writing.
func TestHotFramesCostFewAllocations(t *testing.T) {
	post, plain := postFrame(line), []byte(`{"message":"`+line+`"}`)
	var frame wire.Frame = wire.MessageFrame{Room: "lobby", Message: message(line)}
	for _, c := range []struct {
		name string
		most float64
		do   func()
	}{
		{"a post is read", 3, func() { _, _ = wire.Decode(post) }},
		{"a plain message is read", 1, func() { _, _ = wire.DecodePlain(plain) }},
		{"a message is written", 1, func() { wire.Encode(frame) }},
		{"an answer is written", 1, func() { wire.Encode(wire.Ack{Room: "lobby", Nonce: "n", Seq: 1, At: message("").At}) }},
		{"a page of messages is written", 1, func() { wire.Encode(wire.Messages{Room: "lobby", Messages: page(0)}) }},
		{"a plain message is written", 1, func() { wire.EncodePlain(wire.PlainMessage{Message: line, Username: "A", Seq: 1}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := testing.AllocsPerRun(100, c.do); got > c.most {
				t.Errorf("%v allocations, want at most %v", got, c.most)
			}
		})
	}
}
