package nats

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
	"github.com/teahouse-chat/teahouse/channels/internal/inbox"
)

// Broker is a channels.Broker and a channels.Queuer on core NATS.
//
// A group is one subject, and an event to it one message, which the servers
// bring once to each process that follows it, but for the sender. The channels
// of a process share one subject. An event that goes to a group and to channels,
// both in one Delivery, comes twice to who is among both.
//
// Channels of no process are a queue group: work goes to one of the processes
// that receive, chosen by the server, and waits there to be taken. A process
// that receives itself does its own work. What is sent while nobody receives is
// lost, as is what waits in a process that ends: work that must be done belongs
// into a database or a stream. A process listens from its first Receive to
// its last, and for the layer's expiry after it.
type Broker struct {
	// fixed
	options Options
	host    string // for logs and states: the servers without credentials
	inbox   *inbox.Inbox[arrival]
	wake    chan struct{} // holds 1: what is wanted has changed
	tried   chan struct{} // closed by run when it listens, or could not connect, for the first time
	sending outbox

	// fixed by Start
	node channels.Node
	id   processID

	ctx     context.Context // of all goroutines, ends with Close
	end     context.CancelFunc
	running sync.WaitGroup

	// guarded by mu
	mu      sync.Mutex
	want    map[string]*listener // by subject
	changed map[string]bool      // subjects whose listener came or went, and whether they are subscribed to
	waiting []chan struct{}      // closed when the changes so far are made, or cannot be made now
	missed  map[string]bool      // groups that may have lost events, to be told when all is well again
	down    bool                 // the last attempt to connect failed
	closed  bool
	state   State
	told    bool // that there is no connection is in the log

	// owned by run
	discovered []string // other servers of the cluster, as the last one told

	// owned by deliver
	heard map[processID]heard // by sender
}

// State is what a broker knows of its connection.
type State struct {
	Host      string // the servers without credentials
	Connected bool   // events arrive
	Err       error  // why not, unless it is connected or was not tried yet
}

var errClosed = errors.New("nats: the broker is closed")

// New returns a broker. It connects to nothing before Start, so its errors are
// about o, and the files that it names, alone.
func New(o Options) (*Broker, error) {
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	b := &Broker{
		options: o, host: hostsOf(o.Servers),
		inbox:   inbox.New[arrival](),
		wake:    make(chan struct{}, 1),
		tried:   make(chan struct{}),
		want:    make(map[string]*listener),
		changed: make(map[string]bool),
		missed:  make(map[string]bool),
		heard:   make(map[processID]heard),
	}
	b.state.Host = b.host
	b.sending.all = o.Prefix + subjectAll
	b.ctx, b.end = context.WithCancel(context.Background())
	if _, err := b.login(); err != nil {
		return nil, err
	}
	return b, nil
}

// Start begins to listen, and to connect until that succeeds.
func (b *Broker) Start(n channels.Node) {
	b.node = n
	_, _ = hex.Decode(b.id[:], []byte(n.Process)) // 32 digits
	b.sending.id = b.id
	b.running.Go(func() { b.run(b.ctx) })
	b.running.Go(func() { b.deliver(b.ctx) })
}

// Follow subscribes to groups. It waits until that is so, or until no server
// turns out to be reachable: then they are subscribed to later, and told as a gap.
func (b *Broker) Follow(ctx context.Context, groups []string) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return errClosed
	}
	for _, g := range groups {
		b.listen(b.options.Prefix + subjectGroup + token(g)).group = g
		if b.down {
			b.missed[g] = true
		}
	}
	done := b.change()
	b.mu.Unlock()
	if err := settled(ctx, done); err != nil {
		b.unfollow(groups)
		return fmt.Errorf("nats: subscribe: %w", err)
	}
	return nil
}

// Unfollow ends the delivery at once. It waits until the server has
// unsubscribed, so that nothing that is published afterwards comes if a group is
// followed again.
func (b *Broker) Unfollow(ctx context.Context, groups []string) error {
	if err := settled(ctx, b.unfollow(groups)); err != nil {
		return fmt.Errorf("nats: unsubscribe: %w", err)
	}
	return nil
}

