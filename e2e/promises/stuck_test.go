package promises_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/teahouse-chat/teahouse/e2e/guest"
	"github.com/teahouse-chat/teahouse/e2e/server"
	"github.com/teahouse-chat/teahouse/wire"
)

// TestManyStuckReadersCostNoMoreThanTheirBacklogsMay: ten people join and never
// read again, while one speaks. What waits for the ten stays within --backlog,
// though none of them reaches the bound of its own; they are cut for it, and the
// speaker misses nothing.
func TestManyStuckReadersCostNoMoreThanTheirBacklogsMay(t *testing.T) {
	const (
		room    = "torrent"
		stuck   = 10
		backlog = 2 << 20
		closing = stuck * 16 << 10 // frames begun, and close frames, of those just cut
		most    = 450              // messages of 24 KB; a resume takes 500
	)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := l.Addr().String()
	_ = l.Close()
	s := server.Start(t, "--limits", "off", "--backlog", "2MiB", "--admin", admin)
	for range stuck {
		enter(t, s, room, "")
	}
	speaker := enter(t, s, room, "")
	said, waited := 0, 0
	for shed := 0; shed < stuck-2; said++ {
		if said == most {
			t.Fatalf("%d messages later only %d are cut", said, shed)
		}
		post := wire.Post{Room: room, Nonce: fmt.Sprint(said), Text: fmt.Sprint(said, strings.Repeat("茶", 7990))}
		if seq, _, err := speaker.Post(post); err != nil || seq != int64(said+1) {
			t.Fatalf("message %d: seq %d, %v", said, seq, err)
		}
		shed = metric(t, admin, "teahouse_shed_total")
		waits := metric(t, admin, "teahouse_backlog_bytes")
		if waited = max(waited, waits); waits > backlog+closing {
			t.Fatalf("%d bytes wait after %d messages, %d people are cut", waits, said+1, shed)
		}
	}
	t.Logf("after %d messages %d people are cut; at most %d bytes waited", said, stuck-2, waited)
	from := int64(0)
	back, err := guest.Enter(s.Address, wire.Hello{})
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	joined, all, err := back.Join(wire.Join{Room: room, After: &from, Epoch: back.Welcome.Epoch})
	if err != nil || joined.Reset || len(all) != said {
		t.Errorf("who comes back gets %d of %d messages, reset %v, %v", len(all), said, joined.Reset, err)
	}
}
