package websocket

import "testing"

// TestABacklogThatShrinksLetsItsMemoryGo is about clients that let much wait,
// take nearly all of it and then no more: what still waits is counted against
// the budget, so the memory it lies in must not be many times as much.
func TestABacklogThatShrinksLetsItsMemoryGo(t *testing.T) {
	const bound = 1 << 20
	c := &Conn{o: &Options{Backlog: bound, Budget: NewBudget(0)}, fd: -1}
	run := AppendFrame(nil, OpBinary, make([]byte, 1000))
	check := func(doing string) {
		t.Helper()
		if array := int(c.gone) + cap(c.backlog); array > max(fitAbove, maxSlack*len(c.backlog)) {
			t.Fatalf("%s: %d bytes lie in %d", doing, len(c.backlog), array)
		}
	}
	moved := 0
	for _, most := range []int{bound - len(run), 300 << 10, 100 << 10} {
		for len(c.backlog)+len(run) < most {
			c.queue(run)
			check("growing")
		}
		for len(c.backlog) > len(run) {
			before := &c.backlog[len(run)]
			c.sent(len(run))
			if c.fit(); before != &c.backlog[0] {
				moved += len(c.backlog)
			}
			check("shrinking")
		}
	}
	if moved == 0 || moved > bound {
		t.Errorf("%d bytes were moved", moved)
	}
	c.sent(len(c.backlog))
	if c.backlog != nil || c.gone != 0 {
		t.Errorf("an empty backlog keeps %d bytes", int(c.gone)+cap(c.backlog))
	}
}
