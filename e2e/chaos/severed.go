//go:build linux

package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
	"github.com/teahouse-chat/teahouse/wire"
)

// soon is a time in which a node that serves answers.
const soon = time.Second

// severed checks what nodes did while they were cut off: from the database they
// acknowledge nothing, from the broker they serve all the same.
func (r *run) severed() []check.Violation {
	var all []check.Violation
	for _, w := range r.windows {
		name := r.node[w.Node].name
		switch w.Kind {
		case CutDatabase, DeafDatabase, MuteDatabase:
			for _, p := range r.record.history.Posts {
				if p.Node == name && p.Outcome == check.Stored && p.Sent > w.from && p.Answered < w.to && !r.knowable(p, w) {
					all = append(all, check.Violation{Promise: check.Severed, What: fmt.Sprintf(
						"%s acknowledged nonce %s of %s at %v, sent at %v, cut off from %v to %v", name, p.Nonce, p.Room, p.Answered, p.Sent, w.from, w.to)})
				}
			}
			if !r.saidSo(name, w) {
				all = append(all, check.Violation{Promise: check.Unsaid, What: fmt.Sprintf("%s, cut off from %v to %v", name, w.from, w.to)})
			}
		case CutBroker, MuteBroker:
			if tried, stored := r.served(name, w); tried > 0 && stored == 0 && !r.overlapped(w) {
				all = append(all, check.Violation{Promise: check.Unserved, What: fmt.Sprintf(
					"%s stored none of %d posts, cut off from the broker from %v to %v", name, tried, w.from, w.to)})
			}
		}
	}
	return all
}

// saysWithin is how long a node may take until it says that its database does not
// answer: it waits for a while first.
const saysWithin = 12 * time.Second

// saidSo says that a node answered posts in a window by "unavailable", if there
// was the time for it and somebody who waited so long.
func (r *run) saidSo(name string, w window) bool {
	if w.to-w.from < saysWithin+soon || r.schedule.People.patience() < saysWithin {
		return true
	}
	return slices.ContainsFunc(r.record.history.Posts, func(p check.Post) bool {
		return p.Node == name && p.Code == wire.CodeUnavailable && p.Answered > w.from && p.Answered < w.to
	})
}

// knowable says that a node may know, though it is cut off, that a message is
// stored: it was tried before, or on another node, which told this one.
func (r *run) knowable(p check.Post, w window) bool {
	return slices.ContainsFunc(r.record.history.Posts, func(q check.Post) bool {
		return q.Nonce == p.Nonce && q.Author == p.Author && q.Room == p.Room && (q.Sent < w.from || q.Node != p.Node && q.Sent < p.Answered)
	})
}

// served counts what was posted at a node with time enough for an answer within a
// window.
func (r *run) served(name string, w window) (tried, stored int) {
	for _, p := range r.record.history.Posts {
		if p.Node != name || p.Sent < w.from || p.Sent > w.to-soon {
			continue
		}
		tried++
		if p.Outcome == check.Stored {
			stored++
		}
	}
	return tried, stored
}

// overlapped says that another fault was near that a node does not serve in.
func (r *run) overlapped(w window) bool {
	const near = 5 * time.Second
	harmless := []Kind{CutBroker, MuteBroker, CutNodes, RestartBroker, CrashBroker, FreezeBroker, FlushBroker, ResetBroker, LossyBroker}
	return slices.ContainsFunc(r.windows, func(x window) bool {
		return !slices.Contains(harmless, x.Kind) && x.from < w.to && x.to > w.from-near
	})
}

// stored reads the logs from the database itself.
func (r *run) stored() {
	const query = `SELECT json_build_object('room', r.slug, 'seq', m.seq, 'nonce', m.nonce, 'text', m.body, 'at', m.created_at) FROM messages m JOIN rooms r ON r.id = m.room_id ORDER BY r.slug, m.seq`
	rows, err := r.postgres.Do(r.database, query)
	if err != nil {
		r.tb.Fatal(err)
	}
	authors := make(map[string]string) // here nobody uses the nonces of others; the database has numbers for people
	for _, p := range r.record.history.Posts {
		authors[p.Nonce] = p.Author
	}
	logs := make(map[string][]wire.Message)
	for line := range strings.Lines(rows) {
		var row struct {
			Room, Nonce, Text string
			Seq, At           int64
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			r.tb.Fatalf("read a row: %v", err)
		}
		logs[row.Room] = append(logs[row.Room], wire.Message{
			Seq: row.Seq, Author: wire.Person{ID: authors[row.Nonce]}, Nonce: row.Nonce, Text: row.Text, At: wire.Time{Time: time.UnixMilli(row.At)},
		})
	}
	for _, room := range r.rooms {
		r.record.log(check.Log{From: "the database", Room: room, Messages: logs[room]})
	}
}
