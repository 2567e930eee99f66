package channels

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// settleAll waits for the rounds in progress: in a synctest bubble nothing else runs.
func settleAll() { synctest.Wait() }

func TestMembersGetWhatIsSentBetweenTheirJoinAndTheirLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		e := plain(l)
		early, earlySock := fakeConn(e)
		late, lateSock := fakeConn(e)
		ctx := t.Context()
		must(t, early.GroupAdd(ctx, "g"))
		sendAll(t, l, "g", 1, 3)
		must(t, late.GroupAdd(ctx, "g"))
		sendAll(t, l, "g", 4, 6)
		must(t, early.GroupDiscard(ctx, "g"))
		if got := strings.Join(earlySock.got(t), " "); got != numbers(1, 6) {
			t.Errorf("when GroupDiscard has returned, the member had %q, want all six", got)
		}
		sendAll(t, l, "g", 7, 8)
		settleAll()
		if got := strings.Join(earlySock.got(t), " "); got != numbers(1, 6) {
			t.Errorf("after leaving: %q, want 1 to 6", got)
		}
		if got := strings.Join(lateSock.got(t), " "); got != numbers(4, 8) {
			t.Errorf("joined after 3: %q, want 4 to 8", got)
		}
	})
}

func TestARoundIsOneWriteForEachMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		e := plain(l)
		var socks []*fakeSocket
		for range 3 {
			c, s := fakeConn(e)
			must(t, c.GroupAdd(t.Context(), "g"))
			socks = append(socks, s)
		}
		settleAll()
		// All that waits in the inbox, with a join and a leave in the middle, is one round.
		g := l.group("g")
		p := g.parts[0]
		p.mu.Lock()
		p.running = true // hold the runner back
		p.mu.Unlock()
		sendAll(t, l, "g", 1, 10)
		joined, joinedSock := fakeConn(e)
		must(t, joined.GroupAdd(t.Context(), "g"))
		left := joined.groups[0]
		sendAll(t, l, "g", 11, 20)
		g.leave(left)
		sendAll(t, l, "g", 21, 30)
		l.runners.Go(p.run)
		settleAll()
		for i, s := range socks {
			if got := strings.Join(s.got(t), " "); got != numbers(1, 30) || s.calls() != 1 {
				t.Errorf("member %d: %q in %d writes, want 1 to 30 in one", i, got, s.calls())
			}
		}
		if got := strings.Join(joinedSock.got(t), " "); got != numbers(11, 20) {
			t.Errorf("member from 11 to 20: %q", got)
		}
		if st := l.Stats(); st.Delivered != 3*30+10 || st.Writes != 4 {
			t.Errorf("stats %+v, want 100 delivered in 4 writes", st)
		}
	})
}

func TestLargeRoundsAreCutIntoRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		c, s := fakeConn(plain(l))
		must(t, c.GroupAdd(t.Context(), "g"))
		settleAll()
		p := l.group("g").parts[0]
		p.mu.Lock()
		p.running = true
		p.mu.Unlock()
		var want []string
		for i := range 20 {
			text := strings.Repeat(fmt.Sprint(i%10), 10_000)
			want = append(want, text)
			must(t, l.GroupSend(t.Context(), "g", Event{Type: "say", Payload: text}))
		}
		l.runners.Go(p.run)
		settleAll()
		if diff := cmp.Diff(want, s.got(t)); diff != "" {
			t.Errorf("frames differ: %s", diff)
		}
		if s.calls() != 7 { // three frames of 10,004 bytes fit a run of 32 KiB
			t.Errorf("%d writes, want 7", s.calls())
		}
	})
}

func TestAnEventIsRenderedOncePerEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		var renders [2]atomic.Int32
		var socks []*fakeSocket
		for i := range renders {
			e := Handler(func() Consumer { return Base{} }, &Options{Layer: l, Render: map[string]func(Event) (Frame, error){
				"chat.message": func(ev Event) (Frame, error) {
					renders[i].Add(1)
					return TextFrame(fmt.Appendf(nil, "%d:%v", i, ev.Payload)), nil
				},
			}})
			for range 2 * partSize { // several parts, if there are processors
				c, s := fakeConn(e)
				must(t, c.GroupAdd(t.Context(), "g"))
				socks = append(socks, s)
			}
		}
		must(t, l.GroupSend(t.Context(), "g", Event{Type: "chat_message", Payload: "hi"}))
		settleAll()
		for i := range renders {
			if n := renders[i].Load(); n != 1 {
				t.Errorf("endpoint %d rendered %d times, want once", i, n)
			}
		}
		for i, s := range socks {
			want := []string{fmt.Sprintf("%d:hi", i/(2*partSize))}
			if diff := cmp.Diff(want, s.got(t)); diff != "" {
				t.Fatalf("member %d: %s", i, diff)
			}
		}
	})
}

