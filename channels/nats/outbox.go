package nats

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/teahouse-chat/teahouse/channels"
)

// maxUnsure bounds the subjects whose messages may be lost that are remembered
// one by one; beyond it they are all of them.
const maxUnsure = 4096

var errNoConnection = errors.New("no connection")

// outbox is how messages leave. NATS does not answer for each, so it remembers
// the subjects of those that no answer stands behind yet: if the connection is
// lost, or there is none, a gap is sent to them by the next.
type outbox struct {
	// fixed
	id  processID
	all string // the subject of gaps of all groups

	// guarded by mu, which is held while a message is written: so whatever is
	// unsure is also known to be
	mu         sync.Mutex
	conn       *nats.Conn // nil while there is none
	connection uint32     // its number
	unsure     doubts
	asked      doubts // those of before, which will be sure when the server answers
	closed     bool
}

// publish sends a message, which has room for its head.
func (o *outbox) publish(subject string, m []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return errClosed
	}
	if o.conn == nil {
		o.unsure.add(subject)
		return errNoConnection
	}
	if most := o.conn.MaxPayload(); int64(len(m)) > most {
		return fmt.Errorf("%w: %d bytes are more than the server takes: its max_payload is %d", channels.ErrTooLarge, len(m), most)
	}
	o.unsure.add(subject)
	message{kind: kindEvent, sender: o.id, connection: o.connection}.appendHead(m[:0])
	if err := o.conn.Publish(subject, m); err != nil {
		return fmt.Errorf("write to the server: %w", err)
	}
	return nil
}

// open lets messages go by a connection, behind the gaps of what the ones before
// may have lost.
func (o *outbox) open(nc *nats.Conn) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn = nc
	o.connection++
	for s := range o.asked.subjects {
		o.unsure.add(s)
	}
	o.unsure.all = o.unsure.all || o.asked.all
	o.asked = doubts{}
	subjects := slices.Sorted(maps.Keys(o.unsure.subjects))
	if o.unsure.all {
		subjects = []string{o.all}
	}
	gap := message{kind: kindGap, sender: o.id, connection: o.connection}.appendHead(nil)
	for _, s := range subjects {
		if err := nc.Publish(s, gap); err != nil {
			return fmt.Errorf("write to the server: %w", err)
		}
	}
	return nil
}

// shut lets nothing go.
func (o *outbox) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn = nil
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// ask begins to make sure of what was sent so far: answered is to follow when the
// server has answered to something sent later. It tells whether there is anything.
func (o *outbox) ask() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked, o.unsure = o.unsure, doubts{}
	return !o.asked.none()
}

func (o *outbox) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = doubts{}
}

// doubts are subjects whose messages may be lost.
type doubts struct {
	subjects map[string]bool
	all      bool
}

func (d *doubts) add(subject string) {
	switch {
	case d.all || d.subjects[subject]:
	case len(d.subjects) >= maxUnsure:
		d.all, d.subjects = true, nil
	default:
		if d.subjects == nil {
			d.subjects = make(map[string]bool)
		}
		d.subjects[subject] = true
	}
}

func (d *doubts) none() bool { return len(d.subjects) == 0 && !d.all }
