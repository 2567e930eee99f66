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
	unsure     map[string]bool
	unsureAll  bool
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
		o.doubt(subject)
		return errNoConnection
	}
	if most := o.conn.MaxPayload(); int64(len(m)) > most {
		return fmt.Errorf("%w: %d bytes are more than the server takes: its max_payload is %d", channels.ErrTooLarge, len(m), most)
	}
	o.doubt(subject)
	message{kind: kindEvent, sender: o.id, connection: o.connection}.appendHead(m[:0])
	if err := o.conn.Publish(subject, m); err != nil {
		return fmt.Errorf("write to the server: %w", err)
	}
	return nil
}

// doubt remembers that a message of a subject may be lost. The caller holds mu.
func (o *outbox) doubt(subject string) {
	switch {
	case o.unsureAll || o.unsure[subject]:
	case len(o.unsure) >= maxUnsure:
		o.unsureAll, o.unsure = true, nil
	default:
		if o.unsure == nil {
			o.unsure = make(map[string]bool)
		}
		o.unsure[subject] = true
	}
}

// open lets messages go by a connection, behind the gaps of what the ones before
// may have lost.
func (o *outbox) open(nc *nats.Conn) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.conn = nc
	o.connection++
	subjects := slices.Sorted(maps.Keys(o.unsure))
	if o.unsureAll {
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

// doubts are what is unsure so far; they are to be given back to settle, or to
// renew.
type doubts struct {
	subjects map[string]bool
	all      bool
}

func (d doubts) none() bool { return len(d.subjects) == 0 && !d.all }

// take begins anew.
func (o *outbox) take() doubts {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := doubts{o.unsure, o.unsureAll}
	o.unsure, o.unsureAll = nil, false
	return d
}

// renew takes back what take gave, when no answer came.
func (o *outbox) renew(d doubts) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unsureAll = o.unsureAll || d.all
	for s := range d.subjects {
		o.doubt(s)
	}
}
