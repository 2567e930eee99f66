package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/channelstest"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/internal/chat/memstore"
	"github.com/teahouse-chat/teahouse/wire"
)

// happening is one thing that happens in a simulation.
type happening struct {
	do   string
	node int
	n    int
}

// schedule is what happens to three servers with one log, and to what the broker
// carries between them.
type schedule struct {
	seed  uint64
	steps []happening
}

func drawSchedule(rt *rapid.T) schedule {
	one := rapid.Custom(func(rt *rapid.T) happening {
		return happening{
			do: rapid.SampledFrom([]string{
				"post", "post", "post", "post", "burst", "join", "join", "plain", "leave", "drop",
				"pass", "pass", "bad broker", "worse broker", "dead broker", "slow broker", "good broker", "gap", "no store", "half store", "store",
				"flood",
			}).Draw(rt, "do"),
			node: rapid.IntRange(0, 2).Draw(rt, "node"),
			n:    rapid.IntRange(0, 99).Draw(rt, "n"),
		}
	})
	return schedule{seed: rapid.Uint64().Draw(rt, "seed"), steps: rapid.SliceOfN(one, 10, 60).Draw(rt, "steps")}
}

// watcher is somebody in a room who checks what comes.
type watcher struct {
	node  int
	rich  *talker              // nil for a plain one
	plain *channelstest.Client // nil for a rich one, and nobody can ask it for what has come
	last  int64
	sure  bool // last is known
}

// simulation is a schedule under way.
type simulation struct {
	t        *testing.T
	mu       sync.Mutex // of random
	random   *rand.Rand
	street   street
	store    unsure
	nodes    []*house
	watchers []*watcher
	posted   int
	wrong    []string
	readable time.Time // when the store came back last

	stored sync.Map // time.Time of when, by position, of what is known to be
}

// unsure is a store that may lose the answer of what it has stored.
type unsure struct {
	shaky
	half atomic.Bool
}

func (s *unsure) Append(ctx context.Context, batch []chat.Draft) ([]chat.Appended, error) {
	results, err := s.shaky.Append(ctx, batch)
	if err == nil && s.half.Load() {
		return nil, errGone
	}
	return results, err
}

func simulate(t *testing.T, what schedule) (wrong []string) {
	s := &simulation{t: t, random: rand.New(rand.NewPCG(what.seed, 0))}
	s.store.Store = memstore.New()
	for range 3 {
		h, _ := openNode(t, &s.street, &s.store)
		s.nodes = append(s.nodes, h)
	}
	for _, st := range what.steps {
		s.step(st)
		for _, w := range s.watchers {
			s.read(w)
		}
	}
	s.turn(happening{do: "store"})
	if s.street.takes > 0 {
		s.step(happening{do: "flood", n: 300})
	}
	pass(6 * time.Second) // whatever the broker does
	at, err := s.nodes[0].service.Positions(t.Context(), "lobby")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range s.watchers {
		s.read(w)
		if w.sure && w.last != at["lobby"] {
			s.fail("a member on server %d has got %d of %d messages: %+v", w.node, w.last, at["lobby"], s.nodes[w.node].Stats().Tails)
		}
	}
	for i, h := range s.nodes {
		if st := h.Stats().Tails; st.Held != 0 || st.Behind != 0 {
			s.fail("server %d is not at rest: %+v", i, st)
		}
	}
	return s.wrong
}

func (s *simulation) fail(format string, args ...any) {
	s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
}

func (s *simulation) step(st happening) {
	h := s.nodes[st.node]
	switch st.do {
	case "post":
		s.post(h, 1)
	case "burst":
		s.post(h, st.n/3)
	case "flood":
		for range 200 + 2*st.n {
			s.post(h, 1)
			time.Sleep(2 * time.Millisecond)
		}
	case "join", "plain":
		s.join(st)
	case "leave", "drop":
		s.leave(st)
	case "pass":
		time.Sleep(time.Duration(st.n*st.n/2) * time.Millisecond)
	case "gap":
		s.street.ends[st.node].node.Gap()
	default:
		s.turn(st)
	}
}

// turn changes the broker or the store.
func (s *simulation) turn(st happening) {
	f, takes := fate(nil), time.Duration(0)
	switch st.do {
	case "slow broker": // slower than a flood
		takes = time.Duration(5+st.n/7) * time.Millisecond
	case "bad broker":
		f = s.bad(10, 20)
	case "worse broker":
		f = s.bad(40, 300)
	case "dead broker":
		f = lost
	case "no store", "store":
		if s.store.gone.Swap(st.do == "no store") {
			s.readable = time.Now()
		}
		s.store.half.Store(false)
		return
	case "half store":
		s.store.half.Store(true)
		return
	}
	s.street.mu.Lock()
	defer s.street.mu.Unlock()
	s.street.fate, s.street.takes = f, takes
}

