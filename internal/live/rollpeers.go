package live

import (
	"errors"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// peer is another node. Whatever can be read on the broker can be sent again,
// seal and all, so a node is believed for as long as it shows that it hears this
// one: a beat tells the numbers of the beats that it answers, and what was
// recorded tells old ones, or none of a node that started later. What the node
// says is then in the order of its own numbers. No clock is compared with
// another one.
type peer struct {
	beaten int64     // number of the last beat
	came   time.Time // when that did
	shown  time.Time // when the node last showed that it hears this one; zero before
	named  int64     // number of the last name
	gone   bool      // it has said goodbye
}

// alive tells whether what the node says counts.
func (q *peer) alive() bool { return q != nil && !q.gone && !q.shown.IsZero() }

// since is when the node was last of use.
func (q *peer) since() time.Time {
	if q.alive() {
		return q.shown
	}
	return q.came
}

// age is how long ago the node said something, by its number: exact up to how
// long messages take.
func (q *peer) age(number int64) time.Duration {
	return max(0, time.Duration(q.beaten-number)*time.Microsecond+time.Since(q.came))
}

var errOld = errors.New("another node has said that before, or long ago")

// helloEvery is the least between two beats that only answer.
const helloEvery = 50 * time.Millisecond

// next is the number of what this node says next: the microseconds since its
// start, and more than all before. The caller holds presence.mu.
func (c *crowd) next() int64 {
	c.said = max(c.said+1, time.Since(c.started).Microseconds())
	return c.said
}

// recent tells whether a number of this node is so young that who has heard it
// is there. The caller holds presence.mu.
func (c *crowd) recent(number int64) bool {
	return number > 0 && time.Since(c.started)-time.Duration(number)*time.Microsecond <= forgetAfter
}

// numbers are those of the last beats of all others. The caller holds presence.mu.
func (c *crowd) numbers() map[string]int64 {
	last := make(map[string]int64, len(c.peers))
	for node, q := range c.peers {
		last[node] = q.beaten
	}
	return last
}

// living counts the others that are alive. The caller holds presence.mu.
func (c *crowd) living() (n int) {
	for _, q := range c.peers {
		if q.alive() {
			n++
		}
	}
	return n
}

// tell publishes events to the other nodes in the order of their numbers.
func (c *crowd) tell(events func() []channels.Event) {
	c.telling.Lock()
	defer c.telling.Unlock()
	for _, e := range events() {
		c.publish(e)
	}
}

// meet takes the head of a beat, and tells whether the node hears this one, so
// that the rest counts. The caller holds presence.mu.
func (p *presence) meet(b beat) (ok bool, err error) {
	c, now := p.crowd, time.Now()
	q := c.peers[b.Node]
	switch {
	case q == nil && len(c.peers) == rollNodes:
		return false, errManyNodes
	case q == nil:
		q = &peer{}
		c.peers[b.Node] = q
	case b.Sent < q.beaten:
		return false, errOld
	case b.Sent == q.beaten || q.gone:
		return false, nil
	}
	q.beaten, q.came, q.gone = b.Sent, now, b.Bye
	before := q.alive()
	if b.Bye {
		return false, nil
	}
	if ok = c.recent(b.Heard[c.self]); ok {
		q.shown = now
	}
	if !ok || !before { // it may not know that it is heard here
		p.hello()
	}
	c.due = c.due || ok && (b.Ask || !before)
	return ok, nil
}

// hello has a beat without rooms go out at once, which shows the others that they
// are heard. The caller holds mu.
func (p *presence) hello() {
	if !p.stopped {
		p.crowd.greet.within(0, p.sayHello)
	}
}

func (p *presence) sayHello(round int) {
	c := p.crowd
	c.tell(func() []channels.Event {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stopped || !c.greet.begin(round) {
			return nil
		}
		return []channels.Event{c.seal.carry(eventBeat, beat{Node: c.self, Sent: c.next(), Ask: c.asking, Heard: c.numbers()})}
	})
}