func TestARendererThatFailsTellsTheSenderAndSparesOtherEndpoints(t *testing.T) {
	boom := errors.New("boom")
	for name, render := range map[string]func(Event) (Frame, error){
		"error":     func(Event) (Frame, error) { return Frame{}, boom },
		"panic":     func(Event) (Frame, error) { panic(boom) },
		"too large": func(Event) (Frame, error) { return TextFrame(make([]byte, maxFrame+1)), nil },
		"not JSON":  func(Event) (Frame, error) { return JSONFrame(func() {}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTestLayer(t, nil)
				good, goodSock := fakeConn(plain(l))
				bad, badSock := fakeConn(Handler(func() Consumer { return Base{} }, &Options{
					Layer: l, Logger: quiet(), Render: map[string]func(Event) (Frame, error){"say": render},
				}))
				must(t, bad.GroupAdd(t.Context(), "g"))
				must(t, good.GroupAdd(t.Context(), "g"))
				if err := l.GroupSend(t.Context(), "g", Event{Type: "say", Payload: "hi"}); err == nil {
					t.Error("GroupSend returned no error")
				}
				settleAll()
				if len(badSock.got(t)) != 0 || len(goodSock.got(t)) != 1 {
					t.Errorf("bad endpoint got %q, good one %q", badSock.got(t), goodSock.got(t))
				}
				if n := l.Stats().Unrendered; n != 1 {
					t.Errorf("%d unrendered, want 1", n)
				}
			})
		})
	}
}

func TestNilDataSendsNothingAndEmptyDataAnEmptyFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		c, s := fakeConn(Handler(func() Consumer { return Base{} }, &Options{Layer: l, Render: map[string]func(Event) (Frame, error){
			"nothing": func(Event) (Frame, error) { return Frame{}, nil },
			"empty":   func(Event) (Frame, error) { return TextFrame([]byte{}), nil },
		}}))
		must(t, c.GroupAdd(t.Context(), "g"))
		must(t, l.GroupSend(t.Context(), "g", Event{Type: "nothing"}))
		must(t, l.GroupSend(t.Context(), "g", Event{Type: "empty"}))
		settleAll()
		if diff := cmp.Diff([]string{""}, s.got(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestEachSendersEventsStayInOrderForAllMembersAlike(t *testing.T) {
	const senders, each, members = 8, 50, partSize + 100 // two parts
	l := newTestLayer(t, nil)
	e := plain(l)
	var socks []*fakeSocket
	for range members {
		c, s := fakeConn(e)
		must(t, c.GroupAdd(t.Context(), "g"))
		socks = append(socks, s)
	}
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				if err := l.GroupSend(t.Context(), "g", Event{Type: "say", Payload: fmt.Sprintf("%d/%d", s, i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, l.Flush(t.Context())) // behind all events
	first := socks[0].got(t)
	if len(first) != senders*each {
		t.Fatalf("%d events, want %d", len(first), senders*each)
	}
	next := map[string]int{}
	for _, text := range first {
		sender, number, _ := strings.Cut(text, "/")
		if number != fmt.Sprint(next[sender]) {
			t.Fatalf("sender %s: %s came when %d was due", sender, number, next[sender])
		}
		next[sender]++
	}
	for i, s := range socks {
		if diff := cmp.Diff(first, s.got(t)); diff != "" {
			t.Fatalf("member %d saw another order: %s", i, diff)
		}
	}
}

func TestSendersWaitForAGroupThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		c, s := fakeConn(plain(l))
		must(t, c.GroupAdd(t.Context(), "g"))
		settleAll()
		p := l.group("g").parts[0]
		p.mu.Lock()
		p.running = true // nobody runs the part
		p.mu.Unlock()
		big := strings.Repeat("x", 1<<20)
		var sent atomic.Int32
		done := make(chan error)
		go func() {
			for range 10 {
				if err := l.GroupSend(t.Context(), "g", Event{Type: "say", Payload: big}); err != nil {
					done <- err
				}
				sent.Add(1)
			}
			done <- nil
		}()
		settleAll()
		if n := sent.Load(); n != 4 {
			t.Errorf("%d events of 1 MiB queued, want 4", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := l.GroupSend(ctx, "g", Event{Type: "say", Payload: "x"}); !errors.Is(err, context.Canceled) {
			t.Errorf("a sender whose ctx ended got %v", err)
		}
		l.runners.Go(p.run)
		must(t, <-done)
		settleAll()
		if n := len(s.got(t)); n != 10 {
			t.Errorf("%d frames, want 10", n)
		}
	})
}

func TestEmptyGroupsAndChannelsCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		e := plain(l)
		var conns []*Conn
		for i := range 100 {
			c, _ := fakeConn(e)
			conns = append(conns, c)
			c.ChannelName()
			for g := range 10 {
				must(t, c.GroupAdd(t.Context(), fmt.Sprint("g", (i+g)%25)))
			}
		}
		if st := l.Stats(); st.Groups != 25 || st.Members != 1000 || st.Channels != 100 {
			t.Errorf("stats %+v", st)
		}
		for _, c := range conns {
			c.end(CloseNormal, "")
		}
		settleAll()
		if st := l.Stats(); st.Groups != 0 || st.Members != 0 || st.Channels != 0 {
			t.Errorf("after all have gone: %+v", st)
		}
		if n := e.Len(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

func TestFlushEmptiesTheLayerAndGroupsCanBeJoinedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLayer(t, nil)
		c, s := fakeConn(plain(l))
		must(t, c.GroupAdd(t.Context(), "g"))
		sendAll(t, l, "g", 1, 2)
		must(t, l.Flush(t.Context()))
		sendAll(t, l, "g", 3, 4)
		must(t, c.GroupAdd(t.Context(), "g"))
		sendAll(t, l, "g", 5, 6)
		settleAll()
		if diff := cmp.Diff([]string{"1", "2", "5", "6"}, s.got(t)); diff != "" {
			t.Error(diff)
		}
		must(t, c.GroupDiscard(t.Context(), "g"))
		if st := l.Stats(); st.Groups != 0 || st.Members != 0 {
			t.Errorf("stats %+v", st)
		}
	})
}
