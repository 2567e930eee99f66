package check

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/teahouse-chat/teahouse/wire"
)

const (
	// MaxOperations bounds the operations of a room in Linear: the search for an
	// order takes more than linear time.
	MaxOperations = 2000

	linearWithin = time.Minute
)

// Linear searches, room by room, for an order of all operations in which each
// does what the model of a room does, and which keeps the order of real time.
// Too many operations, and a search that takes too long, are violations: they
// decide nothing.
//
// The attempts to say one message are one operation, from the first until it was
// acknowledged first: one of them stored it, and the others found it. If none was
// acknowledged, the log tells whether there is an operation, without an end.
func Linear(h History) []Violation {
	var f found
	for _, name := range h.rooms() {
		operations := h.only(name).operations()
		if len(operations) > MaxOperations {
			f.add(Undecided, "%s has %d operations, more than %d", name, len(operations), MaxOperations)
			continue
		}
		switch porcupine.CheckOperationsTimeout(model(), operations, linearWithin) {
		case porcupine.Illegal:
			f.add(Linearized, "no order explains the %d operations of %s", len(operations), name)
		case porcupine.Unknown:
			f.add(Undecided, "no order of the %d operations of %s was found or excluded within %v", len(operations), name, linearWithin)
		}
	}
	return f
}

// operation is a Post; or a Read, of the newest message or of the whole log.
type operation struct {
	post, conflict bool
	key            key
	seq            int64          // of the answer
	log            []wire.Message // all that was read; nil is only the newest
}

// operations of a room, with the final log as the last read.
func (r room) operations() []porcupine.Operation {
	var all []porcupine.Operation
	add := func(o operation, from, to time.Duration) {
		all = append(all, porcupine.Operation{ClientId: len(all), Input: o, Call: int64(from), Return: int64(to)})
	}
	if len(r.Logs) > 0 {
		log := r.Logs[0].Messages
		end := operation{seq: int64(len(log)), log: log}
		if end.seq > 0 {
			end.key = keyOf(log[end.seq-1])
		}
		add(end, math.MaxInt64-1, math.MaxInt64)
	}
	for _, m := range r.stored() {
		add(operation{post: true, key: m.key, seq: m.seq}, m.from, m.to)
	}
	for _, p := range r.Posts {
		k := key{p.Author, p.Nonce}
		if p.Outcome == Conflict {
			add(operation{post: true, conflict: true, key: k}, p.Sent, p.Answered)
		}
	}
	for _, x := range r.Reads {
		add(operation{key: key{x.Author, x.Nonce}, seq: x.Last}, x.Asked, x.Told)
	}
	return all
}

// storing is a message, and the time in which it was stored.
type storing struct {
	key      key
	seq      int64
	from, to time.Duration
}

// forever is the time of an answer that never came.
const forever = time.Duration(math.MaxInt64 - 2)

// stored are the messages that were acknowledged or are in the log. One that was
// acknowledged under several numbers is several, which no order explains.
func (r room) stored() []storing {
	type numbered struct {
		key
		seq int64
	}
	first := make(map[key]time.Duration) // sent
	ended := make(map[numbered]time.Duration)
	for _, p := range r.Posts {
		k := key{p.Author, p.Nonce}
		if p.Other || p.Outcome == Refused || p.Outcome == Conflict {
			continue
		}
		if at, again := first[k]; !again || p.Sent < at {
			first[k] = p.Sent
		}
		if n := (numbered{k, p.Seq}); p.Outcome == Stored {
			if at, again := ended[n]; !again || p.Answered < at {
				ended[n] = p.Answered
			}
		}
	}
	if len(r.Logs) > 0 {
		for _, m := range r.Logs[0].Messages {
			n := numbered{keyOf(m), m.Seq}
			if _, said := first[n.key]; said && ended[n] == 0 {
				ended[n] = forever
			}
		}
	}
	var all []storing
	for n, to := range ended {
		all = append(all, storing{n.key, n.seq, first[n.key], to})
	}
	slices.SortFunc(all, func(a, b storing) int { return cmp.Compare(a.from, b.from) })
	return all
}

// state is a room: its newest message, under it the others.
type state struct {
	top *entry
	sum uint64 // of all
}

type entry struct {
	key   key
	seq   int64
	below *entry
}

func (s state) seq() int64 {
	if s.top == nil {
		return 0
	}
	return s.top.seq
}

// find is the number of a nonce, or 0.
func (s state) find(k key) int64 {
	for e := s.top; e != nil; e = e.below {
		if e.key == k {
			return e.seq
		}
	}
	return 0
}

// reads says whether a read gives what there is.
func (s state) reads(o operation) bool {
	if o.seq != s.seq() || s.top != nil && s.top.key != o.key {
		return false
	}
	if o.log == nil {
		return true
	}
	for e := s.top; e != nil; e = e.below {
		if keyOf(o.log[e.seq-1]) != e.key {
			return false
		}
	}
	return true
}

// model is a room with one server, one operation at a time: a nonce takes the next
// number, once; another text for it is a conflict; a read gives the newest message.
func model() porcupine.Model {
	seed := maphash.MakeSeed()
	return porcupine.Model{
		Init:  func() any { return state{} },
		Equal: func(a, b any) bool { return a.(state).sum == b.(state).sum && a.(state).seq() == b.(state).seq() },
		Hash:  func(s any) uint64 { return s.(state).sum },
		Step: func(before, input, _ any) (bool, any) {
			s, o := before.(state), input.(operation)
			switch {
			case !o.post:
				return s.reads(o), s
			case o.conflict:
				return s.find(o.key) > 0, s
			}
			if o.seq != s.seq()+1 || s.find(o.key) > 0 {
				return false, s
			}
			sum := maphash.Comparable(seed, struct {
				below uint64
				key   key
			}{s.sum, o.key})
			return true, state{&entry{o.key, o.seq, s.top}, sum}
		},
	}
}
