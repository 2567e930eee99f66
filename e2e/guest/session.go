package guest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/wire"
)

// session is one socket of a member. Guarded by Member.mu.
type session struct {
	guest  *Guest
	joined map[string]bool // rooms whose joined has come
}

// handle does what a frame asks for.
func (m *Member) handle(f wire.Frame) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer m.changed.Broadcast()
	switch f := f.(type) {
	case wire.Welcome:
		return m.welcome(f)
	case wire.Joined:
		return m.enter(f)
	case wire.Messages:
		for _, msg := range f.Messages {
			m.take(f.Room, msg)
		}
	case wire.MessageFrame:
		m.take(f.Room, f.Message)
	case wire.Ack:
		m.acked(f.Room, f.Nonce, f.Seq)
	case wire.ErrorFrame:
		return m.refused(f)
	}
	return m.fill()
}

func (m *Member) welcome(f wire.Welcome) error {
	if m.story.ID == "" {
		m.story.ID, m.token, m.epoch = f.You.ID, f.Token, f.Epoch
	}
	if f.You.ID != m.story.ID {
		m.fault("became %s, was %s", f.You.ID, m.story.ID)
	}
	m.story.Sessions++
	for _, room := range m.load.Rooms {
		at := m.story.Chains[room].Seq
		if err := m.live.guest.Say(room, wire.Join{Room: room, After: &at, Epoch: m.epoch}); err != nil {
			return err
		}
	}
	return nil
}

func (m *Member) enter(f wire.Joined) error {
	at := m.story.Chains[f.Room].Seq
	switch {
	case f.Reset:
		m.story.Resets++
		if err := m.catchUp(f.Room, f.After); err != nil {
			return err
		}
	case f.After != at:
		m.fault("joined %s after %d, asked for %d", f.Room, f.After, at)
	}
	m.live.joined[f.Room] = true
	if len(m.live.joined) < len(m.load.Rooms) {
		return nil
	}
	for _, d := range m.outbox { // in the order in which they were first sent
		if err := m.send(d); err != nil {
			return err
		}
	}
	return m.fill()
}

// catchUp reads what a reset leaves out, while the live messages wait.
func (m *Member) catchUp(room string, until int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	missed, err := History(ctx, m.load.Address, room, m.story.Chains[room].Seq)
	if err != nil {
		return err
	}
	for _, msg := range missed {
		if msg.Seq <= until {
			m.take(room, msg)
		}
	}
	return nil
}

// take is a message of a room: each must be the next one.
func (m *Member) take(room string, msg wire.Message) {
	chain := m.story.Chains[room]
	if err := chain.Add(msg); err != nil {
		m.fault("session %d, %s: %v", m.story.Sessions, room, err)
		return
	}
	m.story.Chains[room] = chain
	if msg.Author.ID == m.story.ID {
		m.acked(room, msg.Nonce, msg.Seq)
	}
}

// acked takes a post out of the outbox.
func (m *Member) acked(room, nonce string, seq int64) {
	i := slices.IndexFunc(m.outbox, func(d *draft) bool { return d.Nonce == nonce })
	if i < 0 {
		return // acknowledged before
	}
	d := m.outbox[i]
	m.outbox = slices.Delete(m.outbox, i, i+1)
	if seq <= d.floor || room != d.Room {
		m.fault("%s was acknowledged as %d of %s, sent to %s when %d was known", nonce, seq, room, d.Room, d.floor)
	}
	m.story.Acked = append(m.story.Acked, Acked{Room: d.Room, Nonce: nonce, Text: d.Text, Seq: seq, Floor: d.floor})
}

// refused is an error frame: either for now, or a fault.
func (m *Member) refused(f wire.ErrorFrame) error {
	m.story.Errors[f.Code]++
	i := slices.IndexFunc(m.outbox, func(d *draft) bool { return d.Nonce == f.Nonce })
	switch {
	case f.RetryMS <= 0:
		m.fault("refused for good: %+v", f)
	case i >= 0:
		m.outbox[i].retry = time.Now().Add(time.Duration(f.RetryMS) * time.Millisecond)
	default: // a join: the next socket tries again
		return fmt.Errorf("refused: %s", f.Code)
	}
	return nil
}

// again sends what may be tried again by now.
func (m *Member) again() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.outbox {
		if !d.retry.IsZero() && !d.retry.After(time.Now()) {
			if err := m.send(d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Member) send(d *draft) error {
	d.retry = time.Time{}
	return m.live.guest.Say("", d.Post)
}

// fill posts until the window is full.
func (m *Member) fill() error {
	if m.quiet || len(m.live.joined) < len(m.load.Rooms) {
		return nil
	}
	for len(m.outbox) < m.load.Window {
		m.posted++
		room := m.load.Rooms[m.random.IntN(len(m.load.Rooms))]
		nonce := fmt.Sprintf("%d-%d", m.load.Seed, m.posted)
		d := &draft{Post: wire.Post{Room: room, Nonce: nonce, Text: m.text(nonce)}, floor: m.story.Chains[room].Seq}
		m.outbox = append(m.outbox, d)
		if err := m.send(d); err != nil {
			return err
		}
	}
	return nil
}
