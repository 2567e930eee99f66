package nats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/teahouse-chat/teahouse/channels"
)

// settleEvery is how often messages that were sent are made sure of.
const settleEvery = time.Second

// listener is who wants what comes on a subject: a group, or those that receive
// from a channel of no process.
type listener struct {
	group string
	box   *box
}

// arrival is a message that has come.
type arrival struct {
	subject string
	data    []byte
}

// Weight is its size in the inbox.
func (a arrival) Weight() int { return len(a.subject) + len(a.data) }

// change has run make the changes so far. The result is closed when that is
// done; it is nil when that cannot be now. The caller holds mu.
func (b *Broker) change() <-chan struct{} {
	b.poke()
	if b.down {
		return nil
	}
	done := make(chan struct{})
	b.waiting = append(b.waiting, done)
	return done
}

// settled waits for done, if there is something to wait for.
func settled(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen is the listener of a subject. The caller holds mu, and pokes.
func (b *Broker) listen(subject string) *listener {
	l := b.want[subject]
	if l == nil {
		l = &listener{}
		b.want[subject] = l
		if _, before := b.changed[subject]; !before {
			b.changed[subject] = false
		}
	}
	return l
}

// unlisten forgets a listener, and all about it if it never was subscribed to:
// clients choose names, and the servers may be away for long. The caller holds
// mu, and pokes.
func (b *Broker) unlisten(subject string) {
	delete(b.want, subject)
	if subscribed, before := b.changed[subject]; before && !subscribed {
		delete(b.changed, subject)
		return
	}
	b.changed[subject] = true
}

func (b *Broker) poke() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run connects, as often as it takes, until ctx ends.
func (b *Broker) run(ctx context.Context) {
	failures := 0
	first := sync.OnceFunc(func() { close(b.tried) })
	defer first()
	for ctx.Err() == nil {
		worked, err := b.session(ctx, first)
		b.lose(err)
		first()
		if failures++; worked {
			failures = 1
		}
		if ctx.Err() == nil {
			pause(ctx, failures)
		}
	}
}

// session is one connection. It calls listening when it does; worked tells
// whether it came to that and was of use.
func (b *Broker) session(ctx context.Context, listening func()) (worked bool, err error) {
	l, err := b.connect(ctx)
	if err != nil {
		return false, err
	}
	s := session{broker: b, link: l, have: make(map[string]*nats.Subscription)}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() { s.read(stop) })
	defer func() {
		b.sending.shut()
		l.conn.Close()
		<-l.gone // nothing is read any more, which the next connection would bring again
		close(stop)
		reading.Wait()
	}()
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	listening()
	err = s.serve(ctx)
	return !errors.Is(err, errUseless), err
}

// session keeps the subscriptions of a connection equal to what is wanted. It is
// owned by run.
type session struct {
	broker *Broker
	*link
	have map[string]*nats.Subscription
}

var (
	errCut     = errors.New("nats: the connection was lost")
	errUseless = errors.New("nats: the connection is of no use")
)

// begin listens to all that is wanted, and lets messages go.
func (s *session) begin(ctx context.Context) error {
	b := s.broker
	for _, subject := range []string{b.options.Prefix + subjectProcess + b.node.Process, b.options.Prefix + subjectAll} {
		if _, err := s.conn.ChanSubscribe(subject, s.arrivals); err != nil {
			return fmt.Errorf("nats: subscribe: %w", err)
		}
	}
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	if err := b.sending.open(s.conn); err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	b.restore()
	return nil
}

// serve goes on until the connection ends, and says why.
func (s *session) serve(ctx context.Context) error {
	settle := time.NewTicker(settleEvery)
	defer settle.Stop()
	for {
		var err error
		select {
		case <-s.broker.wake:
			err = s.subscribe(ctx)
		case <-settle.C:
			err = s.settle(ctx)
		case err := <-s.failed:
			return fmt.Errorf("%w: %w", errUseless, err)
		case <-s.gone:
			return s.why()
		case <-ctx.Done():
			return errClosed
		}
		if err != nil {
			return err
		}
	}
}

// why is the reason for the end of the connection.
func (s *session) why() error {
	if err := s.conn.LastError(); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return errCut
}

// flush waits until the server has done all that it was told so far.
func (s *session) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	if err := s.conn.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("nats: the server does not answer: %w", err)
	}
	select {
	case err := <-s.failed: // which came before the answer
		return fmt.Errorf("%w: %w", errUseless, err)
	default:
		return nil
	}
}

