package wire_test

import (
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

func BenchmarkDecodePost(b *testing.B) {
	frame := []byte(`{"type":"post","room":"lobby","nonce":"XYNY5J6V236W4FBWNSZH3BSPRN","text":"sixty-four bytes are about this much, which is a line of chat..."}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeMessage(b *testing.B) {
	m := wire.MessageFrame{Room: "lobby", Message: wire.Message{
		Seq: 1234, Author: wire.Person{ID: "2h4zv2k621kzn", Name: "Dewy Sparrow", Tag: "6xqp"},
		Text: "sixty-four bytes are about this much, which is a line of chat...", At: wire.Time{Time: time.Now()}, Nonce: "XYNY5J6V236W4FBWNSZH3BSPRN",
	}}
	b.ReportAllocs()
	for b.Loop() {
		wire.Encode(m)
	}
}
