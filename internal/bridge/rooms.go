package bridge

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/internal/chat"
)

// MaxRooms is how many rooms are followed at most, beside those whose names are
// given.
const MaxRooms = 10_000

// Group is the Django group of a room: chat_<room>, as in the original
// application. Of names that Django cannot carry it is what channels.SafeName
// makes of that. ok is false for rooms whose names look like one of those, for
// two rooms must not share a group; they are not bridged.
func Group(room string) (name string, ok bool) {
	name = channels.SafeName("chat_" + room)
	return name, !mapped.MatchString(room)
}

// mapped is the end of what channels.SafeName makes.
var mapped = regexp.MustCompile(`\.[0-9a-f]{32}$`)

func (b *Bridge) addPattern(p string) error {
	if strings.ContainsAny(p, `*?[\`) {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("the pattern %q of rooms for Django cannot be read: close its brackets, and write \\\\ for a backslash", p)
		}
		b.patterns = append(b.patterns, p)
		return nil
	}
	name, err := chat.RoomSlug(p)
	if err != nil {
		return fmt.Errorf("the room %q for Django cannot be: %w", p, err)
	}
	if _, ok := Group(name); !ok {
		return fmt.Errorf("the room %q cannot be bridged to Django: choose another name, without 32 digits at its end", p)
	}
	b.names[name] = true
	b.rooms.known[name] = given
	return nil
}

// shared is what was given as rooms, as it was understood.
func (b *Bridge) shared() []string {
	return append(slices.Sorted(maps.Keys(b.names)), b.patterns...)
}

// bridges tells whether a room, in its canonical spelling, is bridged.
func (b *Bridge) bridges(room string) bool {
	if b.names[room] {
		return true
	}
	for _, p := range b.patterns {
		if match, _ := path.Match(p, room); match {
			_, ok := Group(room)
			return ok
		}
	}
	return false
}

// reasons why a room is followed; it is while there is one.
type reasons uint8

const (
	given     reasons = 1 << iota // its name is a pattern
	stored                        // it is in the log
	occupied                      // somebody is in it, here
	elsewhere                     // somebody is in it, on another server with this log
)

// rooms are the bridged rooms that this process knows of.
type rooms struct {
	// fixed
	wake    chan struct{} // holds 1; changed is not empty
	entered chan struct{} // holds 1; first is not empty. nil: there are no neighbours

	// guarded by mu
	mu      sync.Mutex
	known   map[string]reasons
	changed map[string]bool      // since they were last taken, while somebody takes them; whether to follow them
	taken   bool                 // somebody takes them: this process listens
	first   []string             // whose first person came since neighbours were told
	heard   map[string]time.Time // of elsewhere: when they were last told of
}

func (r *rooms) init() {
	r.wake = make(chan struct{}, 1)
	r.known, r.changed, r.heard = make(map[string]reasons), make(map[string]bool), make(map[string]time.Time)
}

// Occupied is told when the first person comes into a room on this server, and
// when the last has left, also of rooms in which nothing was ever said: Django
// can speak there too. It does not wait.
func (b *Bridge) Occupied(room string, somebody bool) {
	if b.bridges(room) && b.learn(room, occupied, somebody) && somebody {
		b.rooms.enter(room)
	}
}

// enter has neighbours told of a room.
func (r *rooms) enter(room string) {
	if r.entered == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.first) < MaxRooms { // all are told at the next tick
		r.first = append(r.first, room)
	}
	select {
	case r.entered <- struct{}{}:
	default:
	}
}

// learn notes that a reason for following a room holds, or not any more. It
// tells whether it could be noted: there may be too many.
func (b *Bridge) learn(room string, why reasons, holds bool) bool {
	r := &b.rooms
	r.mu.Lock()
	defer r.mu.Unlock()
	if holds && r.known[room] == 0 && len(r.known) >= MaxRooms+len(b.names) {
		b.lose(&b.count.beyond, "a room is not followed, there are too many", room, nil)
		return false
	}
	r.note(room, why, holds)
	return true
}

// note is learn without a bound. The caller holds mu.
func (r *rooms) note(room string, why reasons, holds bool) {
	before := r.known[room]
	now := before &^ why
	if holds {
		now |= why
	}
	switch {
	case why != elsewhere:
	case holds:
		r.heard[room] = time.Now()
	default:
		delete(r.heard, room)
	}
	if now == before {
		return
	}
	r.known[room] = now
	if now == 0 {
		delete(r.known, room)
	}
	if (now == 0) == (before == 0) || !r.taken {
		return
	}
	r.changed[room] = now != 0
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// all is every room to follow; what changes from now on is in take, until
// leave.
func (r *rooms) all() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = true
	clear(r.changed)
	all := make(map[string]bool, len(r.known))
	for room := range r.known {
		all[room] = true
	}
	return all
}

// take returns what has changed since the last take or all.
func (r *rooms) take() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed := r.changed
	r.changed = make(map[string]bool)
	return changed
}

// leave says that nobody takes what changes: people come and go for weeks in a
// process that does not listen.
func (r *rooms) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = false
	r.changed = make(map[string]bool)
}

// survey learns of rooms from the log: those that others made, too.
func (b *Bridge) survey(ctx context.Context, limit int) {
	if len(b.patterns) == 0 {
		return
	}
	list, err := b.list(ctx, limit)
	if err != nil {
		if ctx.Err() == nil {
			b.log.Warn("Django bridge: list rooms, new ones are followed later", "err", err)
		}
		return
	}
	for _, room := range list {
		if b.bridges(room.Slug) {
			b.learn(room.Slug, stored, true)
		}
	}
}
