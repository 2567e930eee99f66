//go:build linux

package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos/check"
)

// Schedule is everything that is chosen about a run.
type Schedule struct {
	Seed   uint64
	Layer  Layer
	Length time.Duration // of the time in which faults are
	Quiet  time.Duration // when nothing new is said any more: a little before or after
	People People
	Faults []Fault // by their beginnings
	Hasty  bool    // what is wrong is enough when it is found: nothing comes after it
}

// People are the load.
type People struct {
	Rooms   int
	Posters int           // who post one message after another
	Think   time.Duration // of a poster after an answer, twice that at most
	Size    int           // bytes of a text at most, about

	// Patience is how long posters wait for an answer before they take it that none
	// will come and go elsewhere; 0 is 2.5 s.
	Patience time.Duration

	// readers of each node
	Followers  int // who stay there
	Wanderers  int // who change nodes
	Latecomers int
	Sleepers   int // who now and then read nothing for a while
}

func (p People) patience() time.Duration { return cmp.Or(p.Patience, patience) }

// Fault is something that breaks for a while.
type Fault struct {
	Kind Kind
	Node int // the one that it is about, where it is about one
	At   time.Duration
	For  time.Duration
}

// Kind is a class of faults.
type Kind string

// The kinds. Partitions lose packets both ways and are silent; what is one-way
// loses those from the first to the second.
const (
	Kill          Kind = "kill -9 of a node"
	Terminate     Kind = "SIGTERM of a node"
	Freeze        Kind = "SIGSTOP of a node"
	CutDatabase   Kind = "partition node | database"
	DeafDatabase  Kind = "one-way loss node -> database"
	MuteDatabase  Kind = "one-way loss database -> node"
	CutBroker     Kind = "partition node | broker"
	MuteBroker    Kind = "one-way loss broker -> node"
	CutNodes      Kind = "partition node | node"
	CutPeople     Kind = "partition people | node"
	MutePeople    Kind = "one-way loss node -> people"
	LossyDatabase Kind = "10 % loss node | database"
	LossyBroker   Kind = "10 % loss node | broker"
	LossyPeople   Kind = "10 % loss people | node"
	ResetDatabase Kind = "reset connections node | database"
	ResetBroker   Kind = "reset connections node | broker"
	ResetPeople   Kind = "reset connections people | node"
	RestartBroker Kind = "restart of the broker"
	CrashBroker   Kind = "kill -9 of the broker"
	FreezeBroker  Kind = "SIGSTOP of the broker"
	FlushBroker   Kind = "FLUSHALL"
	CrashDatabase Kind = "immediate restart of PostgreSQL"
	StopDatabase  Kind = "fast restart of PostgreSQL"
	EndSessions   Kind = "pg_terminate_backend of all sessions"
)

// lasting is a kind, with how long it lasts at most; no time is for those that are
// over at once.
type lasting struct {
	kind Kind
	most time.Duration
}

// kinds are all kinds.
var kinds = []lasting{
	{Kill, 3 * time.Second}, {Terminate, 3 * time.Second}, {Freeze, 4 * time.Second},
	{CutDatabase, 5 * time.Second}, {DeafDatabase, 4 * time.Second}, {MuteDatabase, 4 * time.Second},
	{CutBroker, 5 * time.Second}, {MuteBroker, 4 * time.Second}, {CutNodes, 4 * time.Second},
	{CutPeople, 4 * time.Second}, {MutePeople, 4 * time.Second},
	{LossyDatabase, 5 * time.Second}, {LossyBroker, 5 * time.Second}, {LossyPeople, 5 * time.Second},
	{ResetDatabase, time.Second}, {ResetBroker, time.Second}, {ResetPeople, time.Second},
	{RestartBroker, 0}, {CrashBroker, 2 * time.Second}, {FreezeBroker, 4 * time.Second}, {FlushBroker, 0},
	{CrashDatabase, 0}, {StopDatabase, 0}, {EndSessions, 0},
}

// Kinds are all kinds of faults.
func Kinds() []Kind {
	var all []Kind
	for _, k := range kinds {
		all = append(all, k.kind)
	}
	return all
}

const (
	mostPosts = check.MaxOperations * 7 / 10 // in a room, on average

	longText = 12 << 10 // bytes: a sleeper sleeps through more than a server keeps

	leastFaults, mostFaults = 3, 10
	quietStart              = 500 * time.Millisecond // before the first fault
)

// FromSeed is a schedule with random people and faults. Seeds in a row have each
// kind of broker and each kind of fault in turn.
func FromSeed(seed uint64, layer Layer) Schedule {
	turn := uint64(len(Layers))
	if layer == "" {
		layer = Layers[seed%turn]
	}
	s := Schedule{Seed: seed, Layer: layer}
	s.choosePeople(rand.New(rand.NewPCG(seed, 1)))
	s.chooseFaults(rand.New(rand.NewPCG(seed, 2)), kinds[seed/turn%uint64(len(kinds))])
	return s
}

func (s *Schedule) choosePeople(random *rand.Rand) {
	s.Length = 10*time.Second + rand64(random, 3*time.Second)
	s.Quiet = s.Length - 2*time.Second + rand64(random, 3*time.Second)
	s.People = People{
		Rooms: 2 + random.IntN(2), Posters: 12, Size: 40 << random.IntN(5),
		Followers: 1, Wanderers: 1, Latecomers: 1,
	}
	if random.IntN(5) == 0 {
		s.People.Size, s.People.Sleepers = longText, 1
	}
	// However fast a machine is, a room has not more operations than check.Linear takes.
	s.People.Think = s.Length * time.Duration(s.People.Posters) / time.Duration(s.People.Rooms*mostPosts)
}

func (s *Schedule) chooseFaults(random *rand.Rand, first lasting) {
	for i := range leastFaults + random.IntN(mostFaults-leastFaults+1) {
		k := kinds[random.IntN(len(kinds))]
		if i == 0 {
			k = first
		}
		f := Fault{Kind: k.kind, Node: random.IntN(nodes)}
		if k.most > 0 {
			f.For = k.most/10 + rand64(random, k.most*9/10)
		}
		f.At = quietStart + rand64(random, s.Length-quietStart-f.For)
		s.Faults = append(s.Faults, f)
	}
	slices.SortFunc(s.Faults, func(a, b Fault) int { return cmp.Compare(a.At, b.At) })
}

// rand64 is a random time below a limit, in milliseconds.
func rand64(random *rand.Rand, limit time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(limit/time.Millisecond))) * time.Millisecond
}

func (s Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s, %v, quiet at %v, %+v", s.Seed, s.Layer, s.Length, s.Quiet, s.People)
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "\n  %v", f)
	}
	return b.String()
}

func (f Fault) String() string {
	return fmt.Sprintf("%v at %v for %v, node %d", f.Kind, f.At, f.For, f.Node)
}
