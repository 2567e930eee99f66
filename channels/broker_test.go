package channels

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// wire connects the brokers of several layers of one test.
type wire struct {
	mu      sync.Mutex
	brokers []*wireBroker
	broken  error
}

type wireBroker struct {
	wire    *wire
	process string
	deliver func(context.Context, Delivery) error
	follows map[string]bool
	calls   []string
}

func (w *wire) layer(t *testing.T) (*Layer, *wireBroker) {
	b := &wireBroker{wire: w, follows: map[string]bool{}}
	w.brokers = append(w.brokers, b)
	return newTestLayer(t, &LayerOptions{Broker: b}), b
}

func (b *wireBroker) Start(n Node) {
	b.process, b.deliver = n.Process, n.Deliver
}

func (b *wireBroker) change(call string, groups []string, follow bool) error {
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	slices.Sort(groups)
	b.calls = append(b.calls, call+" "+strings.Join(groups, ","))
	for _, g := range groups {
		if b.follows[g] == follow {
			return fmt.Errorf("%s %s twice", call, g)
		}
		b.follows[g] = follow
	}
	return b.wire.broken
}

func (b *wireBroker) Follow(_ context.Context, groups []string) error {
	return b.change("follow", groups, true)
}

func (b *wireBroker) Unfollow(_ context.Context, groups []string) error {
	return b.change("unfollow", groups, false)
}

func (b *wireBroker) Publish(ctx context.Context, d Delivery) error {
	b.wire.mu.Lock()
	err := b.wire.broken
	var to []*wireBroker
	for _, o := range b.wire.brokers {
		owner, _, _ := strings.Cut(strings.Join(d.Channels, ""), "!")
		if o != b && (o.follows[d.Group] || strings.HasSuffix(owner, o.process)) {
			to = append(to, o)
		}
	}
	b.wire.mu.Unlock()
	for _, o := range to {
		err = errors.Join(err, o.deliver(ctx, d))
	}
	return err
}

func TestEventsReachTheMembersInOtherProcessesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{}
		one, _ := w.layer(t)
		two, brokerTwo := w.layer(t)
		ctx := t.Context()
		a, aSock := fakeConn(plain(one))
		b, bSock := fakeConn(plain(two))
		c, cSock := fakeConn(Handler(func() Consumer { return repeat{} }, &Options{Layer: two}))
		must(t, a.GroupAdd(ctx, "g"))
		must(t, b.GroupAdd(ctx, "g"))
		must(t, c.GroupAdd(ctx, "g"))
		sendAll(t, one, "g", 1, 1)
		sendAll(t, two, "g", 2, 2)
		settleAll()
		must(t, one.Send(ctx, c.ChannelName(), Event{Type: "x", Payload: "private"}))
		settleAll()
		for i, got := range [][]string{aSock.got(t), bSock.got(t)} {
			if diff := cmp.Diff([]string{"1", "2"}, got); diff != "" {
				t.Errorf("process %d: %s", i+1, diff)
			}
		}
		if diff := cmp.Diff([]string{"1", "2", "private"}, cSock.got(t)); diff != "" {
			t.Error(diff)
		}
		must(t, b.GroupDiscard(ctx, "g"))
		must(t, c.GroupDiscard(ctx, "g"))
		settleAll()
		if diff := cmp.Diff([]string{"follow g", "unfollow g"}, brokerTwo.calls); diff != "" {
			t.Error(diff)
		}
	})
}

func TestABrokerThatFailsIsToldAndSparesTheOwnProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{broken: errors.New("broken")}
		l, _ := w.layer(t)
		c, s := fakeConn(plain(l))
		if err := c.GroupAdd(t.Context(), "g"); !errors.Is(err, w.broken) {
			t.Errorf("GroupAdd: %v", err)
		}
		if err := l.GroupSend(t.Context(), "g", Event{Type: "say", Payload: "1"}); !errors.Is(err, w.broken) {
			t.Errorf("GroupSend: %v", err)
		}
		settleAll()
		if diff := cmp.Diff([]string{"1"}, s.got(t)); diff != "" {
			t.Error(diff)
		}
		w.broken = nil
	})
}

func TestFollowingMatchesMembershipAfterAStormOfJoinsAndLeaves(t *testing.T) {
	w := &wire{}
	l, b := w.layer(t)
	e := plain(l)
	var wg sync.WaitGroup
	for i := range 8 {
		c, _ := fakeConn(e)
		wg.Go(func() {
			for n := range 100 {
				g := fmt.Sprint("g", (i+n)%3)
				if err := c.GroupAdd(t.Context(), g); err != nil {
					t.Error(err)
				}
				if !b.following(g) {
					t.Errorf("a member of %s, which is not followed", g)
				}
				if err := c.GroupDiscard(t.Context(), g); err != nil {
					t.Error(err)
				}
			}
			if i == 0 {
				must(t, c.GroupAdd(t.Context(), "last"))
			}
		})
	}
	wg.Wait()
	must(t, l.settled(t.Context(), "last")) // behind all changes before
	for g, follows := range b.follows {
		if follows != (g == "last") {
			t.Errorf("follows %s: %v", g, follows)
		}
	}
}

func (b *wireBroker) following(group string) bool {
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	return b.follows[group]
}
