package live

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// talker is a rich client in a test.
type talker struct {
	*channelstest.Client
	t   testing.TB
	you wire.Person
}

// dial connects without hello.
func (h *house) dial(t testing.TB) *talker {
	t.Helper()
	c := channelstest.New(t, h.Rich(), "/ws")
	c.Subprotocols(wire.Subprotocol)
	c.Connect()
	return &talker{Client: c, t: t}
}

// enter connects as person n, says hello and joins rooms.
func (h *house) enter(t testing.TB, n int, rooms ...string) *talker {
	t.Helper()
	k := h.dial(t)
	k.say(wire.Hello{Token: fmt.Sprint(n)})
	k.you = next[wire.Welcome](k).You
	for _, room := range rooms {
		k.say(wire.Join{Room: room})
		next[wire.Joined](k)
	}
	return k
}

func (k *talker) say(f wire.Frame) {
	k.t.Helper()
	k.SendText(string(wire.EncodeRequest("ref", f)))
}

// next is the next frame, passing over who is here and who is typing.
func next[T wire.Frame](k *talker) T {
	k.t.Helper()
	for {
		text := k.ReceiveText()
		f, err := wire.DecodeServer([]byte(text))
		if err != nil {
			k.t.Fatal(err)
		}
		if got, ok := f.(T); ok {
			return got
		}
		switch f.(type) {
		case wire.Here, wire.TypingFrame:
		default:
			var want T
			k.t.Fatalf("got %s, want a frame of type %s", text, want.FrameType())
		}
	}
}

// refused is the code of the error that must come next.
func (k *talker) refused(code string) wire.ErrorFrame {
	k.t.Helper()
	e := next[wire.ErrorFrame](k)
	if e.Code != code || e.Message == "" {
		k.t.Errorf("got error %+v, want %s", e, code)
	}
	return e
}

func TestARoomIsOneConversation(t *testing.T) {
	h := open(t)
	a, b := h.enter(t, 1, "lobby"), h.enter(t, 2, "lobby")
	a.say(wire.Post{Room: "lobby", Nonce: "n", Text: "hi <b>"})
	for _, k := range []*talker{a, b} {
		m := next[wire.MessageFrame](k)
		if m.Seq != 1 || m.Text != "hi <b>" || m.Nonce != "n" || m.Author != a.you || m.Room != "lobby" {
			t.Errorf("got %+v", m)
		}
	}
	c := channelstest.New(t, h.plainMux(), "/ws/chat/lobby/")
	c.Connect()
	b.say(wire.Post{Room: "lobby", Nonce: "n", Text: "two"})
	if got := c.ReceiveText(); got != `{"message":"two","username":"P2","seq":2}` {
		t.Errorf("a plain client got %s", got)
	}
	c.SendText(`{"message":"three"}`)
	if m := next[wire.MessageFrame](b); m.Seq != 2 {
		t.Errorf("got %+v", m)
	}
	if m := next[wire.MessageFrame](b); m.Seq != 3 || m.Text != "three" {
		t.Errorf("got %+v", m)
	}
}

func TestARepeatedNonceIsAcknowledgedNotRepeated(t *testing.T) {
	h := open(t)
	a := h.enter(t, 1, "lobby")
	a.say(wire.Post{Room: "lobby", Nonce: "n", Text: "hi"})
	first := next[wire.MessageFrame](a)
	a.say(wire.Post{Room: "lobby", Nonce: "n", Text: "hi"})
	if ack := next[wire.Ack](a); ack.Seq != first.Seq || ack.Nonce != "n" || !ack.At.Equal(first.At.Time) || ack.Ref != "ref" {
		t.Errorf("got %+v", ack)
	}
	a.say(wire.Post{Room: "lobby", Nonce: "n", Text: "ho"})
	if e := a.refused(wire.CodeNonceConflict); e.Nonce != "n" || e.RetryMS != 0 {
		t.Errorf("got %+v", e)
	}
	b := h.enter(t, 2, "lobby")
	b.say(wire.Post{Room: "lobby", Nonce: "n", Text: "ho"})
	next[wire.Messages](b)
	if m := next[wire.MessageFrame](b); m.Seq != 2 {
		t.Errorf("another person's nonce: got %+v", m)
	}
}

