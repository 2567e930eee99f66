package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

// logs checks each log in itself and all of them against the first, which it
// returns.
func (r room) logs(f *found) []wire.Message {
	if len(r.Logs) == 0 {
		f.add(Agreement, "%s has no log", r.name)
		return nil
	}
	for _, l := range r.Logs {
		at := make(map[key]int64, len(l.Messages))
		for i, m := range l.Messages {
			if m.Seq != int64(i)+1 {
				f.add(Dense, "%s of %s has %d in place %d", l.From, r.name, m.Seq, i+1)
				break
			}
			if first, again := at[keyOf(m)]; again {
				f.add(Twice, "%s of %s has nonce %s as %d and %d", l.From, r.name, m.Nonce, first, m.Seq)
			}
			at[keyOf(m)] = m.Seq
			if i > 0 && m.At.Before(l.Messages[i-1].At.Time) {
				f.add(Clock, "%s of %s: number %d is of an earlier time than the one above it", l.From, r.name, m.Seq)
			}
		}
		if place, same := compare(r.Logs[0].Messages, l.Messages); !same {
			f.add(Agreement, "%s of %s has %d messages, %s has %d, and they differ at %d",
				r.Logs[0].From, r.name, len(r.Logs[0].Messages), l.From, len(l.Messages), place)
		}
	}
	return r.Logs[0].Messages
}

// compare says whether two logs are the same, or the place of the first
// difference. Names may have changed between two readings.
func compare(a, b []wire.Message) (place int, same bool) {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x.Seq != y.Seq || keyOf(x) != keyOf(y) || x.Text != y.Text || !x.At.Equal(y.At.Time) {
			return i + 1, false
		}
	}
	return min(len(a), len(b)) + 1, len(a) == len(b)
}

// posts checks what senders were told against the log.
func (r room) posts(f *found, log []wire.Message) {
	at := make(map[key]wire.Message, len(log))
	for _, m := range log {
		at[keyOf(m)] = m
	}
	said := make(map[key]string)      // text
	possible := make(map[key]bool)    // some attempt may have stored it
	answered := make(map[key][]int64) // different numbers it was acknowledged as
	for _, p := range r.Posts {
		k := key{p.Author, p.Nonce}
		if p.Other {
			if p.Outcome == Stored {
				f.add(Intact, "%s acknowledged nonce %s of %s for another text", p.Node, p.Nonce, r.name)
			}
			continue
		}
		if p.Outcome == Conflict {
			f.add(Intact, "%s says that nonce %s of %s stands for another text", p.Node, p.Nonce, r.name)
			continue
		}
		said[k] = p.Text
		possible[k] = possible[k] || p.Outcome != Refused
		if p.Outcome != Stored {
			continue
		}
		if !slices.Contains(answered[k], p.Seq) {
			answered[k] = append(answered[k], p.Seq)
		}
		if m, there := at[k]; !there || m.Seq != p.Seq {
			f.add(Lost, "%s acknowledged nonce %s of %s as %d at %v, the log has it as %d (0: not at all) of %d",
				p.Node, p.Nonce, r.name, p.Seq, p.Answered, m.Seq, len(log))
		}
	}
	for k, all := range answered {
		if len(all) > 1 {
			f.add(Twice, "nonce %s of %s was acknowledged as %v", k.nonce, r.name, all)
		}
	}
	for k, m := range at {
		switch text, known := said[k]; {
		case !known:
			f.add(Invented, "number %d of %s, nonce %s, was said by nobody", m.Seq, r.name, m.Nonce)
		case !possible[k]:
			f.add(Invented, "number %d of %s, nonce %s, was refused", m.Seq, r.name, m.Nonce)
		case text != m.Text:
			f.add(Intact, "number %d of %s, nonce %s, is %q, said was %q", m.Seq, r.name, m.Nonce, clip(m.Text), clip(text))
		}
	}
}

// clip is as much of a text as a person reads.
func clip(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// known is a number that somebody has been told at a time.
type known struct {
	at  time.Duration
	seq int64
}

// floors are what was known when, ascending in both; see floor.
type floors []known

// floor is the largest number that somebody knew before a time.
func (k floors) floor(at time.Duration) int64 {
	i, _ := slices.BinarySearchFunc(k, at, func(x known, at time.Duration) int { return cmp.Compare(x.at, at) })
	if i == 0 {
		return 0
	}
	return k[i-1].seq
}

// floors gathers what anybody was told of the room.
func (r room) floors() floors {
	var all floors
	for _, p := range r.Posts {
		if p.Outcome == Stored {
			all = append(all, known{p.Answered, p.Seq})
		}
	}
	for _, x := range r.Reads {
		all = append(all, known{x.Told, x.Last})
	}
	for _, v := range r.Views {
		for _, s := range v.Seen {
			all = append(all, known{s.At, s.Seq})
		}
	}
	slices.SortFunc(all, func(a, b known) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(all); i++ {
		all[i].seq = max(all[i].seq, all[i-1].seq)
	}
	return all
}

// order checks that what was said after something was known comes after it, and
// that no read is behind what was known.
func (r room) order(f *found, log []wire.Message) {
	first := make(map[key]time.Duration) // when it was first sent
	for _, p := range r.Posts {
		k := key{p.Author, p.Nonce}
		if at, again := first[k]; !p.Other && (!again || p.Sent < at) {
			first[k] = p.Sent
		}
	}
	floors := r.floors()
	for _, m := range log {
		at, said := first[keyOf(m)]
		if floor := floors.floor(at); said && m.Seq <= floor {
			f.add(Order, "number %d of %s, nonce %s, was first sent at %v, when %d was known", m.Seq, r.name, m.Nonce, at, floor)
		}
	}
	for _, x := range r.Reads {
		if floor := floors.floor(x.Asked); x.Last < floor {
			f.add(Stale, "%s had %d of %s at %v, when %d was known", x.Node, x.Last, r.name, x.Told, floor)
		}
		if x.Last > int64(len(log)) || x.Last > 0 && keyOf(log[x.Last-1]) != (key{x.Author, x.Nonce}) {
			f.add(Agreement, "%s had nonce %s as number %d of %s, which the log has not", x.Node, x.Nonce, x.Last, r.name)
		}
	}
}

// views checks that each reader was told each message once, ascending, as the log
// has it, to its end; and that the chains of all are the log's. Of who has stopped
// before, nothing but the order is known to be wrong.
func (r room) views(f *found, log []wire.Message) {
	var chain guest.Chain
	for _, m := range log {
		if chain.Add(m) != nil {
			return // not dense, which was said before
		}
	}
	for _, v := range r.Views {
		told := make([]wire.Message, len(v.Seen))
		for i, s := range v.Seen {
			told[i] = s.Message
			if s.Seq != int64(i)+1 {
				f.add(Gap, "%s was told %d of %s in place %d", v.Who, s.Seq, r.name, i+1)
				break
			}
		}
		if v.Stopped {
			continue
		}
		place, same := compare(log, told)
		switch {
		case !same && place > len(told):
			f.add(Gap, "%s was told %d of the %d messages of %s", v.Who, len(told), len(log), r.name)
		case !same:
			f.add(Agreement, "%s was told another %s: it differs at %d", v.Who, r.name, place)
		case v.Chain != chain:
			f.add(Agreement, "%s has another chain of %s: %x at %d, the log has %x at %d",
				v.Who, r.name, v.Chain.Sum[:4], v.Chain.Seq, chain.Sum[:4], chain.Seq)
		}
	}
}
