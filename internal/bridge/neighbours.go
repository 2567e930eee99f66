package bridge

import (
	"context"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// Servers with one log tell the one that listens to Django in which rooms people
// are: a room in which nothing was ever said is in no log. They do so when the
// first person comes, and of all such rooms again and again, for those who begin
// to listen; who is silent has nobody any more.

const (
	tellEvery   = 5 * time.Second
	silentAfter = 16 * time.Second // three times told in vain
	tellRooms   = 200              // in one event
)

// What is told, in the group that is Options.Neighbours.
const (
	neighbourType = "teahouse.rooms"
	keyRooms      = "rooms"
)

// tell tells in which rooms people are here, until ctx ends. Who listens to
// Django knows that of itself.
func (b *Bridge) tell(ctx context.Context) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		var list []string
		select {
		case <-ctx.Done():
			return
		case <-b.rooms.entered:
			list = b.rooms.fresh()
		case <-ticker.C:
			list = b.rooms.peopled()
		}
		if b.count.leading.Load() {
			continue
		}
		for some := range slices.Chunk(list, tellRooms) {
			names := make([]any, len(some))
			for i, room := range some {
				names[i] = room
			}
			e := channels.Event{Type: neighbourType, Payload: map[string]any{keyRooms: names}}
			if err := b.layer.GroupSend(ctx, b.neighbours, e); err != nil && ctx.Err() == nil {
				b.log.Warn("Django bridge: tell which rooms are in use here, they are told again", "err", err)
			}
		}
	}
}

// overhear learns in which rooms people are elsewhere, until ctx ends.
func (b *Bridge) overhear(ctx context.Context) {
	defer func() { b.rooms.silence(time.Now().Add(1)) }() // it is told anew to who listens next
	for ctx.Err() == nil {
		events, err := b.layer.Subscribe(ctx, b.neighbours)
		if err != nil {
			if ctx.Err() == nil {
				b.log.Warn("Django bridge: listen to other servers, trying again", "err", err)
			}
			pause(ctx, againAfter)
			continue
		}
		for e, err := range events {
			if err == nil && e.Type == neighbourType { // what was missed is told again
				b.hearOf(e)
			}
		}
	}
}

// hearOf learns from one event.
func (b *Bridge) hearOf(e channels.Event) {
	payload, _ := e.Payload.(map[string]any)
	names, _ := payload[keyRooms].([]any)
	for _, name := range names {
		room, _ := name.(string)
		if slug, err := chat.RoomSlug(room); err != nil || slug != room || !b.bridges(room) {
			continue
		}
		b.learn(room, elsewhere, true)
	}
}

// silence forgets the people of rooms that were last told of before some time.
func (r *rooms) silence(since time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for room, at := range r.heard {
		if at.Before(since) {
			r.note(room, elsewhere, false)
		}
	}
}

// fresh are the rooms that somebody was the first to enter since it was last
// asked.
func (r *rooms) fresh() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.first
	r.first = nil
	return list
}

// peopled are all rooms with people here.
func (r *rooms) peopled() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first = nil
	for room, why := range r.known {
		if why&occupied != 0 {
			list = append(list, room)
		}
	}
	return list
}
