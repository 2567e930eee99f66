package websocket

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// TestASenderGoesOnWithoutRings: the system refuses a ring that it has given.
func TestASenderGoesOnWithoutRings(t *testing.T) {
	s := NewSender()
	t.Cleanup(s.Close)
	server := newServer(t, &Options{}, nil)
	clients, peers := make([]*client, ringSize+sendTogether), make([]*peer, ringSize+sendTogether)
	for i := range peers {
		clients[i], peers[i] = server.connect(t)
	}
	write := func(text string) {
		t.Helper()
		s.Write(AppendFrame(nil, OpText, []byte(text)), len(peers), func(i int) RunWriter { return peers[i].Conn })
		for _, c := range clients {
			c.expect(OpText, text)
		}
	}
	for range cap(s.rings) {
		write("before")
	}
	if s.failed.Load() != 0 {
		t.Skip("this system has no io_uring for us")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for range cap(s.rings) {
		r := <-s.rings
		if err := syscall.Dup3(int(null.Fd()), r.fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		s.rings <- r
	}
	for range cap(s.rings) {
		write("with a ring that fails")
		at := s.failed.Load()
		if at == 0 {
			t.Fatal("the ring did not fail")
		}
		write("without")
		if s.failed.Load() != at {
			t.Fatal("a ring was tried again at once")
		}
		s.failed.Store(time.Now().Add(-ringsAgain).UnixNano())
	}
	write("with another ring")
	made := 0
	for range cap(s.rings) {
		r := <-s.rings
		if r != nil {
			made++
		}
		s.rings <- r
	}
	if made != 1 {
		t.Errorf("%d rings were made", made)
	}
}
