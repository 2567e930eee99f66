package live

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

// slow makes the broker take so long for each event.
func (p *pair) slow(takes time.Duration) {
	synctest.Wait()
	p.street.mu.Lock()
	defer p.street.mu.Unlock()
	p.street.takes = takes
}

// flood posts on one server, one message after each interval, and ends with it.
func (p *pair) flood(t *testing.T, messages int, every time.Duration) (posted []time.Time, end func()) {
	done := make(chan struct{})
	posted = make([]time.Time, messages+1) // by position
	go func() {
		defer close(done)
		for seq := range messages {
			posted[seq+1] = time.Now()
			p.one.post(t, "lobby", 1)
			time.Sleep(every)
		}
	}()
	return posted, func() { <-done }
}

func TestABrokerSlowerThanPeoplePostMakesMessagesSecondsLateAtMost(t *testing.T) {
	for _, takes := range []time.Duration{2 * time.Millisecond, 4 * time.Millisecond, 15 * time.Millisecond, 25 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			p := openPair(t)
			p.a.Drop()
			p.slow(takes)
			const messages = 10_000
			posted, end := p.flood(t, messages, time.Millisecond)
			defer end()
			worst := time.Duration(0)
			for seq := int64(1); seq <= messages; seq++ {
				p.b.want(seq, seq)
				worst = max(worst, time.Since(posted[seq]))
			}
			if reads := p.two.Stats().Tails.Reads; worst > 5*time.Second || reads == 0 {
				t.Errorf("a broker that takes %v for each of 1,000 messages a second makes them %v late; %d pages were read", takes, worst, reads)
			}
			p.slow(0)
		})
	}
}

func TestAnAuthorDoesNotWaitForASlowBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.a.Drop()
		p.slow(2 * time.Millisecond)
		_, end := p.flood(t, 5000, time.Millisecond)
		defer end()
		var said time.Time
		time.AfterFunc(3*time.Second, func() {
			said = time.Now()
			p.b.say(wire.Post{Room: "lobby", Nonce: "own", Text: "x"})
		})
		for next[wire.MessageFrame](p.b).Nonce != "own" {
		}
		if took := time.Since(said); took > comesAtAll+2*comesByItself {
			t.Errorf("the author on the other server was answered after %v", took)
		}
		p.slow(0)
	})
}
