package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
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

func TestWhoIsHereIsNotLateBehindOldMessages(t *testing.T) {
	for _, rooms := range []int{1, 3000} { // in the many, most messages are the last of theirs
		synctest.Test(t, func(t *testing.T) {
			p := openPair(t)
			p.a.say(wire.Leave{Room: "lobby"})
			p.slow(15 * time.Millisecond)
			for i := range 3000 {
				p.one.post(t, "lobby", 1)
				p.one.post(t, fmt.Sprint("room", i%rooms), 1)
				p.one.post(t, fmt.Sprint("room", i%rooms), 1)
				time.Sleep(time.Millisecond)
			}
			p.b.want(1, 3000)
			start := time.Now()
			p.a.say(wire.Join{Room: "lobby"})
			for here := (wire.Here{}); here.Count != 2; {
				p.b.say(wire.Who{Room: "lobby"})
				here = next[wire.Here](p.b)
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(start); took > uselessAfter+tickEvery {
				t.Errorf("with %d rooms, who came was known on the other server after %v", rooms, took)
			}
			if s := p.one.tails.relay.Stats(); s.Dropped == 0 || s.Failed > 0 {
				t.Errorf("%+v", s)
			}
			p.slow(0)
		})
	}
}

func TestTheLastMessageOfAQuietRoomIsNotDroppedForBeingOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		stuck := make(chan struct{})
		p.street.jam(stuck)
		start := time.Now()
		p.one.post(t, "lobby", 5)
		time.Sleep(oldAfter + time.Millisecond)
		close(stuck)
		p.b.want(1, 5)
		if took := time.Since(start); took > oldAfter+2*comesByItself {
			t.Errorf("took %v", took)
		}
		if s := p.one.tails.relay.Stats(); s.Dropped != 3 { // the first was on its way
			t.Errorf("%+v", s)
		}
	})
}

// distant is a broker whose answers take a while, and that need not be waited for.
type distant struct {
	*end
	takes time.Duration
}

func (d distant) Publish(context.Context, channels.Delivery) error {
	return errors.New("the answer would be waited for")
}

func (d distant) Begin(ctx context.Context, what channels.Delivery) func() error {
	due := time.Now().Add(d.takes)
	err := d.end.Publish(ctx, what)
	return func() error {
		time.Sleep(time.Until(due))
		return err
	}
}

func TestABrokerThatAnswersLateIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s street
		e := distant{s.end(), 20 * time.Millisecond}
		relay := NewRelay(RelayOptions{Broker: e, Shared: true, Logger: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { relay.Close(context.WithoutCancel(t.Context())) })
		store := memstore.New()
		p := &pair{one: openOn(t, store, relay, noLimits{})}
		p.two, _ = openNode(t, &s, store)
		p.b = p.two.enter(t, 2, "lobby")
		const messages = 3000
		posted, end := p.flood(t, messages, time.Millisecond)
		defer end()
		worst := time.Duration(0)
		for seq := int64(1); seq <= messages; seq++ {
			p.b.want(seq, seq)
			worst = max(worst, time.Since(posted[seq]))
		}
		time.Sleep(time.Second)
		s1, s2 := relay.Stats(), p.two.Stats().Tails
		if worst > e.takes || s1.Dropped+s1.Failed > 0 || s1.Waiting != 0 || s2.Reads > 0 {
			t.Errorf("messages are %v late: %+v, %+v", worst, s1, s2)
		}
	})
}
