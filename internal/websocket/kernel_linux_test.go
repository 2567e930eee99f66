package websocket

import "testing"

// TestTheKernelTakesLittleFromAClientThatDoesNotRead counts what goes out before
// the backlog begins to fill: the client's window, and what is not yet sent.
func TestTheKernelTakesLittleFromAClientThatDoesNotRead(t *testing.T) {
	s := newServer(t, &Options{Backlog: 64 << 20}, nil)
	_, p := s.connect(t)
	run := AppendFrame(nil, OpBinary, make([]byte, 8<<10))
	taken := 0
	for p.Buffered() == 0 {
		if err := p.Write(run); err != nil {
			t.Fatal(err)
		}
		taken += len(run)
	}
	if taken > 1<<20 {
		t.Errorf("the kernel took %d bytes", taken)
	}
	t.Logf("the kernel took %d bytes", taken)
	p.Cut()
	p.ended(t)
}
