package websocket

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// kilo is a run of one frame of exactly 1,000 bytes.
var kilo = AppendFrame(nil, OpBinary, make([]byte, 996))

// settled checks that the budget is given back when all is closed.
func settled(t *testing.T, b *Budget) {
	t.Helper()
	if n := b.Waiting(); n != 0 || len(b.behind) != 0 {
		t.Errorf("%d bytes of %d connections are still counted", n, len(b.behind))
	}
}

// sum is what the connections themselves say.
func sum(peers []*peer) (n int64) {
	for _, p := range peers {
		n += int64(p.Buffered())
	}
	return n
}

func TestOverTheBudgetTheWorstGoesFirstAndTheOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(1_000_000)
		endpoints := []*Options{{Budget: b}, {Budget: b}} // share it
		var clients []*client
		var peers []*peer
		written := []int{100, 300, 150, 250, 200} // frames of 1,000 bytes
		for i, frames := range written {
			c, p := pipePair(t, endpoints[i%2], nil)
			clients, peers = append(clients, c), append(peers, p)
			synctest.Wait() // until the answer is out
			for range frames {
				if err := p.Write(kilo); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n := b.Waiting(); n != 1_000_000 || n != sum(peers) || b.Shed() != 0 {
			t.Fatalf("%d bytes are counted, %d wait, %d were cut", n, sum(peers), b.Shed())
		}
		open := []int{0, 1, 2, 3, 4}
		for turn, worst := range []int{1, 3} {
			for i := 0; b.Shed() == uint64(turn); i++ { // all grow alike
				k := open[i%len(open)]
				if err := peers[k].Write(kilo); err != nil {
					t.Fatal(err)
				}
				written[k]++
				if n := b.Waiting(); n > 1_000_000 || n != sum(peers) {
					t.Fatalf("%d bytes are counted, %d wait", n, sum(peers))
				}
			}
			if e := <-peers[worst].closed; e.code != codeTooSlow {
				t.Errorf("the worst was closed with %v", e)
			}
			open = slices.DeleteFunc(open, func(k int) bool { return k == worst })
		}
		for _, k := range open {
			for range written[k] {
				clients[k].expect(OpBinary, string(kilo[4:]))
			}
			clients[k].send(OpText, "fine")
			clients[k].expect(OpText, "fine")
			clients[k].Close()
			<-peers[k].closed
		}
		if b.Shed() != 2 {
			t.Errorf("%d were cut", b.Shed())
		}
		settled(t, b)
	})
}

func TestAConnectionAloneOverTheBudgetIsCutAlsoBeforeItIsOpen(t *testing.T) {
	b := NewBudget(1000)
	c, err := Begin(&pipeWriter{}, upgradeTo("/"), &Options{Budget: b})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Write(kilo), c.Write(kilo)); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(kilo); !errors.Is(err, ErrClosed) || b.Shed() != 1 {
		t.Errorf("got %v, %d were cut", err, b.Shed())
	}
	c.Cut()
	settled(t, b)
}

func TestALargeTornFrameIsNotKeptForAGoodbye(t *testing.T) {
	b := NewBudget(1 << 20)
	s := newServer(t, &Options{Budget: b}, nil)
	c, p := s.connect(t)
	narrow(t, c, p)
	if err := p.Write(AppendFrame(nil, OpBinary, make([]byte, 16<<20))); err != nil {
		t.Fatal(err)
	}
	if n := b.Waiting(); n != 0 {
		t.Errorf("%d bytes are kept", n)
	}
	if e := p.ended(t); e.code != codeTooSlow {
		t.Errorf("Closed was told %v", e)
	}
	settled(t, b)
}

func TestMemoryIsBoundedWhenManyStopReading(t *testing.T) {
	const stuck, each, limit = 64, 1 << 20, 4 << 20
	b := NewBudget(limit)
	s := newServer(t, &Options{Budget: b}, nil)
	var peers []*peer
	for range stuck {
		c, p := s.connect(t)
		narrow(t, c, p)
		peers = append(peers, p)
	}
	good, goodPeer := s.connect(t)
	before := heap()
	run := bytes.Repeat(kilo, 16)
	for range each / len(run) {
		for _, p := range peers {
			_ = p.Write(run)
			if n := b.Waiting(); n > limit+stuck*(flushPiece/4) {
				t.Fatalf("%d bytes wait", n)
			}
		}
		if err := goodPeer.Write(kilo); err != nil {
			t.Fatalf("the one that reads: %v", err)
		}
		good.expect(OpBinary, string(kilo[4:]))
	}
	if b.Shed() < stuck/2 {
		t.Fatalf("only %d were cut: this tests nothing", b.Shed())
	}
	if grown := heap() - before; grown > 3*limit {
		t.Errorf("%d KiB of heap for %d KiB that may wait", grown>>10, limit>>10)
	}
	for _, p := range append(peers, goodPeer) {
		p.Cut()
		p.ended(t)
	}
	settled(t, b)
}

// heap is what is live now.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// With everything going on at once the sum must still come out as nothing.
func TestTheBudgetIsGivenBackExactly(t *testing.T) {
	b := NewBudget(1 << 20)
	var all sync.WaitGroup
	var peers []*peer
	s := newServer(t, &Options{Budget: b, Backlog: 256 << 10}, nil)
	for i := range 24 {
		connect := s.connect
		if i%3 == 0 { // as over TLS
			connect = func(t testing.TB) (*client, *peer) {
				return pipePair(t, &Options{Budget: b, Backlog: 256 << 10}, nil)
			}
		}
		c, p := connect(t)
		if _, ok := c.Conn.(*net.TCPConn); ok {
			narrow(t, c, p)
		}
		peers = append(peers, p)
		rng := rand.New(rand.NewPCG(1, uint64(i)))
		readable := []int64{1 << 40, 100_000, 0}[rng.IntN(3)]
		all.Go(func() { _, _ = io.CopyN(io.Discard, c.br, readable) })
		all.Go(func() { churn(p, rng) })
	}
	for _, p := range peers {
		p.ended(t)
	}
	all.Wait()
	settled(t, b)
}

// churn writes in all ways until the connection ends, one way or another.
func churn(p *peer, rng *rand.Rand) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	for n := 0; n < 2000; n++ {
		run := bytes.Repeat(kilo, 1+rng.IntN(40))
		write := p.Write
		if rng.IntN(4) == 0 {
			write = func(run []byte) error { return p.WriteWait(ctx, run) }
		}
		if write(run) != nil {
			break
		}
	}
	if rng.IntN(2) == 0 {
		p.Close(1000, "")
	}
	p.Cut()
}
