package bridge

import (
	"context"
	"sync"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Marker is the key that marks messages of Teahouse among a group's events; its
// value is the message's seq. Django's handlers may look at it. What has it is
// never taken for a message of Django's, so a loop cannot be.
const Marker = "teahouse"

// eventType and the keys of the original application's events.
const (
	eventType   = "chat.message"
	keyMessage  = "message"
	keyUsername = "username"
)

const outBytes = 8 << 20 // waiting to be sent; what comes then is dropped

// outbox is what is on its way to Django. A goroutine exists only while there is
// something.
type outbox struct {
	senders sync.WaitGroup

	// guarded by mu
	mu      sync.Mutex
	waiting []outgoing
	bytes   int
	sending bool
	closed  bool
}

type outgoing struct {
	group string
	event channels.Event
	cost  int
}

// Publish sends a message that this process has stored to Django, if its room is
// bridged. It does not wait, so the log's writer may call it.
func (b *Bridge) Publish(room string, m chat.Message) {
	if !b.bridges(room) {
		return
	}
	b.learn(room, stored, true)
	if m.Author.ID.Bridged() {
		return
	}
	group, _ := Group(room)
	o := outgoing{group: group, cost: saidCost + len(m.Text), event: channels.Event{Type: eventType, Payload: map[string]any{
		keyMessage: m.Text, keyUsername: m.Author.Name, Marker: m.Seq,
	}}}
	out := &b.out
	out.mu.Lock()
	defer out.mu.Unlock()
	if out.closed || out.bytes+o.cost > outBytes {
		b.lose(&b.count.outDropped, "too many messages wait to be sent to Django, some are dropped", room, nil)
		return
	}
	out.waiting = append(out.waiting, o)
	out.bytes += o.cost
	if !out.sending {
		out.sending = true
		out.senders.Go(b.send)
	}
}

// send sends what waits, in order, until nothing does.
func (b *Bridge) send() {
	out := &b.out
	for {
		out.mu.Lock()
		batch := out.waiting
		out.waiting, out.bytes = nil, 0
		out.sending = len(batch) > 0
		out.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, o := range batch {
			if err := b.layer.GroupSend(context.Background(), o.group, o.event); err != nil {
				b.lose(&b.count.outDropped, "a message was not sent to Django", o.group, err)
				continue
			}
			b.count.out.Add(1)
		}
	}
}

// Close sends what waits and no more. The layer must not make it wait for ever.
func (b *Bridge) Close() {
	b.out.mu.Lock()
	b.out.closed = true
	b.out.mu.Unlock()
	b.out.senders.Wait()
}
