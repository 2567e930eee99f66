package nats

import (
	"encoding/binary"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// TestANumberIsBelievedOnlyWhileMessagesOfItCome has a sender of connection 7,
// and numbers that come besides: anybody can send them.
func TestANumberIsBelievedOnlyWhileMessagesOfItCome(t *testing.T) {
	const theirs = 7
	type step struct {
		after      time.Duration
		connection uint32
		late       bool
	}
	for name, steps := range map[string][]step{
		"a connection that is over":         {{0, theirs, false}, {0, theirs + 1, false}, {believed, theirs, true}, {0, theirs + 1, false}, {0, theirs, true}},
		"of a sender that was unknown":      {{0, theirs, false}, {0, theirs - 1, true}},
		"one that cannot be":                {{0, theirs, false}, {0, math.MaxUint32, false}, {0, theirs, false}, {believed, math.MaxUint32, false}, {0, theirs, false}},
		"one that could be, forged":         {{0, theirs, false}, {0, theirs + maxMissed, false}, {believed, theirs, true}, {1, theirs, false}, {0, theirs, false}},
		"one that cannot be, before theirs": {{0, math.MaxUint32, false}, {believed, theirs, true}, {1, theirs, false}},
		"many connections, unheard":         {{0, theirs, false}, {believed + 1, theirs + maxMissed + 1, false}, {0, theirs, true}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &Broker{heard: map[processID]heard{}}
				for i, s := range steps {
					time.Sleep(s.after)
					if got := b.late(message{sender: processID{1}, connection: s.connection}); got != s.late {
						t.Errorf("step %d, of connection %d: late is %v", i, s.connection, got)
					}
				}
			})
		})
	}
}

func TestSendersThatAreRememberedAreBounded(t *testing.T) {
	b := &Broker{heard: map[processID]heard{}}
	for i := range uint32(maxSenders + 100) {
		m := message{connection: 1}
		binary.BigEndian.PutUint32(m.sender[:], i)
		if b.late(m); len(b.heard) > maxSenders {
			t.Fatalf("%d are remembered", len(b.heard))
		}
	}
}
