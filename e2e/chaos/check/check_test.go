package check_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

// second is a time of a history.
func second(n int) time.Duration { return time.Duration(n) * time.Second }

// sound is a history without a violation: five messages of which the third was
// tried twice, the first time without an answer, and the fifth by two nodes at
// once; one that was refused, one nonce with another text, one that never came.
func sound(t *testing.T) check.History {
	var h check.History
	var log []wire.Message
	for i := 1; i <= 5; i++ {
		m := wire.Message{
			Seq: int64(i), Author: wire.Person{ID: "ann"}, Nonce: fmt.Sprint("n", i), Text: fmt.Sprint("text ", i),
			At: wire.Time{Time: time.UnixMilli(int64(1000 + i/2))},
		}
		log = append(log, m)
		p := check.Post{
			Room: "a", Author: "ann", Nonce: m.Nonce, Text: m.Text, Node: "one",
			Sent: second(10 * i), Answered: second(10*i + 3), Outcome: check.Stored, Seq: m.Seq,
		}
		switch i {
		case 3:
			first := p
			first.Sent, first.Answered, first.Outcome, first.Seq = second(22), 0, check.Unknown, 0
			h.Posts = append(h.Posts, first)
		case 5:
			other := p
			other.Node, other.Answered = "two", second(10*i+4)
			h.Posts = append(h.Posts, other)
		}
		h.Posts = append(h.Posts, p)
		h.Reads = append(h.Reads, check.Read{
			Room: "a", Node: "two", Asked: second(10*i + 4), Told: second(10*i + 5), Last: m.Seq, Author: "ann", Nonce: m.Nonce,
		})
	}
	h.Posts = append(h.Posts,
		check.Post{Room: "a", Author: "ann", Nonce: "refused", Text: "r", Sent: second(41), Answered: second(42), Outcome: check.Refused},
		check.Post{Room: "a", Author: "ann", Nonce: "n1", Text: "another", Other: true, Sent: second(43), Answered: second(44), Outcome: check.Conflict},
		check.Post{Room: "a", Author: "ann", Nonce: "never", Text: "n", Sent: second(45), Outcome: check.Unknown},
	)
	for _, who := range []string{"bob", "eve"} {
		v := check.View{Who: who, Room: "a"}
		for _, m := range log {
			v.Seen = append(v.Seen, check.Seen{Message: m, At: second(10*int(m.Seq) + 2)})
			if err := v.Chain.Add(m); err != nil {
				t.Fatal(err)
			}
		}
		h.Views = append(h.Views, v)
	}
	for _, from := range []string{"one", "two"} {
		h.Logs = append(h.Logs, check.Log{From: from, Room: "a", Messages: slices.Clone(log)})
	}
	return h
}

// kinds are the promises of violations, sorted, each once.
func kinds(all []check.Violation) []string {
	var k []string
	for _, v := range all {
		k = append(k, v.Promise)
	}
	slices.Sort(k)
	return slices.Compact(k)
}

func TestASoundHistoryHasNoViolation(t *testing.T) {
	h := sound(t)
	if all := append(check.Check(h), check.Linear(h)...); len(all) > 0 {
		t.Error(all)
	}
}

// each calls f on all logs.
func each(h *check.History, f func([]wire.Message) []wire.Message) {
	for i := range h.Logs {
		h.Logs[i].Messages = f(h.Logs[i].Messages)
	}
}

// again makes the views what the first log is.
func again(h *check.History) {
	for i := range h.Views {
		v := &h.Views[i]
		v.Seen, v.Chain = nil, guest.Chain{}
		for _, m := range h.Logs[0].Messages {
			v.Seen = append(v.Seen, check.Seen{Message: m, At: second(10*int(m.Seq) + 2)})
			_ = v.Chain.Add(m) // some logs here are not dense
		}
	}
}

