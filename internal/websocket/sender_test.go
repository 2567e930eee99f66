package websocket

import (
	"encoding/binary"
	"math"
	"sync"
	"testing"
)

// eachSender runs a test with rings, where the system has them, and without.
func eachSender(t *testing.T, test func(t *testing.T, s *Sender)) {
	for name, off := range map[string]bool{"together": false, "one after the other": true} {
		t.Run(name, func(t *testing.T) {
			s := NewSender()
			t.Cleanup(s.Close)
			if off {
				s.failed.Store(math.MaxInt64 - int64(ringsAgain))
			}
			test(t, s)
			if !off && s.failed.Load() != 0 {
				t.Log("this system has no io_uring for us: writes went one after the other")
			}
		})
	}
}

// numbered is a frame that says who sent it, and which of theirs it is.
func numbered(sender, n uint32, size int) []byte {
	p := make([]byte, max(size, 8))
	binary.BigEndian.PutUint32(p, sender)
	binary.BigEndian.PutUint32(p[4:], n)
	return AppendFrame(nil, OpBinary, p)
}

// inOrder reads until it has n frames of each sender, in the order of each.
func inOrder(t *testing.T, c *client, senders int, n uint32) {
	t.Helper()
	next := make([]uint32, senders)
	for range senders * int(n) {
		op, p, err := c.next()
		if err != nil || op != OpBinary || len(p) < 8 {
			t.Fatalf("after %v: opcode %d, %d bytes, %v", next, op, len(p), err)
		}
		from, got := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
		if int(from) >= senders || got != next[from] {
			t.Fatalf("after %v: frame %d of sender %d", next, got, from)
		}
		next[from]++
	}
}

// Two senders, each from its own end, and a writer use the same 150 connections
// at once: more than a ring takes, one of them without a descriptor, one that reads late, through
// small buffers, so that runs are torn.
func TestASenderLosesAndReordersNothing(t *testing.T) {
	eachSender(t, func(t *testing.T, s *Sender) {
		o := &Options{Backlog: 64 << 20}
		server := newServer(t, o, nil)
		const members, frames = 150, 60
		clients, peers := make([]*client, members), make([]*peer, members)
		for i := range clients {
			if i == 70 {
				clients[i], peers[i] = pipePair(t, o, nil)
				continue
			}
			clients[i], peers[i] = server.connect(t)
		}
		const late = 100
		narrow(t, clients[late], peers[late])
		var reading, writing sync.WaitGroup
		for i, c := range clients {
			if i != late {
				reading.Go(func() { inOrder(t, c, 3, frames) })
			}
		}
		for sender := range uint32(2) {
			writing.Go(func() {
				for n := range uint32(frames) {
					s.Write(numbered(sender, n, 8000), members, func(i int) RunWriter {
						if sender == 1 {
							i = members - 1 - i
						}
						return peers[i].Conn
					})
				}
			})
		}
		writing.Go(func() {
			for n := range uint32(frames) {
				for _, p := range peers {
					_ = p.Write(numbered(2, n, 8000))
				}
			}
		})
		writing.Wait()
		if peers[late].Buffered() == 0 {
			t.Error("nothing was backlogged: no run was torn")
		}
		inOrder(t, clients[late], 3, frames)
		reading.Wait()
	})
}

func TestASenderSkipsWhoIsGoneAndCutsWhoIsTooSlow(t *testing.T) {
	eachSender(t, func(t *testing.T, s *Sender) {
		server := newServer(t, &Options{Backlog: 64 << 10}, nil)
		const members, gone, stuck = 20, 3, 4
		clients, peers := make([]*client, members), make([]*peer, members)
		for i := range clients {
			clients[i], peers[i] = server.connect(t)
		}
		peers[gone].Cut()
		narrow(t, clients[stuck], peers[stuck])
		const frames = 400
		for n := range uint32(frames) {
			s.Write(numbered(0, n, 2000), members, func(i int) RunWriter { return peers[i].Conn })
			for i, c := range clients {
				if i != gone && i != stuck {
					if _, p, err := c.next(); err != nil || binary.BigEndian.Uint32(p[4:]) != n {
						t.Fatalf("member %d, frame %d: %v", i, n, err)
					}
				}
			}
		}
		if e := peers[gone].ended(t); e.code != codeAbnormal {
			t.Errorf("who was cut before ended with %v", e)
		}
		if e := peers[stuck].ended(t); e.code != codeTooSlow {
			t.Errorf("who did not read ended with %v", e)
		}
		s.Write(nil, members, func(i int) RunWriter { return peers[i].Conn }) // nothing is nothing
		clients[0].send(OpText, "fine")
		clients[0].expect(OpText, "fine")
	})
}

// TestASenderKeepsToTheBudget: nobody reads, and one call makes so much wait that
// some have to go at once.
func TestASenderKeepsToTheBudget(t *testing.T) {
	eachSender(t, func(t *testing.T, s *Sender) {
		const limit = 1 << 20
		budget := NewBudget(limit)
		server := newServer(t, &Options{Budget: budget}, nil)
		peers := make([]*peer, sendTogether)
		for i := range peers {
			var c *client
			c, peers[i] = server.connect(t)
			narrow(t, c, peers[i])
		}
		s.Write(numbered(0, 0, limit/2), len(peers), func(i int) RunWriter { return peers[i].Conn })
		if w := budget.Waiting(); w > limit || w == 0 || budget.Shed() == 0 {
			t.Fatalf("%d bytes wait, %d connections were cut", w, budget.Shed())
		}
	})
}

// TestASenderNoticesABrokenSocket: the peer has reset the connection, and
// nothing but the write can tell.
func TestASenderNoticesABrokenSocket(t *testing.T) {
	eachSender(t, func(t *testing.T, s *Sender) {
		server := newServer(t, &Options{}, nil)
		peers := make([]*peer, sendTogether)
		for i := range peers {
			_, peers[i] = server.connect(t)
		}
		endSending(int(peers[0].fd)) // so that the next write fails with EPIPE
		run := AppendFrame(nil, OpText, []byte("x"))
		s.Write(run, len(peers), func(i int) RunWriter { return peers[i].Conn })
		if e := peers[0].ended(t); e.code != codeAbnormal {
			t.Errorf("ended with %v", e)
		}
		for _, p := range peers[1:] {
			if err := p.Write(run); err != nil {
				t.Errorf("another connection: %v", err)
			}
		}
	})
}
