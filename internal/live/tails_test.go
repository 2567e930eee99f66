package live

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// shaky is a store that can be cut off, and counts what is read.
type shaky struct {
	*memstore.Store
	gone         atomic.Bool
	pages, finds atomic.Int64
}

var errGone = errors.New("the store is gone")

func (s *shaky) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	if s.gone.Load() {
		return nil, errGone
	}
	return s.Store.Append(ctx, batch)
}

func (s *shaky) Messages(ctx context.Context, room string, r chat.Range) (chat.Page, error) {
	s.pages.Add(1)
	if s.gone.Load() {
		return chat.Page{}, errGone
	}
	return s.Store.Messages(ctx, room, r)
}

func (s *shaky) Find(ctx context.Context, slugs ...string) ([]chat.Room, error) {
	s.finds.Add(1)
	if s.gone.Load() {
		return nil, errGone
	}
	return s.Store.Find(ctx, slugs...)
}

// pair is two servers on one log with a member each in the room "lobby".
type pair struct {
	street   street
	store    shaky
	one, two *house
	a, b     *talker
}

func openPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{store: shaky{Store: memstore.New()}}
	p.one, _ = openNode(t, &p.street, &p.store)
	p.two, _ = openNode(t, &p.street, &p.store)
	p.a, p.b = p.one.enter(t, 1, "lobby"), p.two.enter(t, 2, "lobby")
	p.store.pages.Store(0)
	p.store.finds.Store(0)
	return p
}

// fate sets what becomes of events from now on: those that are on their way
// to the broker have met what was set before.
func (p *pair) fate(f fate) {
	synctest.Wait()
	p.street.mu.Lock()
	defer p.street.mu.Unlock()
	p.street.fate = f
}

func lost(channels.Delivery) []time.Duration { return nil }

// late brings messages after a time that depends on their position.
func late(after func(seq int64) time.Duration) fate {
	return func(d channels.Delivery) []time.Duration { return []time.Duration{after(d.Event.Seq)} }
}

// want reads messages from one position to another.
func (k *talker) want(from, to int64) {
	k.t.Helper()
	for seq := from; seq <= to; seq++ {
		if m := next[wire.MessageFrame](k); m.Seq != seq {
			k.t.Fatalf("got %d, want %d", m.Seq, seq)
		}
	}
}

// silent says that nothing waits for the client.
func (k *talker) silent() {
	k.t.Helper()
	k.say(wire.Ping{})
	next[wire.Pong](k)
}

func TestMessagesThatComeInDisorderAreShownInOrderWithoutReadingTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.fate(late(func(seq int64) time.Duration { return time.Duration(10-seq) * time.Millisecond }))
		p.one.post(t, "lobby", 9)
		p.b.want(1, 9)
		p.fate(func(channels.Delivery) []time.Duration { return []time.Duration{0, 0, time.Millisecond, time.Minute} })
		p.one.post(t, "lobby", 1)
		p.b.want(10, 10)
		time.Sleep(comesByItself)
		p.b.silent()
		s := p.two.Stats().Tails
		if p.store.pages.Load() > 0 || s.Reads > 0 || s.Holes != 1 || s.Closed != 1 || s.Behind != 0 || s.Held != 0 || s.Repeated != 2 {
			t.Errorf("the log was read %d times: %+v", p.store.pages.Load(), s)
		}
	})
}

func TestAMessageThatIsMissingIsReadSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.fate(func(d channels.Delivery) []time.Duration {
			if d.Event.Seq == 2 || d.Event.Seq == 3 {
				return nil
			}
			return []time.Duration{0}
		})
		p.one.post(t, "lobby", 5)
		start := time.Now()
		p.b.want(1, 5)
		if took := time.Since(start); took != comesByItself || p.store.pages.Load() != 1 {
			t.Errorf("took %v and %d reads of the log", took, p.store.pages.Load())
		}
	})
}

func TestTheLastMessageOfAQuietRoomIsFoundInFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		plain := channelstest.New(t, p.two.plainMux(), "/ws/chat/lobby/")
		plain.Connect()
		p.fate(lost)
		p.one.post(t, "lobby", 3)
		start := time.Now()
		pass(checkEvery + 2*comesByItself)
		p.b.want(1, 3)
		for seq := range 3 {
			if want := fmt.Sprintf(`{"message":"text %d","username":"P1","seq":%[1]d}`, seq+1); plain.ReceiveText() != want {
				t.Errorf("a plain client did not get %s", want)
			}
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		before := p.store.finds.Load()
		pass(10 * checkEvery)
		if checks := p.store.finds.Load() - before; checks != 20 || p.store.pages.Load() != 1 {
			t.Errorf("two servers with one room each asked for positions %d times in ten rounds, and read the log %d times", checks, p.store.pages.Load())
		}
	})
}

func TestAGapIsLookedAtSoonAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.fate(lost)
		p.one.post(t, "lobby", 1)
		before := p.store.finds.Load()
		group, end := p.two.groups.of("lobby"), p.street.ends[1]
		start := time.Now()
		for range 100 {
			end.node.Gap(group)
		}
		p.b.want(1, 1)
		if took := time.Since(start); took != checkSoon+comesByItself || p.store.finds.Load()-before != 1 {
			t.Errorf("took %v and %d looks", took, p.store.finds.Load()-before)
		}
		end.node.Gap("another group")
		pass(checkSoon)
		if p.store.finds.Load()-before != 1 {
			t.Error("a gap of a group that nobody is in had the positions read")
		}
		end.node.Gap()
		p.one.post(t, "lobby", 1)
		p.b.want(2, 2)
	})
}

func TestAStoreThatIsGoneDelaysWhatIsMissingAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.one.post(t, "lobby", 1)
		p.b.want(1, 1)
		p.fate(lost)
		p.one.post(t, "lobby", 2)
		p.store.gone.Store(true)
		p.fate(nil)
		pass(time.Minute)
		p.b.silent()
		if s := p.two.Stats().Tails; !s.Failing || s.Failures < 50 || s.Failures > 65 {
			t.Errorf("in a minute: %+v", s)
		}
		closed := p.two.enter(t, 3)
		closed.say(wire.Join{Room: "other"})
		if code, _ := closed.Closed(); code != wire.CloseOverloaded {
			t.Errorf("a join was closed with %d", code)
		}
		if resp := channelstest.New(t, p.two.plainMux(), "/ws/chat/other/").Refused(); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a plain client was refused with %d %v", resp.StatusCode, resp.Header)
		}
		p.a.say(wire.Post{Room: "lobby", Nonce: "gone", Text: "x"})
		p.a.want(1, 3)
		if e := p.a.refused(wire.CodeUnavailable); e.RetryMS == 0 {
			t.Errorf("a post was refused with %+v", e)
		}
		p.a.Drop()
		p.store.gone.Store(false)
		start := time.Now()
		p.b.want(2, 3)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		synctest.Wait()
		if s := p.two.Stats().Tails; s.Failing || s.Behind != 0 {
			t.Errorf("afterwards: %+v", s)
		}
		pass(checkAgain)
		p.store.gone.Store(true)
		pass(checkEvery)
		if !p.one.LogFails() || !p.two.LogFails() {
			t.Error("a server does not say that the log fails, or only when somebody is in a room")
		}
		p.store.gone.Store(false)
		pass(checkAgain)
		if p.one.LogFails() || p.two.LogFails() {
			t.Error("a server still says that the log fails")
		}
	})
}

func TestARoomNobodyIsInCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		for range 3 {
			p.b.say(wire.Leave{Room: "lobby"})
			next[wire.Left](p.b)
			plain := channelstest.New(t, p.two.plainMux(), "/ws/chat/lobby/")
			plain.Connect()
			plain.Disconnect(1000)
			p.one.post(t, "lobby", 1)
			pass(comesByItself)
			if s := p.two.Stats().Tails; s.Rooms != 0 {
				t.Fatalf("rooms in use: %+v", s)
			}
			p.b.say(wire.Join{Room: "lobby"})
			j := next[wire.Joined](p.b)
			for seen := int64(0); seen < j.Last; seen++ {
				m := next[wire.Messages](p.b).Messages
				seen = m[len(m)-1].Seq - 1
			}
			p.one.post(t, "lobby", 1)
			p.b.want(j.Last+1, j.Last+1)
		}
		p.b.Drop()
		p.a.say(wire.Leave{Room: "lobby"})
		synctest.Wait()
		if rooms := p.one.Stats().Tails.Rooms + p.two.Stats().Tails.Rooms; rooms > 0 {
			t.Errorf("%d rooms are in use", rooms)
		}
	})
}

func TestWhatWaitsForAnOlderMessageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.fate(func(d channels.Delivery) []time.Duration {
			if d.Event.Seq == 1 {
				return nil
			}
			return []time.Duration{0}
		})
		const messages = 3 * aheadMessages
		p.one.post(t, "lobby", messages)
		synctest.Wait()
		s := p.two.Stats().Tails
		if s.Dropped != messages-1-aheadMessages || s.Held == 0 || s.Held > aheadBytes || s.Behind != 1 {
			t.Errorf("%+v", s)
		}
		p.b.want(1, messages)
		if s := p.two.Stats().Tails; s.Held != 0 || s.Behind != 0 || s.Age != 0 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

func TestAPositionThatTheLogDoesNotHaveIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		settings, err := p.store.Settings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, seq := range []int64{2, 1000, 1 << 62} {
			text := string(wire.Encode(wire.MessageFrame{Room: "lobby", Message: wire.Message{Seq: seq, Text: "false"}}))
			e := channels.Event{Type: eventMessage, Seq: seq, Payload: map[string]any{
				keyFrame: text, keySeal: newSeal(settings.Key, settings.Epoch).of(text),
			}}
			if err := p.street.ends[1].node.Deliver(t.Context(), channels.Delivery{Group: p.two.groups.of("lobby"), Event: e}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second)
		if s := p.two.Stats().Tails; s.Refused != 3 || s.Reads > 2 || s.Held != 0 || s.Behind != 0 {
			t.Errorf("%+v", s)
		}
		p.one.post(t, "lobby", 3)
		p.b.want(1, 3)
	})
}

