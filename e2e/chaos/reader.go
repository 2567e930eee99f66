//go:build linux

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/wire"
)

// readEvery is how long a reader waits between two reads, on average.
const readEvery = 120 * time.Millisecond

// reader asks one node for the newest message of rooms. It belongs to its
// goroutine.
type reader struct {
	opening *Opening
	record  *record
	node    *node
	rooms   []string
	quit    <-chan struct{}
	random  *rand.Rand
}

func (r *reader) run() {
	for {
		select {
		case <-r.quit:
			return
		case <-time.After(time.Duration(r.random.Int64N(int64(2 * readEvery)))):
		}
		x := check.Read{Room: r.rooms[r.random.IntN(len(r.rooms))], Node: r.node.name, Asked: r.record.now()}
		newest, err := r.opening.newest(r.node, x.Room)
		if err != nil {
			continue // a read without an answer says nothing
		}
		x.Told = r.record.now()
		if newest != nil {
			x.Last, x.Author, x.Nonce = newest.Seq, newest.Author.ID, newest.Nonce
		}
		r.record.read(x)
	}
}

// newest is the newest message of a room by a node, nil for none.
func (o *Opening) newest(n *node, room string) (*wire.Message, error) {
	at := fmt.Sprintf("http://%s/api/rooms/%s/messages?limit=1", n.address, url.PathEscape(room))
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	res, err := o.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", res.StatusCode)
	}
	var page struct{ Messages []wire.Message }
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil || len(page.Messages) == 0 {
		return nil, err
	}
	return &page.Messages[len(page.Messages)-1], nil
}

// logs reads all rooms from all nodes, which must answer in time.
func (o *Opening) logs(r *record, rooms []string, when string) {
	for _, n := range o.node {
		for _, room := range rooms {
			all, err := o.history(n, room)
			if err != nil {
				r.violate(check.Unhealed, "%s cannot read %s %s: %v", n.name, room, when, err)
				continue
			}
			r.log(check.Log{From: n.name + " " + when, Room: room, Messages: all})
		}
	}
}

// history reads a room until a node gives all of it.
func (o *Opening) history(n *node, room string) (all []wire.Message, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), healWithin)
	defer cancel()
	for {
		if all, err = guest.HistoryBy(ctx, o.http, n.address, room, 0); err == nil {
			return all, nil
		}
		select {
		case <-ctx.Done():
			return all, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