// settle makes sure of what was sent so far.
func (s *session) settle(ctx context.Context) error {
	if !s.broker.sending.ask() {
		return nil
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	s.broker.sending.answered()
	return nil
}

// subscribe makes the changes that were asked for, and waits until the server
// has made them.
func (s *session) subscribe(ctx context.Context) error {
	b := s.broker
	b.mu.Lock()
	waiting := b.waiting
	var begin, end []string
	for subject := range b.changed {
		_, wanted := b.want[subject]
		switch {
		case wanted && s.have[subject] == nil:
			begin = append(begin, subject)
		case !wanted && s.have[subject] != nil:
			end = append(end, subject)
		}
	}
	b.changed, b.waiting = make(map[string]bool), nil
	b.mu.Unlock()
	defer func() {
		for _, done := range waiting {
			close(done)
		}
	}()
	for _, subject := range begin {
		var err error
		if strings.HasPrefix(subject, b.options.Prefix+subjectQueue) {
			s.have[subject], err = s.conn.ChanQueueSubscribe(subject, "receivers", s.arrivals)
		} else {
			s.have[subject], err = s.conn.ChanSubscribe(subject, s.arrivals)
		}
		if err != nil {
			return fmt.Errorf("nats: subscribe: %w", err)
		}
	}
	for _, subject := range end {
		if err := s.have[subject].Unsubscribe(); err != nil {
			return fmt.Errorf("nats: unsubscribe: %w", err)
		}
		delete(s.have, subject)
	}
	return s.flush(ctx)
}

// read takes what arrives, and never waits for who it is for.
func (s *session) read(stop <-chan struct{}) {
	for {
		select {
		case m := <-s.arrivals:
			s.broker.take(arrival{m.Subject, m.Data})
		case <-stop:
			return
		}
	}
}

// take puts a message into the inbox, or drops it.
func (b *Broker) take(a arrival) {
	if b.inbox.Put(a) {
		return
	}
	b.node.Dropped("full", 1)
	b.gap(a.subject)
}

// gap has it told that messages of a subject may be lost.
func (b *Broker) gap(subject string) {
	b.mu.Lock()
	l := b.want[subject]
	b.mu.Unlock()
	switch {
	case subject == b.sending.all:
		b.inbox.GapAll()
	case l != nil && l.box == nil:
		b.inbox.Gap(l.group)
	}
}

// restore notes that all that is wanted is subscribed to.
func (b *Broker) restore() {
	b.mu.Lock()
	b.down = false
	b.state = State{Host: b.host, Connected: true}
	missed := slices.Sorted(maps.Keys(b.missed))
	clear(b.missed)
	tell := b.told
	b.told = false
	b.mu.Unlock()
	if len(missed) > 0 {
		b.inbox.Gap(missed...)
	}
	if tell {
		b.node.Logger.Info("nats: connected again", "host", b.host)
	}
}

// lose notes that nothing is subscribed to, and why.
func (b *Broker) lose(err error) {
	b.mu.Lock()
	b.down = true
	b.state = State{Host: b.host, Err: err}
	clear(b.changed)
	for subject, l := range b.want {
		b.changed[subject] = false
		if l.box == nil {
			b.missed[l.group] = true
		}
	}
	for _, done := range b.waiting {
		close(done)
	}
	b.waiting = nil
	tell := !b.told && !b.closed
	b.told = true
	b.mu.Unlock()
	if tell {
		b.node.Logger.Warn("nats: no connection, trying again", "host", b.host, "err", err)
	}
}

// deliver hands over what has arrived, in order, until ctx ends.
func (b *Broker) deliver(ctx context.Context) {
	for ctx.Err() == nil {
		batch := b.inbox.Take(ctx)
		for _, a := range batch.Arrived {
			if ctx.Err() != nil {
				return
			}
			b.hand(ctx, a)
			b.inbox.Release(a)
		}
		if batch.GapAll && ctx.Err() == nil {
			b.node.Gap()
		}
		if len(batch.Gaps) > 0 && ctx.Err() == nil {
			b.node.Gap(batch.Gaps...)
		}
	}
}

// hand decodes a message and gives it to whom it is for.
func (b *Broker) hand(ctx context.Context, a arrival) {
	m, err := parseMessage(a.data)
	if err != nil {
		b.malformed(a, err)
		return
	}
	switch {
	case m.sender == b.id: // of a connection before
		return
	case b.late(m):
		b.node.Dropped("late", 1)
		b.gap(a.subject)
		return
	case m.kind == kindGap:
		b.gap(a.subject)
		return
	}
	e, to, err := decode(m.body)
	if err != nil {
		b.malformed(a, err)
		return
	}
	if a.subject == b.options.Prefix+subjectProcess+b.node.Process {
		if to = onlyOf(b.node.Process, to); len(to) == 0 {
			b.malformed(a, errors.New("it is for no channel of this process"))
			return
		}
		_ = b.node.Deliver(ctx, channels.Delivery{Channels: to, Event: e}) // counted by the layer
		return
	}
	b.mu.Lock()
	l := b.want[a.subject]
	b.mu.Unlock()
	switch {
	case l == nil: // unsubscribed meanwhile
	case l.box == nil:
		_ = b.node.Deliver(ctx, channels.Delivery{Group: l.group, Event: e}) // counted by the layer
	case !l.box.put(e):
		b.node.Dropped("full", 1)
	}
}

func (b *Broker) malformed(a arrival, err error) {
	b.node.Dropped("malformed", 1)
	b.node.Logger.Debug("nats: ignored a message", "subject", a.subject, "err", err)
}

// Anybody who may publish can say that it is another sender, of any connection.
// So a number is believed only while messages of it come.
const (
	maxSenders = 1 << 14          // that are remembered
	maxMissed  = 16               // connections that a sender can have had in between, unheard
	believed   = 15 * time.Second // after which a connection that nothing came from is forgotten
)

// heard is what a broker knows of a sender.
type heard struct {
	connection uint32 // the newest
	at         time.Time
}

// late says that a message was sent before one that has come, by a connection of
// its sender that is over.
func (b *Broker) late(m message) bool {
	now := time.Now()
	newest, known := b.heard[m.sender]
	if known && now.Sub(newest.at) <= believed {
		switch {
		case m.connection < newest.connection:
			return true
		case m.connection > newest.connection && m.connection-newest.connection > maxMissed:
			return false // and no message of the connection before is late for that
		}
	}
	if !known && len(b.heard) >= maxSenders {
		clear(b.heard) // of processes that are long gone, nearly all
	}
	b.heard[m.sender] = heard{m.connection, now}
	return false
}