// bad loses and doubles so many of a hundred, and brings each after so many
// milliseconds at most.
func (s *simulation) bad(percent, spread int) fate {
	return func(channels.Delivery) (after []time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		copies := 1
		switch n := s.random.IntN(100); {
		case n < percent:
			copies = 0
		case n < 2*percent:
			copies = 2
		}
		for range copies {
			after = append(after, time.Duration(s.random.IntN(spread))*time.Millisecond)
		}
		return after
	}
}

func (s *simulation) post(h *house, n int) {
	for range n {
		s.posted++
		_ = h.service.Submit(s.t.Context(), chat.Post{
			Room: "lobby", Author: someone(1), Nonce: fmt.Sprint(s.posted), Text: "x",
		}, func(m chat.Message, _ bool, err error) {
			if err == nil {
				s.stored.Store(m.Seq, time.Now())
			}
		})
	}
}

func (s *simulation) join(st happening) {
	if s.store.gone.Load() {
		return // it would be refused
	}
	h := s.nodes[st.node]
	w := &watcher{node: st.node}
	if st.do == "plain" {
		w.plain = channelstest.New(s.t, h.plainMux(), "/ws/chat/lobby/")
		w.plain.Connect()
		w.last = s.shown(w)
	} else {
		w.rich = h.enter(s.t, 10+len(s.watchers))
		w.rich.say(wire.Join{Room: "lobby"})
	}
	s.watchers = append(s.watchers, w)
}

func (s *simulation) leave(st happening) {
	if len(s.watchers) == 0 {
		return
	}
	i := st.n % len(s.watchers)
	w := s.watchers[i]
	s.read(w)
	s.watchers = append(s.watchers[:i:i], s.watchers[i+1:]...)
	switch {
	case w.plain != nil:
		w.plain.Drop()
	case st.do == "leave":
		w.rich.say(wire.Leave{Room: "lobby"})
	default:
		w.rich.Drop()
	}
}

// read takes what has come to a member.
func (s *simulation) read(w *watcher) {
	synctest.Wait()
	if w.rich == nil {
		s.take(w, s.shown(w))
		return
	}
	w.rich.say(wire.Ping{})
	for {
		text := w.rich.ReceiveText()
		f, err := wire.DecodeServer([]byte(text))
		if err != nil {
			s.t.Fatal(err)
		}
		switch f := f.(type) {
		case wire.Pong:
			s.late(w)
			return
		case wire.Joined:
			w.last, w.sure = f.After, true
		case wire.Messages:
			for _, m := range f.Messages {
				s.got(w, m.Seq)
			}
		case wire.MessageFrame:
			s.got(w, f.Seq)
		}
	}
}

// late complains of what a member lacks for more than 5 s.
func (s *simulation) late(w *watcher) {
	at, known := s.stored.Load(w.last + 1)
	if !w.sure || !known || s.store.gone.Load() {
		return
	}
	if late := min(time.Since(at.(time.Time)), time.Since(s.readable)); late > 5*time.Second {
		s.fail("a member on server %d lacks %d since %v", w.node, w.last+1, late)
	}
}

// shown is the position that the room has been given on the server of a member.
func (s *simulation) shown(w *watcher) int64 {
	h := s.nodes[w.node]
	tail := h.tails.of(h.groups.of("lobby"))
	tail.mu.Lock()
	defer tail.mu.Unlock()
	return tail.last
}

// take takes all that has come to a plain member.
func (s *simulation) take(w *watcher, end int64) {
	from := w.last
	for w.last < end {
		var m wire.PlainMessage
		w.plain.ReceiveJSON(&m)
		if !w.sure && m.Seq > from+1 {
			s.fail("a plain member on server %d began at %d, and the room was at %d", w.node, m.Seq, from)
		}
		s.got(w, m.Seq)
	}
}

func (s *simulation) got(w *watcher, seq int64) {
	if w.sure && seq != w.last+1 {
		s.fail("a member on server %d got %d after %d", w.node, seq, w.last)
	}
	w.last, w.sure = seq, true
}

// TestWhateverArrivesEveryMemberSeesTheLog brings three servers into all kinds of
// trouble, and looks at what their members saw.
func TestWhateverArrivesEveryMemberSeesTheLog(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		what := drawSchedule(rt)
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = simulate(t, what) })
		if len(wrong) > 0 {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	})
}
