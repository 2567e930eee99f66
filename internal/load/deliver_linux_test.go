package load

import (
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

// BenchmarkDelivery is what the generator itself spends on one delivery, beside
// the kernel: it must stay well below what a server spends.
func BenchmarkDelivery(b *testing.B) {
	r := &run{plan: Default(Fanout), began: time.Now()}
	l, err := newLoop(r)
	if err != nil {
		b.Fatal(err)
	}
	defer l.closeFiles()
	c := &conn{state: joined, member: Member{Room: "bench-x-1"}, seq: -1, chain: chainStart}
	l.conns = []*conn{c}
	l.windows, l.now = []window{{0, time.Hour, newHistogram()}}, time.Second+3*time.Millisecond
	frame := serverFrame(opText, wire.Encode(wire.MessageFrame{Room: c.member.Room, Message: wire.Message{
		Seq: 1, Author: wire.Person{ID: "0123456789abc", Name: "Quiet Heron", Tag: "k3f9"},
		Text: string(appendText(nil, stamp{poster: 7, number: 9, due: time.Second}, 64)), Nonce: "9",
	}}))
	for b.Loop() {
		c.seq = 0
		l.consume(c, frame)
	}
	if len(l.troubles) > 0 {
		b.Fatal(l.troubles)
	}
}
