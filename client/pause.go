package client

import (
	"time"

	"github.com/coder/websocket"

	"github.com/teahouse-chat/teahouse/wire"
)

// pauses are the waits before the tries to come back from one lost connection.
type pauses struct {
	jitter func(most time.Duration) time.Duration
	most   time.Duration // of the first random wait; each further one may be twice as long
	tries  int
	told   bool // the first wait is the server's to choose
}

// after makes the pauses after an end of a connection; hasty says that it came
// soon after the beginning. A server that restarts gives a time for this client
// alone, so nothing random is added to that. Where it is short, other servers are
// there, and a try that fails is soon followed by another.
func (c *Client) after(err error, hasty bool) pauses {
	p := pauses{jitter: c.jitter, most: time.Second}
	switch wait := asked(err); {
	case int(websocket.CloseStatus(err)) == wire.CloseRestart && wait > 0:
		p.told = true
		p.most = min(max(wait, 100*time.Millisecond), time.Second)
	case hasty:
		p.tries = 1
	}
	return p
}

// next is how long to wait before a try: what the server asks for, and a random
// time that grows with the tries, so that not all come back at once.
func (p *pauses) next(asked time.Duration) time.Duration {
	if p.told {
		p.told = false
		return asked
	}
	wait := asked + p.jitter(min(p.most<<min(p.tries, 10), longest))
	p.tries++
	return wait
}
