package redis

import (
	"context"

	redigo "github.com/gomodule/redigo/redis"
)

// stream is what one connection of a feed brings.
type stream struct {
	// fixed
	feed      *feed
	link      *link
	confirmed chan struct{} // one for each subscription that began or ended
	gone      chan struct{} // closed with err

	// owned by read
	ours string // Redis channel of the next message, if that is our own
	err  error  // why nothing comes any more
}

func newStream(f *feed, l *link) *stream {
	return &stream{feed: f, link: l, confirmed: make(chan struct{}, subscribeBatch), gone: make(chan struct{})}
}

// read takes what comes, until the link is lost or closed.
func (s *stream) read() {
	defer close(s.gone)
	from := redigo.PubSubConn{Conn: s.link.conn}
	for {
		switch m := from.Receive().(type) {
		case redigo.Message:
			s.message(m)
		case redigo.Subscription:
			s.subscription()
		case redigo.Error:
			s.err = m // of a command that is not allowed
			return
		case error:
			s.err = lost(m)
			return
		}
	}
}

// change begins or ends at most subscribeBatch subscriptions, and waits until
// that is so.
func (s *stream) change(ctx context.Context, verb string, topics ...string) error {
	if err := s.link.send(append(command{verb}, topics...)); err != nil {
		return err
	}
	for range topics {
		select {
		case <-s.confirmed:
		case <-s.gone:
			return s.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// message takes what has been read; it must not wait.
func (s *stream) message(m redigo.Message) {
	ours := s.ours
	s.ours = ""
	switch f := s.feed; {
	case m.Pattern != "" && m.Channel == f.broker.own:
		s.ours = string(m.Data)
	case m.Pattern == "" && m.Channel == ours:
	case f.broker.feed(m.Channel) != f: // two hosts are databases of one server, which hears all
	default:
		if !f.inbox.Put(arrival{topic: m.Channel, body: m.Data, direct: m.Pattern != ""}) {
			f.overflow(m)
		}
	}
}

// subscription keeps a later message from being taken for our own: those of a
// transaction have nothing between them.
func (s *stream) subscription() {
	s.ours = ""
	select {
	case s.confirmed <- struct{}{}:
	default: // nobody asked
	}
}

// overflow drops a message for which there is no room.
func (f *feed) overflow(m redigo.Message) {
	f.broker.node.Dropped("full", 1)
	if m.Pattern == "" {
		f.inbox.Gap(f.groups(m.Channel)...)
	}
}