func TestEachViolationIsFound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(h *check.History)
		want  string // among what Check finds; "" is nothing
		line  string // what Linear finds
	}{
		{"an acknowledged message is lost from the end", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message { return l[:4] })
			again(h)
		}, check.Lost, check.Linearized},
		{"an acknowledged message was replaced", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message { l[1].Nonce = "other"; return l })
			again(h)
		}, check.Lost, check.Linearized},
		{"a message is in the log that nobody said", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message {
				m := l[4]
				m.Seq, m.Nonce = 6, "ghost"
				return append(l, m)
			})
			again(h)
		}, check.Invented, check.Linearized},
		{"a message is in the log that was refused", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message {
				m := l[4]
				m.Seq, m.Nonce, m.Text = 6, "refused", "r"
				return append(l, m)
			})
			again(h)
		}, check.Invented, check.Linearized},
		{"a nonce has two messages", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message {
				m := l[4]
				m.Seq = 6
				return append(l, m)
			})
			again(h)
		}, check.Twice, check.Linearized},
		{"a nonce was acknowledged as two", func(h *check.History) { h.Posts[5].Seq = 4 }, check.Twice, check.Linearized},
		{"another text was acknowledged for a nonce", func(h *check.History) {
			h.Posts[len(h.Posts)-2].Outcome = check.Stored
		}, check.Intact, ""},
		{"a nonce is said to stand for another text", func(h *check.History) {
			h.Posts[0].Outcome, h.Posts[0].Seq = check.Conflict, 0
		}, check.Intact, check.Linearized},
		{"a number is missing", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message { return slices.Delete(l, 2, 3) })
		}, check.Dense, check.Linearized},
		{"a text is another", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message { l[2].Text = "x"; return l })
			again(h)
		}, check.Intact, ""},
		{"what was said later comes first", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message {
				l[0].Nonce, l[1].Nonce, l[0].Text, l[1].Text = l[1].Nonce, l[0].Nonce, l[1].Text, l[0].Text
				return l
			})
			h.Posts[0].Seq, h.Posts[1].Seq = 2, 1
			h.Reads[0].Nonce, h.Reads[1].Nonce = "n2", "n1"
			again(h)
		}, check.Order, check.Linearized},
		{"a post is numbered below what a reader knew when it was sent", func(h *check.History) {
			h.Views[0].Seen[4].At = second(39)
		}, check.Order, ""},
		{"a read is behind what was acknowledged", func(h *check.History) {
			h.Reads[4].Last, h.Reads[4].Nonce = 3, "n3"
		}, check.Stale, check.Linearized},
		{"a read gave what the log has not", func(h *check.History) { h.Reads[2].Nonce = "other" }, check.Agreement, check.Linearized},
		{"a read gave more than there is", func(h *check.History) { h.Reads[4].Last = 6 }, check.Agreement, check.Linearized},
		{"a reader misses one in the middle", func(h *check.History) {
			h.Views[1].Seen = slices.Delete(h.Views[1].Seen, 2, 3)
		}, check.Gap, ""},
		{"a reader misses the last", func(h *check.History) { h.Views[1].Seen = h.Views[1].Seen[:4] }, check.Gap, ""},
		{"a reader was told one twice", func(h *check.History) {
			h.Views[0].Seen = slices.Insert(h.Views[0].Seen, 2, h.Views[0].Seen[1])
		}, check.Gap, ""},
		{"a reader was told another text", func(h *check.History) { h.Views[0].Seen[3].Text = "x" }, check.Agreement, ""},
		{"a reader has another chain", func(h *check.History) { h.Views[0].Chain.Sum[0]++ }, check.Agreement, ""},
		{"two nodes have different logs", func(h *check.History) { h.Logs[1].Messages[3].Text = "x" }, check.Agreement, ""},
		{"a node has a shorter log", func(h *check.History) { h.Logs[1].Messages = h.Logs[1].Messages[:3] }, check.Agreement, ""},
		{"a room has no log", func(h *check.History) { h.Logs = nil }, check.Agreement, ""},
		{"time goes back", func(h *check.History) {
			each(h, func(l []wire.Message) []wire.Message { l[4].At = wire.Time{Time: time.UnixMilli(1)}; return l })
			again(h)
		}, check.Clock, ""},
		{"a conflict is told for a nonce that nobody used", func(h *check.History) { h.Posts[len(h.Posts)-2].Nonce = "new" }, "", check.Linearized},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := sound(t)
			tt.spoil(&h)
			all := check.Check(h)
			if found := kinds(all); tt.want != "" && !slices.Contains(found, tt.want) || tt.want == "" && len(found) > 0 {
				t.Errorf("found %v, want %q", all, tt.want)
			}
			line := kinds(check.Linear(h))
			if tt.line == "" && len(line) > 0 || tt.line != "" && !slices.Equal(line, []string{tt.line}) {
				t.Errorf("the search found %v, want %q", line, tt.line)
			}
		})
	}
}

// crowded is a sound history of a room with many operations, ten at a time, of
// which many have none the first time, and some never.
func crowded(n int) check.History {
	var h check.History
	log := check.Log{From: "one", Room: "a"}
	for i := range n {
		m := wire.Message{Seq: int64(i) + 1, Author: wire.Person{ID: "ann"}, Nonce: fmt.Sprint(i)}
		log.Messages = append(log.Messages, m)
		p := check.Post{
			Room: "a", Author: "ann", Nonce: m.Nonce, Sent: time.Duration(i), Answered: time.Duration(i + 10),
			Outcome: check.Stored, Seq: m.Seq,
		}
		if i%7 == 0 {
			first := p
			first.Sent -= 5
			first.Answered, first.Outcome, first.Seq = 0, check.Unknown, 0
			h.Posts = append(h.Posts, first)
		} else if i%50 == 0 {
			p.Answered, p.Outcome, p.Seq = 0, check.Unknown, 0
		}
		h.Posts = append(h.Posts, p)
	}
	h.Logs = []check.Log{log}
	return h
}

func TestTheSearchDecidesAsManyOperationsAsItMayAndNoMore(t *testing.T) {
	if found := check.Linear(crowded(check.MaxOperations - 1)); len(found) > 0 {
		t.Error(found)
	}
	lost := crowded(check.MaxOperations - 1)
	lost.Logs[0].Messages = slices.Delete(lost.Logs[0].Messages, 1000, 1001)
	if found := kinds(check.Linear(lost)); !slices.Equal(found, []string{check.Linearized}) {
		t.Errorf("a lost message: %v", found)
	}
	if found := kinds(check.Linear(crowded(check.MaxOperations))); !slices.Equal(found, []string{check.Undecided}) {
		t.Errorf("too many operations: %v", found)
	}
}