// unfollow gives what is closed when that is done.
func (b *Broker) unfollow(groups []string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, g := range groups {
		delete(b.missed, g)
		b.unlisten(b.options.Prefix + subjectGroup + token(g))
	}
	return b.change()
}

// Publish sends an event. Without a connection that is an error at once; the
// groups are told of a gap when there is one again. Its error may be about one
// destination of several. A server that reads nothing can hold it for 3 s.
func (b *Broker) Publish(ctx context.Context, d channels.Delivery) error {
	to, err := b.sort(d.Channels)
	if err != nil {
		return err
	}
	bare, err := encode(d.Event, nil)
	if err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	select {
	case <-b.tried:
	case <-ctx.Done():
		return fmt.Errorf("nats: publish: %w", ctx.Err())
	}
	if d.Group != "" {
		err = b.send(b.options.Prefix+subjectGroup+token(d.Group), bare)
	}
	for _, channel := range to.work {
		err = errors.Join(err, b.sendWork(channel, bare))
	}
	for process, names := range to.processes {
		body, wrong := encode(d.Event, names)
		if wrong == nil {
			wrong = b.send(b.options.Prefix+subjectProcess+process, body)
		}
		err = errors.Join(err, wrong)
	}
	if err != nil {
		return fmt.Errorf("nats: publish: %w", err)
	}
	return nil
}

// destinations are channels by who has them.
type destinations struct {
	work      []string            // of no process
	processes map[string][]string // without this one, whose layer has done that
}

func (b *Broker) sort(names []string) (destinations, error) {
	var to destinations
	for _, name := range names {
		process, err := processOf(name)
		switch {
		case err != nil:
			return to, err
		case process == "":
			to.work = append(to.work, name)
		case process != b.node.Process:
			if to.processes == nil {
				to.processes = make(map[string][]string, 1)
			}
			to.processes[process] = append(to.processes[process], name)
		}
	}
	return to, nil
}

// send publishes, and says why not if there is no connection.
func (b *Broker) send(subject string, m []byte) error {
	err := b.sending.publish(subject, m)
	if errors.Is(err, errNoConnection) {
		if why := b.States()[0].Err; why != nil {
			return why
		}
	}
	return err
}

// sendWork gives work to a receiver of this process, or else to another's.
func (b *Broker) sendWork(channel string, m []byte) error {
	subject := b.options.Prefix + subjectQueue + token(channel)
	b.mu.Lock()
	l := b.want[subject]
	b.mu.Unlock()
	if l != nil {
		e, _, err := decode(m[headSize:]) // what others would get
		if err != nil {
			return err
		}
		if l.box.put(e) {
			return nil
		}
	}
	return b.send(subject, m)
}

// Receive takes the oldest event of a channel of no process that came to this
// process, and waits for one.
func (b *Broker) Receive(ctx context.Context, channel string) (channels.Event, error) {
	subject := b.options.Prefix + subjectQueue + token(channel)
	q, err := b.enter(subject, channel)
	if err != nil {
		return channels.Event{}, err
	}
	defer b.leave(q)
	for {
		select {
		case e := <-q.events:
			if time.Since(e.at) < b.node.Expiry {
				return e.event, nil
			}
			b.node.Dropped("expired", 1)
		case <-ctx.Done():
			return channels.Event{}, ctx.Err()
		case <-b.ctx.Done():
			return channels.Event{}, errClosed
		}
	}
}

// States is the state of the one connection.
func (b *Broker) States() []State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return []State{b.state}
}

// Close ends the connection and waits until nothing is delivered any more. What
// was published is on its way to the server before, unless that is silent.
// Publish, Follow and Receive fail from then on. Close the layer first.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	for _, l := range b.want {
		if l.box != nil {
			l.box.idle.Stop()
		}
	}
	b.mu.Unlock()
	b.sending.close()
	b.end()
	b.running.Wait()
	return nil
}