func TestAFollowerOfAnotherServersRoomHearsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.b.Drop()
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			p.one.post(t, "lobby", 1)
			time.Sleep(time.Second)
			p.fate(lost)
			p.one.post(t, "lobby", 1)
		}()
		start := time.Now()
		var came []time.Duration
		err := p.two.Follow(t.Context(), "lobby", 0, func(ms []chat.Message) error {
			if came = append(came, time.Since(start)); ms[len(ms)-1].Seq == 2 {
				return errEnough
			}
			return nil
		}, func() error { return nil })
		if !errors.Is(err, errEnough) || len(came) != 2 || came[0] != time.Second || came[1] > 7*time.Second {
			t.Errorf("%v, came %v", err, came)
		}
		if s := p.two.Stats().Tails; s.Rooms != 0 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

func TestARoomFarBehindIsReadInPagesWhileOthersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		other := p.two.enter(t, 3, "other")
		const missed = 4_000
		text := strings.Repeat("x", 2000) // 8 MB: without back-pressure members would be cut
		var batch []chat.Draft
		for i := range missed {
			batch = append(batch, chat.Draft{Room: "lobby", Author: someone(1), Nonce: "bulk" + strconv.Itoa(i), Text: text, Create: true})
		}
		if _, err := p.store.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		p.one.post(t, "lobby", 1)
		p.one.post(t, "other", 1)
		other.want(1, 1)
		p.b.want(1, missed+1)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestAJoinTellsOfWhatOthersInTheRoomMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		p.fate(lost)
		p.one.post(t, "lobby", 1)
		synctest.Wait()
		start := time.Now()
		p.two.enter(t, 3, "lobby")
		p.b.want(1, 1)
		if took := time.Since(start); took != comesByItself {
			t.Errorf("took %v", took)
		}
	})
}

func TestATailThatHasEndedDeliversNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := openPair(t)
		ended := p.two.tails.of(p.two.groups.of("lobby"))
		ended.tails.enqueue(ended)
		p.b.say(wire.Leave{Room: "lobby"})
		next[wire.Left](p.b)
		p.b.say(wire.Join{Room: "lobby"})
		next[wire.Joined](p.b)
		ended.offer(p.two.tails.event("lobby", chat.Message{Seq: 1, Text: "from the past"}))
		ended.hear(1)
		pass(time.Second)
		p.b.silent()
		if now := p.two.tails.of(ended.group); now == ended || p.two.Stats().Tails.Rooms != 1 {
			t.Error("the room has the old tail")
		}
	})
}

func TestServersThatShareNothingButTheLogAreOneRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New()
		one, two := openShared(t, store, nil, noLimits{}, true), openShared(t, store, nil, noLimits{}, true)
		a, b := one.enter(t, 1, "lobby"), two.enter(t, 2, "lobby")
		two.posted = 100 // other nonces
		for round := range int64(3) {
			start := time.Now()
			one.post(t, "lobby", 1)
			if a.want(2*round+1, 2*round+1); time.Since(start) > 0 {
				t.Errorf("a message came to its own server after %v", time.Since(start))
			}
			two.post(t, "lobby", 1)
			if b.want(2*round+1, 2*round+2); time.Since(start) > comesByItself {
				t.Errorf("what was missing when the next was stored came after %v", time.Since(start))
			}
			if a.want(2*round+2, 2*round+2); time.Since(start) > 5*time.Second {
				t.Errorf("a message came to the other server after %v", time.Since(start))
			}
		}
	})
}

func TestAServerCutFromTheStoreServesWhatComesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s street
		near := shaky{Store: memstore.New()}
		far := shaky{Store: near.Store}
		one, _ := openNode(t, &s, &near)
		two, _ := openNode(t, &s, &far)
		b := two.enter(t, 2, "lobby")
		plain := channelstest.New(t, two.plainMux(), "/ws/chat/lobby/")
		far.gone.Store(true)
		plain.Connect() // the room is known here
		one.post(t, "lobby", 3)
		b.want(1, 3)
		plain.ReceiveText()
		pass(checkEvery)
		before := far.pages.Load()
		s.fate = func(d channels.Delivery) []time.Duration {
			if d.Event.Seq == 4 {
				return nil
			}
			return []time.Duration{0}
		}
		for range 100 {
			one.post(t, "lobby", 1)
			pass(100 * time.Millisecond)
		}
		b.silent()
		if reads := far.pages.Load() - before; reads > 0 {
			t.Errorf("the store that fails was asked for %d pages, beside the checks", reads)
		}
		far.gone.Store(false)
		start := time.Now()
		b.want(4, 103)
		if took := time.Since(start); took > checkAgain+2*comesByItself {
			t.Errorf("took %v", took)
		}
	})
}