func TestMistakesAreToldAndTheSocketStaysOpen(t *testing.T) {
	h := open(t)
	a := h.enter(t, 1, "lobby")
	long := strings.Repeat("a", wire.MaxText+1)
	for _, c := range []struct {
		name, code string
		frame      wire.Frame
	}{
		{"a second hello", wire.CodeAlready, wire.Hello{}},
		{"a room that cannot be", wire.CodeBadRoom, wire.Join{Room: "a/b"}},
		{"leaving a room not joined", wire.CodeNotJoined, wire.Leave{Room: "other"}},
		{"posting there", wire.CodeNotJoined, wire.Post{Room: "other", Nonce: "n", Text: "x"}},
		{"reading there", wire.CodeNotJoined, wire.History{Room: "other"}},
		{"typing there", wire.CodeNotJoined, wire.Typing{Room: "other"}},
		{"asking who is there", wire.CodeNotJoined, wire.Who{Room: "other"}},
		{"no nonce", wire.CodeBadNonce, wire.Post{Room: "lobby", Text: "x"}},
		{"a long nonce", wire.CodeBadNonce, wire.Post{Room: "lobby", Nonce: strings.Repeat("n", 65), Text: "x"}},
		{"nothing to see", wire.CodeEmpty, wire.Post{Room: "lobby", Nonce: "n", Text: "\u200b"}},
		{"too long", wire.CodeTooLong, wire.Post{Room: "lobby", Nonce: "n", Text: long}},
		{"a name there must not be", wire.CodeBadName, wire.Rename{Name: "admin"}},
		{"a position without its epoch", wire.CodeBadSeq, wire.Join{Room: "x", After: new(int64(7))}},
		{"a position the room has not reached", wire.CodeBadSeq, wire.Join{Room: "x", After: new(int64(7)), Epoch: h.service.Epoch()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.say(c.frame)
			if e := a.refused(c.code); e.Ref != "ref" || e.RetryMS != 0 {
				t.Errorf("got %+v", e)
			}
		})
	}
	a.say(wire.Ping{})
	if pong := next[wire.Pong](a); pong.Ref != "ref" {
		t.Errorf("got %+v", pong)
	}
}

func TestWhatClosesASocket(t *testing.T) {
	h := open(t)
	for _, c := range []struct {
		name string
		code int
		do   func(k *talker)
	}{
		{"anything before hello", wire.CloseSignedOut, func(k *talker) { k.say(wire.Ping{}) }},
		{"nonsense before hello", wire.CloseSignedOut, func(k *talker) { k.SendText("nonsense") }},
		{"positions of another epoch", wire.CloseBadPosition, func(k *talker) { k.say(wire.Hello{Epoch: "0000"}) }},
		{"a forged token", wire.CloseSignedOut, func(k *talker) { k.say(wire.Hello{Token: "x"}) }},
		{"a join from another epoch", wire.CloseBadPosition, func(k *talker) {
			k.say(wire.Hello{})
			next[wire.Welcome](k)
			k.say(wire.Join{Room: "a", After: new(int64(1)), Epoch: "0000"})
		}},
		{"ten bad frames in a row", wire.CloseBadEnvelopes, func(k *talker) {
			k.say(wire.Hello{})
			next[wire.Welcome](k)
			for range maxBad - 1 {
				k.SendText("[1]")
				k.refused(wire.CodeBadEnvelope)
			}
			k.say(wire.Ping{})
			next[wire.Pong](k) // a good frame begins the count anew
			for range maxBad - 1 {
				k.SendText("{")
				k.refused(wire.CodeBadJSON)
			}
			k.SendText("{")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := h.dial(t)
			c.do(k)
			if code, reason := k.Closed(); code != c.code || reason == "" {
				t.Errorf("closed with %d %q, want %d", code, reason, c.code)
			}
		})
	}
}

// 4401 would say that the client need not come back.
func TestAClientIsNotSignedOutWhenTheStoreTakesLongToKnowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := open(t).dial(t)
		k.say(wire.Hello{Token: slowToken})
		time.Sleep(3 * helloTimeout)
		if code, reason := k.Closed(); code != wire.CloseOverloaded || !strings.Contains(reason, "retry_ms=") {
			t.Errorf("closed with %d %q", code, reason)
		}
	})
}

