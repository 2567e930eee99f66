package guest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/teahouse-chat/teahouse/wire"
)

// Acked is a post that was acknowledged.
type Acked struct {
	Room, Nonce, Text string
	Seq               int64
	Floor             int64 // newest seq known of the room when it was first sent: Seq must be above
}

// Story is what a member saw and did.
type Story struct {
	ID       string           // of the person
	Acked    []Acked          // in the order of their acknowledgement
	Chains   map[string]Chain // by room: what was received
	Faults   []string         // promises that were broken
	Sessions int              // sockets that got as far as the welcome
	Resets   int              // times it was told that it had missed too much
	Retries  []string         // reasons of close frames 1012, each with a retry_ms
	Errors   map[string]int   // error frames by code
}

// Chain is a rolling hash over a room's messages: equal at the same Seq means
// the same messages in the same order, none lost and none twice.
type Chain struct {
	Seq int64
	Sum [sha256.Size]byte
}

// Add folds in the next message.
func (c *Chain) Add(m wire.Message) error {
	if m.Seq != c.Seq+1 {
		return fmt.Errorf("message %d came after %d", m.Seq, c.Seq)
	}
	h := sha256.New()
	h.Write(c.Sum[:])
	_ = binary.Write(h, binary.BigEndian, m.Seq) // a hash takes everything
	for _, s := range []string{m.Author.ID, m.Nonce, m.Text, m.At.UTC().Format(wire.TimeFormat)} {
		fmt.Fprintf(h, "%d %s", len(s), s)
	}
	c.Seq, c.Sum = m.Seq, [sha256.Size]byte(h.Sum(nil))
	return nil
}
