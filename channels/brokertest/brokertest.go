package brokertest

import (
	"cmp"
	"io"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/channels"
)

// Setup is one instance of whatever joins processes, such as a server that is
// empty, with the limits that its brokers have by design.
type Setup struct {
	// New returns the broker of one more process; all of a Setup reach each
	// other. The suite starts it and, if it is an io.Closer, closes it. Called by
	// the test's goroutine.
	New func(testing.TB) channels.Broker

	// Cut breaks the connections of all brokers once; they come back by
	// themselves. Tests about that are skipped if it is nil.
	Cut func(testing.TB)

	// Unbounded says that channels have no capacity: Publish is never
	// ErrChannelFull.
	Unbounded bool

	// Copies says that every process that receives from a channel of no process
	// gets every event, in place of one of them.
	Copies bool

	// Fleeting says that what is sent to a channel of no process is lost while no
	// process has begun to receive from it.
	Fleeting bool

	// Early says that Publish does not wait for whatever joins the processes: what
	// was published just before a Follow of another process may come, too.
	Early bool

	// Patience bounds waits for what happens soon unless there is a bug [20 s].
	Patience time.Duration

	// NoBytes says that payloads cannot hold []byte, as those in JSON.
	NoBytes bool
}

const patience = 20 * time.Second

func (s *suite) patience() time.Duration { return cmp.Or(s.setup.Patience, patience) }

// Run runs the suite; setup is called once for each of its tests.
func Run(t *testing.T, setup func(testing.TB) Setup) {
	for _, tt := range []struct {
		name string
		test func(*suite)
	}{
		{"a follower gets what others publish and not what it publishes", followersGetWhatOthersPublish},
		{"an unfollowed group is silent", unfollowedGroupsAreSilent},
		{"following is over and again in order through a storm", followingThroughAStorm},
		{"many groups at once", manyGroups},
		{"any text is a name", anyTextIsAName},
		{"the order of each sender holds while many send", theOrderOfEachSenderHolds},
		{"payloads arrive as they were sent", payloadsArriveAsTheyWereSent},
		{"an impossible payload is an error and nothing else", impossiblePayloads},
		{"a large event arrives and a larger one is refused", largeEvents},
		{"the seq and the type arrive", seqAndTypeArrive},
		{"a channel of a process reaches it alone", channelsOfProcesses},
		{"a group nobody follows is no error", nobodyFollows},
		{"a call whose context ended does not wait", endedContexts},
		{"who is slow loses nothing in silence", slowDeliver},
		{"who is slow does not slow others down", slowDeliverOfAnother},
		{"a full channel is told to the sender", fullChannels},
		{"a broken connection heals and is told", brokenConnections},
		{"following survives a connection that breaks while it changes", followingThroughCuts},
		{"nothing is delivered after Close", closing},
		{"queues: the oldest first, once, to whoever receives", queues},
		{"queues: a receiver that gives up loses nothing", queuesAndGivingUp},
		{"queues: capacity", queueCapacity},
		{"members: channels of others and of nobody", enrolledMembers},
		{"members: an event comes once to a follower that is a member too", enrolledFollowers},
		{"pipelined: events that are begun together keep their order", pipelined},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.test(&suite{T: t, setup: setup(t)})
		})
	}
}

// suite is one test of Run.
type suite struct {
	*testing.T
	setup Setup
}

// node is a process of the test: it starts a broker, and checks at the test's
// end what holds always.
func (s *suite) node() *node { return s.nodeWith(limits{capacity: 100}) }

func (s *suite) nodeWith(l limits) *node {
	s.Helper()
	n := start(s.setup.New(s.T), l, nil)
	s.Cleanup(func() {
		n.free()
		n.close(s.T)
		for _, wrong := range n.violations() {
			s.Error(wrong)
		}
	})
	return n
}

// close ends the broker, if it can be ended.
func (n *node) close(tb testing.TB) {
	tb.Helper()
	c, ok := n.broker.(io.Closer)
	if !ok || n.closed {
		return
	}
	n.closed = true
	if err := c.Close(); err != nil {
		tb.Errorf("Close: %v", err)
	}
}

// must fails the test at an error.
func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}