func TestResumingGivesEachPositionOnce(t *testing.T) {
	h := open(t)
	h.post(t, "lobby", 620)
	epoch := h.service.Epoch()
	for _, c := range []struct {
		name               string
		join               wire.Join
		after, last, count int64
		first, reset       bool
	}{
		{"the newest page", wire.Join{Room: "lobby"}, 570, 620, 50, false, false},
		{"a newest page of one", wire.Join{Room: "lobby", Limit: 1}, 619, 620, 1, false, false},
		{"a few missed", wire.Join{Room: "lobby", After: new(int64(610)), Epoch: epoch}, 610, 620, 10, false, false},
		{"nothing missed", wire.Join{Room: "lobby", After: new(int64(620)), Epoch: epoch}, 620, 620, 0, false, false},
		{"as many as can be replayed", wire.Join{Room: "lobby", After: new(int64(120)), Epoch: epoch}, 120, 620, 500, false, false},
		{"one more", wire.Join{Room: "lobby", After: new(int64(119)), Epoch: epoch}, 570, 620, 50, false, true},
		{"a room nobody has spoken in", wire.Join{Room: "silent"}, 0, 0, 0, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := h.enter(t, 9)
			k.say(c.join)
			j := next[wire.Joined](k)
			if j.After != c.after || j.Last != c.last || j.First != c.first || j.Reset != c.reset || j.Here.Count != 1 {
				t.Fatalf("got %+v", j)
			}
			want := j.After
			for want < j.Last {
				for _, m := range next[wire.Messages](k).Messages {
					if want++; m.Seq != want {
						t.Fatalf("got %d, want %d", m.Seq, want)
					}
				}
			}
			k.say(wire.Ping{})
			next[wire.Pong](k) // nothing more came
		})
	}
}

// The seam: people join and resume while others post, and nobody may see a
// position twice or miss one.
func TestJoiningWhileOthersTalkMissesNothing(t *testing.T) {
	h := open(t)
	const posts = 2000
	posted := make(chan error, 1)
	go func() {
		for i := range posts {
			_, _, err := h.service.Post(context.Background(), chat.Post{Room: "lobby", Author: someone(1), Nonce: fmt.Sprint(i), Text: "x"})
			if err != nil {
				posted <- err
				return
			}
		}
		posted <- nil
	}()
	held, from := int64(0), int64(-1) // what the client holds, and where it began
	for held < posts {
		k := h.dial(t)
		k.say(wire.Hello{Epoch: h.service.Epoch()})
		next[wire.Welcome](k)
		join := wire.Join{Room: "lobby"}
		if from >= 0 {
			join.After = &held
		}
		k.say(join)
		j := next[wire.Joined](k)
		if from < 0 || j.Reset {
			from, held = j.After, j.After
		}
		if j.After != held {
			t.Fatalf("resumed at %d, held %d", j.After, held)
		}
		for n := 0; n < 37 && held < posts; {
			n += k.take(&held)
		}
		k.Drop()
	}
	if err := <-posted; err != nil {
		t.Fatal(err)
	}
}

// take reads one frame of messages, which must go on where held is.
func (k *talker) take(held *int64) int {
	k.t.Helper()
	f, err := wire.DecodeServer([]byte(k.ReceiveText()))
	if err != nil {
		k.t.Fatal(err)
	}
	var got []wire.Message
	switch f := f.(type) {
	case wire.Messages:
		got = f.Messages
	case wire.MessageFrame:
		got = []wire.Message{f.Message}
	}
	for _, m := range got {
		if *held++; m.Seq != *held {
			k.t.Fatalf("got %d, want %d", m.Seq, *held)
		}
	}
	return len(got)
}

func TestHistoryAndPeople(t *testing.T) {
	h := open(t)
	h.post(t, "lobby", 10)
	a := h.enter(t, 1, "lobby")
	next[wire.Messages](a)
	a.say(wire.History{Room: "lobby", Before: new(int64(5)), Limit: 2})
	if p := next[wire.HistoryPage](a); len(p.Messages) != 2 || p.Messages[0].Seq != 3 || p.First || p.Last || p.Ref != "ref" {
		t.Errorf("got %+v", p)
	}
	a.say(wire.History{Room: "lobby", After: new(int64(0)), Limit: 3})
	if p := next[wire.HistoryPage](a); len(p.Messages) != 3 || p.Messages[0].Seq != 1 || !p.First {
		t.Errorf("got %+v", p)
	}
	a.say(wire.History{Room: "lobby", Around: new(int64(5)), Limit: 3})
	if p := next[wire.HistoryPage](a); len(p.Messages) != 3 || p.Messages[1].Seq != 5 {
		t.Errorf("got %+v", p)
	}
	a.say(wire.Rename{Name: "Ada"})
	if n := next[wire.Renamed](a); n.Person.Name != "Ada" || n.Person.ID != a.you.ID {
		t.Errorf("got %+v", n)
	}
	a.say(wire.Leave{Room: "lobby"})
	for { // the room may hear of the new name first
		f, err := wire.DecodeServer([]byte(a.ReceiveText()))
		if err != nil {
			t.Fatal(err)
		}
		if left, ok := f.(wire.Left); ok {
			if left.Room != "lobby" {
				t.Errorf("got %+v", left)
			}
			break
		}
	}
	h.post(t, "lobby", 1)
	a.say(wire.Ping{})
	next[wire.Pong](a)
}

