//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

const (
	twicePercent    = 5 // of messages are posted on two nodes at once
	conflictPercent = 2 // have their nonce used again for another text
	leaveOnce       = 4 // in so many refusals a poster leaves the node that refused
)

// otherText is what a nonce is used again for.
const otherText = "another text"

// poster says one message after another. Without an answer it says the message
// again with the same nonce, on another node, until it is stored. It belongs to
// its goroutine.
type poster struct {
	// fixed
	opening *Opening
	record  *record
	people  People
	rooms   []string
	number  int
	quit    <-chan struct{} // nothing new is said when it is closed
	last    <-chan struct{} // and nothing at all

	who    identity
	random *rand.Rand
	home   *node // where it is, or wants to be
	socket *guest.Guest
	said   int
}

// run posts until quit, and then until the last message is stored.
func (p *poster) run() {
	defer p.leave()
	for {
		select {
		case <-p.quit:
			return
		case <-time.After(time.Duration(p.random.Int64N(int64(2 * p.people.Think)))):
		}
		if !p.say() {
			return
		}
	}
}

func (p *poster) leave() {
	if p.socket != nil {
		_ = p.socket.Close() // the server may have gone
		p.socket = nil
	}
}

// say says one message; ok is false when time is over.
func (p *poster) say() (ok bool) {
	p.said++
	nonce := fmt.Sprintf("%d-%d", p.number, p.said)
	post := wire.Post{
		Room: p.rooms[p.random.IntN(len(p.rooms))], Nonce: nonce,
		Text: "say " + nonce + strings.Repeat(" 茶", p.random.IntN(p.people.Size/4+1)),
	}
	stored := false
	if p.who.token != "" && p.random.IntN(100) < twicePercent {
		stored = p.twice(post)
	}
	for !stored {
		outcome, tried := p.attempt(post)
		if stored = tried && outcome == check.Stored; stored {
			break
		}
		if !p.pause() {
			p.record.violate(check.Unhealed, "nonce %s of %s is not acknowledged by %s", nonce, post.Room, p.home.name)
			return false
		}
	}
	if p.random.IntN(100) < conflictPercent {
		again := post
		again.Text = otherText
		p.elsewhere(p.other(), again)
	}
	return true
}

// pause is between two attempts; ok is false when time is over.
func (p *poster) pause() (ok bool) {
	select {
	case <-p.last:
		return false
	case <-time.After(time.Duration(p.random.Int64N(int64(200 * time.Millisecond)))):
		return true
	}
}

// other is another node than that where the poster is.
func (p *poster) other() *node {
	all := p.opening.node
	for {
		if n := all[p.random.IntN(len(all))]; n != p.home {
			return n
		}
	}
}

// attempt posts on the poster's socket; tried is false when there is none.
func (p *poster) attempt(post wire.Post) (outcome check.Outcome, tried bool) {
	if p.socket == nil {
		g, err := p.opening.enter(p.home, p.who, p.rooms, p.people.patience())
		if err != nil {
			p.record.failed(err)
			p.home = p.other()
			return check.Unknown, false
		}
		p.socket = g
		if p.who.id == "" {
			p.who = identity{g.Welcome.You.ID, g.Welcome.Token, g.Welcome.Epoch}
		}
	}
	outcome, err := p.send(p.socket, p.home, post)
	var mistake *guest.Mistake
	if err != nil && (!errors.As(err, &mistake) || p.random.IntN(leaveOnce) == 0) {
		p.leave()
		p.home = p.other()
	}
	return outcome, true
}

// send posts on a socket and records it.
func (p *poster) send(g *guest.Guest, n *node, post wire.Post) (check.Outcome, error) {
	r := check.Post{
		Room: post.Room, Author: g.Welcome.You.ID, Nonce: post.Nonce, Text: post.Text, Node: n.name, Sent: p.record.now(),
		Other: post.Text == otherText,
	}
	seq, _, err := g.Post(post)
	var mistake *guest.Mistake
	switch {
	case err == nil:
		r.Outcome, r.Seq = check.Stored, seq
	case !errors.As(err, &mistake):
		p.record.failed(err)
	case mistake.Code == wire.CodeNonceConflict:
		r.Outcome = check.Conflict
	case mistake.Code != wire.CodeUnavailable:
		r.Outcome = check.Refused
	}
	if mistake != nil {
		r.Code = mistake.Code
		p.record.refused(mistake.Code)
		if r.Outcome == check.Refused && mistake.RetryMS <= 0 {
			p.record.violate(check.Unhealed, "%s refused nonce %s of %s for good: %v", n.name, post.Nonce, post.Room, err)
		}
	}
	if r.Outcome != check.Unknown || r.Code != "" {
		r.Answered = p.record.now()
	}
	p.record.post(r)
	return r.Outcome, err
}

// elsewhere posts on a socket of its own.
func (p *poster) elsewhere(n *node, post wire.Post) (stored bool) {
	g, err := p.opening.enter(n, p.who, []string{post.Room}, p.people.patience())
	if err != nil {
		p.record.failed(err)
		return false
	}
	defer g.Close()
	outcome, _ := p.send(g, n, post)
	return outcome == check.Stored
}

// twice posts on two nodes at once, and says whether both have answered.
func (p *poster) twice(post wire.Post) (stored bool) {
	var wg sync.WaitGroup
	var one, two bool
	other := p.other()
	wg.Go(func() { one = p.elsewhere(p.home, post) })
	wg.Go(func() { two = p.elsewhere(other, post) })
	wg.Wait()
	return one && two
}
