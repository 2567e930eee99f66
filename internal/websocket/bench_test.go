package websocket

import (
	"io"

	"testing"
	"time"
)

// fanOut opens n connections whose clients drop what they receive.
func fanOut(b *testing.B, n int) []*peer {
	s := newServer(b, &Options{Backlog: 64 << 20, PingEvery: time.Hour}, nil) // these clients answer no ping
	peers := make([]*peer, n)
	for i := range peers {
		c, p := s.connect(b)
		_ = c.SetDeadline(time.Time{})
		peers[i] = p
		go func() { _, _ = io.Copy(struct{ io.Writer }{io.Discard}, c.Conn) }()
	}
	b.Cleanup(func() {
		for _, p := range peers {
			p.Cut()
			p.ended(b)
		}
	})
	return peers
}

// BenchmarkFanOut writes one frame of 64 bytes to 1,000 connections, in turn
// through a Sender, through Write, through net.Conn.Write, and by the plain loop
// of write calls, which only many writes in one call can beat. An operation is one round of each, so that the three
// figures can be read against each other on a noisy machine.
func BenchmarkFanOut(b *testing.B) {
	run := AppendFrame(nil, OpText, make([]byte, 64))
	peers := fanOut(b, 1000)
	s := NewSender()
	b.Cleanup(s.Close)
	each := func(write func(p *peer) error) func() {
		return func() {
			for _, p := range peers {
				if err := write(p); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	ways := []struct {
		unit  string
		write func()
		took  time.Duration
	}{
		{unit: "Sender-ns/delivery", write: func() { s.Write(run, len(peers), func(i int) RunWriter { return peers[i].Conn }) }},
		{unit: "Write-ns/delivery", write: each(func(p *peer) error { return p.Write(run) })},
		{unit: "syscall-ns/delivery", write: each(func(p *peer) error { _, err := trySend(int(p.fd), run); return err })},
		{unit: "net.Conn-ns/delivery", write: each(func(p *peer) error { _, err := p.nc.Write(run); return err })},
	}
	for turn := 0; b.Loop(); turn++ {
		for i := range ways {
			w := &ways[(turn+i)%len(ways)]
			start := time.Now()
			w.write()
			w.took += time.Since(start)
		}
	}
	for _, w := range ways {
		b.ReportMetric(float64(w.took.Nanoseconds())/float64(b.N*len(peers)), w.unit)
	}
}

// BenchmarkEcho is one message there and back, parked reader included.
func BenchmarkEcho(b *testing.B) {
	s := newServer(b, &Options{}, nil)
	c, p := s.connect(b)
	_ = c.SetDeadline(time.Time{})
	frame := clientFrame(fin|text, "a message of some thirty bytes")
	answer := make([]byte, len(frame)-4)
	b.ReportAllocs()
	for b.Loop() {
		c.raw(frame)
		if _, err := io.ReadFull(c.br, answer); err != nil {
			b.Fatal(err)
		}
	}
	p.Cut()
	p.ended(b)
}

// BenchmarkParse reads frames that lie whole in one buffer.
func BenchmarkParse(b *testing.B) {
	o := &Options{}
	o.prepare()
	in := []byte(frames(fin|text, "a message of some thirty bytes"))
	buf := make([]byte, len(in))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, in)
		if _, err := parse(o, nil, buf, nothing{}); err != nil {
			b.Fatal(err)
		}
	}
}

type nothing struct{}

func (nothing) message(Opcode, []byte)       {}
func (nothing) control(Opcode, []byte) error { return nil }