func TestASocketMayBeInOnlySoManyRooms(t *testing.T) {
	h := open(t)
	var rooms []string
	for i := range wire.MaxRooms {
		rooms = append(rooms, fmt.Sprint("room ", i))
	}
	a := h.enter(t, 1, rooms...)
	a.say(wire.Join{Room: "one more"})
	a.refused(wire.CodeTooMany)
	a.say(wire.Join{Room: rooms[0]})
	next[wire.Joined](a)
	a.Disconnect(1000)
	if err := h.Shutdown(t.Context()); err != nil { // waits for the consumer to have left
		t.Fatal(err)
	}
	if s := h.layer.Stats(); s.Groups != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestABucketOfCommandsRefills(t *testing.T) {
	var b bucket
	now := time.Unix(0, 0)
	for i := range commandBurst {
		if wait := b.take(now); wait != 0 {
			t.Fatalf("command %d had to wait %v", i, wait)
		}
	}
	wait := b.take(now)
	if wait <= 0 || wait > time.Second {
		t.Fatalf("one too many had to wait %v", wait)
	}
	if again := b.take(now.Add(wait)); again != 0 {
		t.Errorf("after the wait it had to wait %v", again)
	}
}

// Every refusal of the domain has a code that the protocol names.
func TestTheDomainAndTheProtocolAgreeOnCodes(t *testing.T) {
	for err, want := range map[error]string{
		chat.ErrBadRoom: wire.CodeBadRoom, chat.ErrBadName: wire.CodeBadName, chat.ErrBadText: wire.CodeBadText,
		chat.ErrEmpty: wire.CodeEmpty, chat.ErrTooLong: wire.CodeTooLong, chat.ErrBadNonce: wire.CodeBadNonce,
		chat.ErrBadQuery: wire.CodeBadQuery, chat.ErrBadSeq: wire.CodeBadSeq, chat.ErrNonceConflict: wire.CodeNonceConflict,
		chat.ErrNoRoom: wire.CodeNotFound, chat.ErrBusy: wire.CodeBusy, chat.ErrClosed: wire.CodeBusy,
		chat.ErrUnavailable: wire.CodeUnavailable, errors.New("anything else"): wire.CodeUnavailable,
		&chat.RateError{Wait: time.Second}: wire.CodeRateLimited,
	} {
		if code, sentence := chat.Code(fmt.Errorf("doing: %w", err)); code != want || sentence == "" {
			t.Errorf("%v is %s %q, want %s", err, code, sentence, want)
		}
	}
	if wire.MaxText != chat.MaxText || wire.MaxNonce != chat.MaxNonce || wire.MaxHistory != chat.MaxPage || wire.MaxReplay != chat.MaxReplay {
		t.Error("the protocol promises other sizes than the domain holds")
	}
}

func TestAPostIsAnsweredBeforeTheRoomIsLeft(t *testing.T) {
	h := open(t)
	a := h.enter(t, 1, "lobby")
	for i := range 20 {
		a.say(wire.Post{Room: "lobby", Nonce: fmt.Sprint(i), Text: "x"})
		a.say(wire.Leave{Room: "lobby"})
		if m := next[wire.MessageFrame](a); m.Nonce != fmt.Sprint(i) {
			t.Fatalf("got %+v", m)
		}
		next[wire.Left](a)
		a.say(wire.Join{Room: "lobby", Limit: 1})
		next[wire.Joined](a)
		next[wire.Messages](a)
	}
}

// tooFast lets nobody say anything.
type tooFast struct{ noLimits }

func (tooFast) Take(kind chat.Limit, _ string) time.Duration {
	if kind == chat.LimitMessages {
		return time.Second
	}
	return 0
}

func TestWhoIsTooFastForTooLongIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openWith(t, tooFast{})
		a := h.enter(t, 1, "lobby")
		for i := range commandBurst {
			a.say(wire.Post{Room: "lobby", Nonce: fmt.Sprint(i), Text: "x"})
			if e := a.refused(wire.CodeRateLimited); e.RetryMS != 1000 || e.Nonce != fmt.Sprint(i) {
				t.Fatalf("got %+v", e)
			}
		}
		a.say(wire.Post{Room: "lobby", Nonce: "n", Text: "x"})
		if code, reason := a.Closed(); code != wire.CloseRateLimited || !strings.Contains(reason, "retry_ms=") {
			t.Errorf("closed with %d %q", code, reason)
		}
	})
}
