//go:build linux

package chaos_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/teahouse-chat/teahouse/e2e/chaos"
	"github.com/teahouse-chat/teahouse/e2e/server"
)

var thorough = flag.Bool("thorough", false, "try all planted defects, not only those that are found soon, and all that takes long")

// calm is a load without faults.
func calm(length time.Duration) chaos.Schedule {
	return chaos.Schedule{
		Layer: "nats", Length: length, Quiet: length, Hasty: true,
		People: chaos.People{Rooms: 2, Posters: 9, Think: 20 * time.Millisecond, Size: 100, Followers: 1, Wanderers: 1, Latecomers: 1},
	}
}

// with adds faults of a kind, one after another.
func with(kind chaos.Kind, n int, every time.Duration) chaos.Schedule {
	s := calm(time.Duration(n+1) * every)
	for i := range n {
		s.Faults = append(s.Faults, chaos.Fault{Kind: kind, At: time.Duration(i+1) * every})
	}
	return s
}

// silent lets node 0 be cut off from the broker and die when nobody says anything
// any more: of many rooms, it alone knows the last words of some.
func silent() chaos.Schedule {
	s := calm(6 * time.Second)
	s.Quiet, s.People.Rooms = 4*time.Second, 12
	s.People.Wanderers, s.People.Latecomers = 0, 0 // with whom their nodes learn where the rooms are
	s.Faults = []chaos.Fault{
		{Kind: chaos.CutBroker, At: time.Second, For: 4 * time.Second},
		{Kind: chaos.Kill, At: 4500 * time.Millisecond, For: 200 * time.Millisecond},
	}
	return s
}

// sleepy has readers who read nothing while much is said.
func sleepy() chaos.Schedule {
	s := calm(9 * time.Second)
	s.People.Size, s.People.Sleepers, s.People.Think = 15_000, 1, 5*time.Millisecond
	return s
}

// plants are the defects of internal/planted by their build tags, and a schedule in
// which each shows.
var plants = []struct {
	tag      string
	schedule chaos.Schedule
	tries    int  // seeds, at most
	late     bool // takes long
}{
	{"resume_off_by_one", calm(3 * time.Second), 3, false},
	{"hole_ignored", calm(3 * time.Second), 3, false},
	{"fanout_before_commit", calm(3 * time.Second), 3, false},
	{"nonce_not_unique", calm(3 * time.Second), 3, false},
	{"ack_before_commit", with(chaos.CrashDatabase, 2, time.Second), 5, false},
	{"order_by_timestamp", calm(3 * time.Second), 5, true},
	{"retry_answers_newest", calm(3 * time.Second), 3, true},
	{"commit_unchecked", with(chaos.EndSessions, 30, 150*time.Millisecond), 10, true},
	{"no_position_check", silent(), 3, true},
	{"drop_on_full", sleepy(), 3, true},
}

// TestPlantedBugsAreCaught: a harness that cannot fail proves nothing. Each defect
// is built into a server, and a violation must be found.
func TestPlantedBugsAreCaught(t *testing.T) {
	t.Parallel()
	c := chaos.NewCluster(t, "nats")
	for _, p := range plants {
		t.Run(p.tag, func(t *testing.T) {
			if p.late && !*thorough {
				t.Skip("-thorough tries all")
			}
			binary := filepath.Join(t.TempDir(), "teahouse")
			if err := server.Build(binary, "-tags=planted_"+p.tag); err != nil {
				t.Fatal(err)
			}
			caught := false
			for i := 0; i < p.tries && !caught; i++ {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					s := p.schedule
					s.Seed = uint64(i)
					r := chaos.Run(t, c, s, binary)
					if caught = len(r.Violations) > 0; caught {
						t.Log(r.Violations[0])
					}
				})
			}
			if !caught {
				t.Errorf("%d schedules found nothing", p.tries)
			}
		})
	}
}
