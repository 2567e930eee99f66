package live

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
	"github.com/teahouse-chat/teahouse/wire"
)

// roomLog is the log of all rooms: a chat.Service.
type roomLog interface {
	Page(ctx context.Context, room string, r chat.Range) (chat.Page, error)
	Positions(ctx context.Context, rooms ...string) (map[string]int64, error)
}

// tails are the rooms in use on a server that shares its log with others. What
// the broker brings is only a poke: it may be lost, doubled, late and in any
// order, and forged. The log is the truth, see tail and check.
//
// A room has a tail from its first member on this server to its last, and each
// member is one of the tail before it is one of the group. A server alone has no
// tails: a nil *tails and a nil *tail do nothing.
type tails struct {
	// fixed
	source roomLog
	relay  *Relay // nil: the log is all that servers share
	layer  *channels.Layer
	seal   *seal
	log    *slog.Logger
	ctx    context.Context // of reading
	cancel context.CancelFunc

	running sync.WaitGroup // readers, and the check
	failing atomic.Bool    // the last check failed
	held    atomic.Int64   // weight of what waits in all tails
	count   tailCounters

	// guarded by mu
	mu      sync.Mutex
	closed  bool
	byGroup map[string]*tail
	queue   []*tail // to be read
	readers int
	check   checking
}

type tailCounters struct {
	holes, closed, healed, reads      atomic.Uint64
	repeated, dropped, refused        atomic.Uint64
	checks, failedReads, failedChecks atomic.Uint64
}

func newTails(source roomLog, relay *Relay, layer *channels.Layer, seal *seal, log *slog.Logger) *tails {
	s := &tails{source: source, relay: relay, layer: layer, seal: seal, log: log, byGroup: make(map[string]*tail)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expect(checkEvery)
	return s
}

// publish tells all members of a room, here and on other servers, of a message
// that this server has stored.
func (s *tails) publish(room, group string, m chat.Message) {
	e := s.event(room, m)
	if s.relay != nil {
		_ = s.relay.Publish(s.ctx, channels.Delivery{Group: group, Event: e}) // it does not wait; what it loses is counted and healed
	}
	if t := s.of(group); t != nil {
		t.offer(e)
	}
}

// event is a message on its way to the members of a room.
func (s *tails) event(room string, m chat.Message) channels.Event {
	return channels.Event{Type: eventMessage, Seq: m.Seq, Payload: sealed{
		frame: wire.MessageFrame{Room: room, Message: message(m)}, seal: s.seal,
	}}
}

// receive takes a message that another server has sent to a group. An error says
// that it is none.
func (s *tails) receive(group string, e channels.Event) error {
	t := s.of(group)
	if t == nil {
		return nil // the last member has just left
	}
	p, err := s.seal.open(e)
	if err == nil && p.frame.Room != t.room {
		err = fmt.Errorf("a message of another process is for the room %.64q, in the group of %q", p.frame.Room, t.room)
	}
	if err != nil {
		s.count.refused.Add(1)
		return err
	}
	e.Payload = p
	t.offer(e)
	return nil
}

// deliver gives a message to the members on this server. It waits while the group
// has too much to write. What a member does not get is counted by the layer.
func (s *tails) deliver(group string, e channels.Event) {
	if s.relay == nil {
		_ = s.layer.GroupSend(context.Background(), group, e)
		return
	}
	_ = s.relay.local(context.Background(), channels.Delivery{Group: group, Event: e})
}

// of is the tail of a group, or nil.
func (s *tails) of(group string) *tail {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byGroup[group]
}

// enter makes a room be in use by one more. Each enter is followed by a leave.
func (s *tails) enter(room, group string) *tail {
	if s == nil {
		return nil
	}
	for {
		s.mu.Lock()
		t := s.byGroup[group]
		if t == nil {
			t = &tail{tails: s, room: room, group: group, users: 1, last: -1}
			s.byGroup[group] = t
			s.mu.Unlock()
			return t
		}
		s.mu.Unlock()
		t.mu.Lock()
		alive := t.users > 0
		if alive {
			t.users++
		}
		t.mu.Unlock()
		if alive {
			return t
		}
		s.forget(t) // it has ended, and its last user has not yet done so
	}
}

// leave is the leave of the tail of a group that the caller has entered.
func (s *tails) leave(group string) {
	s.of(group).leave()
}

// locate sees to it that the tail has a position. The store is read if it has none.
func (t *tail) locate(ctx context.Context) error {
	if t == nil || t.known() {
		return nil
	}
	at, err := t.tails.source.Positions(ctx, t.room)
	if err != nil {
		return err
	}
	t.start(at[t.room])
	return nil
}

// forget takes a tail that has ended out of the registry.
func (s *tails) forget(t *tail) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byGroup[t.group] == t {
		delete(s.byGroup, t.group)
	}
}

// hold counts what waits in all tails, and says whether that is within the bound.
func (s *tails) hold(weight int) bool {
	if s.held.Add(int64(weight)) <= aheadTotal || weight <= 0 {
		return true
	}
	s.held.Add(int64(-weight))
	return false
}

// close ends all reading and waits for it.
func (s *tails) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	if s.check.timer != nil {
		s.check.timer.Stop()
	}
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
}

// TailStats are the rooms in use on a server that shares its log, and what it did
// to bring them what others store.
type TailStats struct {
	// now
	Rooms  int           // in use
	Behind int           // of them: a newer message is known to exist than members have
	Age    time.Duration // of the longest time that a room has been behind
	Held   int64         // bytes of messages that wait for an older one

	// since the start
	Holes    uint64 // times that a room fell behind
	Closed   uint64 // of them, those that closed without reading the log
	Reads    uint64 // pages of the log that were read
	Healed   uint64 // messages that members have from there
	Repeated uint64 // messages that came again
	Dropped  uint64 // messages for which there was no room to wait, and that were read later
	Refused  uint64 // messages of the broker that are broken, forged or not in the log
	Checks   uint64 // of the positions of rooms
	Failures uint64 // of reads and checks
	Failing  bool   // the last check failed
}

// LogFails says that the log cannot be read, as far as a server looks at it without
// being asked: one that shares it does.
func (s *Server) LogFails() bool { return s.tails != nil && s.tails.failing.Load() }

// stats counts. It takes the lock of every tail.
func (s *tails) stats() TailStats {
	if s == nil {
		return TailStats{}
	}
	c := &s.count
	st := TailStats{
		Held: s.held.Load(), Holes: c.holes.Load(), Closed: c.closed.Load(), Reads: c.reads.Load(),
		Healed: c.healed.Load(), Repeated: c.repeated.Load(), Dropped: c.dropped.Load(), Refused: c.refused.Load(),
		Checks: c.checks.Load(), Failures: c.failedReads.Load() + c.failedChecks.Load(), Failing: s.failing.Load(),
	}
	for _, t := range s.all() {
		t.mu.Lock()
		since := t.since
		t.mu.Unlock()
		st.Rooms++
		if !since.IsZero() {
			st.Behind++
			st.Age = max(st.Age, time.Since(since))
		}
	}
	return st
}

// all are the tails there are.
func (s *tails) all() []*tail {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*tail, 0, len(s.byGroup))
	for _, t := range s.byGroup {
		all = append(all, t)
	}
	return all
}
